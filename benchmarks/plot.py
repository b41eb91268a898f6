"""Figures of the demo model: throughput, p99 and rows per second.

Throughput and p99 against concurrency, rows per second against rows per request.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.bodies import Format
from benchmarks.cases import DEMO
from benchmarks.contenders import BY_HAND, FLOOR, RAW, SERVICE
from benchmarks.results import Measurement, Read, Spread

COLOURS = {SERVICE: "#1f6feb", FLOOR: "#6e7781", BY_HAND: "#d1570f", RAW: "#1b1f24"}
PEERS = ("#8250df", "#1a7f37", "#bf3989", "#9a6700", "#0a7c86")


def draw(results: Sequence[Measurement], path: Path) -> None:
    """Write the plot as PNG."""
    names = sorted({m.contender for m in results if m.model == DEMO}, key=_order)
    colours = {**COLOURS, **dict(zip((n for n in names if n not in COLOURS), PEERS * 9, strict=False))}
    figure = Figure(figsize=(15, 4.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _by_concurrency(left, results, names, colours, lambda m: m.requests_per_s)
    _label(left, "One row per request, JSON", "concurrency", "requests/s")
    _by_concurrency(middle, results, names, colours, lambda m: m.p99_ms)
    _label(middle, "One row per request, JSON: p99", "concurrency", "ms")
    _by_rows(right, results, names, colours)
    _label(right, "Concurrency 4: JSON (solid), binary (dashed)", "rows per request", "rows/s")
    handles, labels = right.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True)) | dict(zip(*left.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=len(known), frameon=False)
    figure.savefig(path, dpi=130)


def _order(name: str) -> tuple[int, str]:
    return (list(COLOURS).index(name) if name in COLOURS else len(COLOURS), name)


def _by_concurrency(
    axes: Axes, results: Sequence[Measurement], names: Sequence[str], colours: dict[str, str], read: Read
) -> None:
    for name in names:
        chosen = [m for m in results if (m.model, m.contender, m.rows) == (DEMO, name, 1) and m.form in ("lists", "v2")]
        own_form: Format = "lists" if any(m.form == "lists" for m in chosen) else "v2"
        points = {m.connections for m in chosen if m.form == own_form}
        spreads = {x: Spread.of(read(m) for m in chosen if m.form == own_form and m.connections == x) for x in points}
        _line(axes, spreads, name, colours[name], "-")


def _by_rows(axes: Axes, results: Sequence[Measurement], names: Sequence[str], colours: dict[str, str]) -> None:
    styles: dict[Format, str] = {"lists": "-", "binary": "--"}
    for name in names:
        for form, style in styles.items():
            chosen = [m for m in results if (m.model, m.contender, m.form, m.connections) == (DEMO, name, form, 4)]
            spreads = {x: Spread.of(m.rows_per_s for m in chosen if m.rows == x) for x in {m.rows for m in chosen}}
            _line(axes, spreads, name, colours[name], style)


def _line(axes: Axes, spreads: dict[int, Spread], name: str, colour: str, style: str) -> None:
    if not spreads:
        return
    xs = sorted(spreads)
    axes.plot(xs, [spreads[x].median for x in xs], style, color=colour, marker="o", markersize=4, label=name)
    axes.fill_between(xs, [spreads[x].least for x in xs], [spreads[x].most for x in xs], color=colour, alpha=0.15)


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y, xscale="log", yscale="log")
    ticks = [1, 4, 16, 64] if x == "concurrency" else [1, 16, 64, 512]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
