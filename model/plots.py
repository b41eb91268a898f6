"""Plots of the report. Each function draws one figure and returns it; none keeps state."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from metrics.reliability import reliability, wilson
from model.schema import Task

INK, SOFT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
MAIN, ACCENT = "#2f5d8a", "#d9822b"
SHADES = "Blues"

STYLE: Any = {
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # class names may hold a $
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.titlesize": 13,
    "savefig.dpi": 144,
}

COUNTS = FuncFormatter(lambda value, _: f"{value:,.0f}")
"""Writes counts on logarithmic axes in plain digits."""

Floats = NDArray[np.floating]


def save_png(draw: Callable[[], Figure], path: Path) -> None:
    """Draw in the report's style and write a PNG.

    The caller's matplotlib settings stay as they are.
    """
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)  # names in any script
        draw().savefig(path, format="png", facecolor="white")


def loss_curves(curves: Mapping[str, Mapping[str, Sequence[float]]], best_epoch: int) -> Figure:
    """Draw losses over epochs, one panel for each entry.

    Args:
        curves: by panel title, then "training" or "validation", the loss of each epoch.
        best_epoch: counted from 1; its weights were kept. 0: those before training.
    """
    figure, panels = _panels(len(curves), width=4.2, height=3.0)
    looks: dict[str, Any] = {
        "training": {"alpha": 0.6, "linewidth": 1.6, "linestyle": (0, (4, 2))},
        "validation": {"linewidth": 2.0},
    }
    shown: dict[str, Any] = {}
    for axes, (title, lines) in zip(panels, curves.items(), strict=True):
        for label, losses in lines.items():
            epochs = np.arange(1, len(losses) + 1)
            marker = "o" if len(losses) < 3 else None  # a line through one point cannot be seen
            (shown[label],) = axes.plot(epochs, losses, color=MAIN, marker=marker, **looks[label])
            axes.set_xlim(0.5, len(losses) + 0.5)
        if best_epoch:
            shown[f"weights kept (epoch {best_epoch})"] = axes.axvline(best_epoch, color=ACCENT, linewidth=1.2)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    panels[0].set_ylabel("loss")
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=3)
    _headline(figure, "Loss over training: all tasks together, then each task")
    return figure


def gate_heatmap(utilisation: Floats, task_names: Sequence[str], entropies: Sequence[float]) -> Figure:
    """Draw the mean gate weight of every expert (columns) for every task (rows).

    Args:
        utilisation: (T, E), rows sum to 1.
        task_names: T names.
        entropies: T mean normalised entropies, in [0, 1].
    """
    tasks, experts = utilisation.shape
    figure = Figure(figsize=(max(7.2, 2.6 + 0.72 * experts), 1.9 + 0.55 * tasks), layout="constrained")
    axes = figure.add_subplot()
    top = max(float(utilisation.max()), 2.0 / experts)  # an even gate stays pale
    image = axes.imshow(utilisation, cmap=SHADES, vmin=0.0, vmax=top, aspect="auto")
    if experts <= 24:
        _annotate(axes, utilisation, top, "{:.2f}")
    axes.set_xticks(range(experts), [str(e) for e in range(experts)] if experts <= 32 else None)
    axes.set_yticks(range(tasks), [f"{n}\nentropy {h:.2f}" for n, h in zip(task_names, entropies, strict=True)])
    seen = int((utilisation > 0.0).sum(axis=1).max())  # a gate may see fewer than all (CGC)
    axes.set_xlabel(f"expert (an even share is {1 / max(seen, 1):.3g})")
    _as_tiles(axes, utilisation.shape)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("mean gate weight")
    _headline(figure, "Which experts each task uses: mean gate weight over validation rows")
    return figure


def task_picture(task: Task, predicted: Floats, labels: Floats, times: Floats | None = None) -> Figure:
    """Draw what suits the kind of task, over the rows that have a label; at least one must.

    Args:
        task: kind, name and classes.
        predicted: (B,) or (B, K), in natural units or probabilities.
        labels: (B,), NaN = none.
        times: (B,), how often each row counts among those of a binary task.
    """
    labelled = ~np.isnan(labels)
    if not labelled.all():
        predicted, labels, times = predicted[labelled], labels[labelled], None if times is None else times[labelled]
    if task.kind == "regression":
        return predicted_against_true(task.name, predicted, labels)
    if task.kind == "binary":
        return calibration(task.name, task.classes[1], predicted, labels, times)
    return confusion(task.name, task.classes, predicted.argmax(axis=1), labels.astype(np.int64))


def calibration(name: str, positive: str, predicted: Floats, labels: Floats, times: Floats | None = None) -> Figure:
    """Draw a reliability diagram: share of positive rows against the predicted probability.

    Bins are those of the expected calibration error, of equal mass; axes end where they do.
    """
    figure = Figure(figsize=(5.6, 5.8), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    bins = reliability(predicted, labels, times)
    mean, share, bars = bins.mean, bins.share, wilson(bins.share, bins.worth)
    top = min(1.0, 1.05 * max(float(mean.max()), float((share + bars[1]).max())))
    span = (-0.02 * top, 1.02 * top)
    axes.plot([0, top], [0, top], color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)), label="perfectly calibrated")
    axes.errorbar(
        mean, share, bars, fmt="o-", color=MAIN, elinewidth=1.0, markersize=5, label="test rows, 95% interval"
    )
    axes.set(ylabel=f"share of rows that are {_short(positive, 28)!r}", xlim=span, ylim=span)
    axes.legend(loc="upper left")
    below.hist(np.minimum(predicted, top), bins=np.linspace(0, top, 41).tolist(), color=MAIN, alpha=0.75)
    below.set_yscale("log")
    below.set_ylim(bottom=0.8)
    below.yaxis.set_major_formatter(COUNTS)
    below.set(xlabel="predicted probability", ylabel="rows")
    _headline(figure, f"{name}: predicted probability against the outcome")
    return figure


def predicted_against_true(name: str, predicted: Floats, labels: Floats) -> Figure:
    """Draw predictions against labels as a density.

    The few rows beyond the central 99% are left out of sight.
    """
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.add_subplot()
    both = np.concatenate([predicted, labels]).astype(np.float64)
    low, high = np.quantile(both, [0.005, 0.995])
    margin = 0.03 * (high - low) or 1.0
    span = (float(low - margin), float(high + margin))
    seen = (predicted >= span[0]) & (predicted <= span[1]) & (labels >= span[0]) & (labels <= span[1])
    axes.plot(span, span, color=ACCENT, linewidth=1.2, label="prediction = truth")
    if len(labels) < 500:
        axes.scatter(labels, predicted, s=14, color=MAIN, alpha=0.5, linewidths=0)
    else:
        cells = axes.hexbin(
            labels, predicted, gridsize=56, extent=(*span, *span), bins="log", mincnt=1, cmap=_visible(), linewidths=0.1
        )
        bar = figure.colorbar(cells, ax=axes, pad=0.02, format=COUNTS)
        bar.outline.set_visible(False)
        bar.set_label("test rows per cell")
    axes.set(xlim=span, ylim=span, xlabel="true value", ylabel="predicted value")
    axes.set_aspect("equal")
    axes.legend(loc="upper left")
    hidden = int(len(labels) - seen.sum())
    aside = f" ({hidden:,} of {len(labels):,} rows lie outside)" if hidden else ""
    _headline(figure, f"{name}: predicted against true{aside}")
    return figure


def confusion(name: str, classes: Sequence[str], predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> Figure:
    """Draw the confusion matrix: true classes (rows) over predicted classes (columns)."""
    count = len(classes)
    table = np.zeros((count, count))
    np.add.at(table, (labels, predicted), 1.0)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
    side = 2.6 + min(0.62 * count, 9.0)
    figure = Figure(figsize=(side + 1.6, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap=SHADES, vmin=0.0, vmax=1.0)
    if count <= 15:
        _annotate(axes, share, 1.0, "{:.0%}")
    names = [_short(value, 18) for value in classes]
    if count <= 40:
        axes.set_xticks(range(count), names, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(count), names)
    axes.set(xlabel="predicted class", ylabel="true class")
    _as_tiles(axes, share.shape)
    bar = figure.colorbar(image, ax=axes, pad=0.02, shrink=0.85, format=PercentFormatter(1.0))
    bar.outline.set_visible(False)
    bar.set_label("share of the true class's test rows")
    _headline(figure, f"{name}: what each true class was taken for")
    return figure


def _visible() -> ListedColormap:
    """Start the shades where a single cell stands out from white paper."""
    return ListedColormap(mpl.colormaps[SHADES](np.linspace(0.22, 1.0, 256)))


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    columns = 2 if count == 4 else min(count, 3)
    lines = -(-count // columns)
    figure = Figure(figsize=(max(width * columns, 5.4), height * lines + 0.9), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def _headline(figure: Figure, text: str) -> None:
    """Write the title from the left edge on, smaller if it would not fit."""
    room = figure.get_figwidth() * 72 / (0.64 * len(text))  # points a letter may have; bold letters are 0.64 em wide
    figure.suptitle(text, x=0.012, ha="left", fontweight="bold", fontsize=min(13.0, room))
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=0.1, h_pad=0.1)


def _annotate(axes: Axes, values: Floats, top: float, form: str) -> None:
    for (row, column), value in np.ndenumerate(values):
        dark = value > 0.55 * top
        axes.text(column, row, form.format(value), ha="center", va="center", color="white" if dark else INK, fontsize=9)


def _as_tiles(axes: Axes, shape: tuple[int, ...]) -> None:
    """Replace grid and frame by white gaps between the cells of an image."""
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(shape[0] + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
