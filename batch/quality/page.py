"""Page of an evaluation: a report in Markdown with a picture for each version and task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

_SHOWN = {"binary": ("auc", "pr_auc", "log_loss", "ece"), "multiclass": ("log_loss", "accuracy"),
          "regression": ("rmse", "mae")}  # fmt: skip


def write_page(report: Mapping[str, Any], directory: Path) -> None:
    """Write report.md, and its pictures, of what is in quality.json."""
    lines = [f"# Quality of {report['model']}", "", f"From the logs, {report['time_utc']} UTC.", ""]
    for version in report["versions"]:
        lines += [f"## Version {version['version']}", ""]
        for task in version["tasks"]:
            lines += _task(task, version["version"], directory)
    (directory / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _task(task: Mapping[str, Any], version: int, directory: Path) -> list[str]:
    shown = _SHOWN[task["kind"]]
    state = task["verdict"]["state"]
    lines = [
        f"### {task['task']}",
        "",
        f"{task['rows']:,} rows, {task['labelled']:,} with a label ({task['share_labelled']:.1%}): {state}.",
        "",
        "| metric | logs | 95 % | test rows of training |",
        "|---|---|---|---|",
    ]
    for name in shown:
        if name in task["metrics"]:
            found, before = task["metrics"][name], task["test_metrics"].get(name)
            lines.append(f"| {name} | {found['value']:.4f} | {_interval(found)} | {_number(before)} |")
    if task["base_log_loss"] is not None:
        lines.append(f"| log_loss of the base rate | {task['base_log_loss']:.4f} | | |")
    primary = next((name for name in shown if name in task["metrics"]), None)
    lines += [""]
    if primary is not None:
        picture = f"{version}-{task['task']}.png"
        _draw(task, primary, directory / picture)
        lines += [f"![{primary} of {task['task']} over time, by top expert, and reliability]({picture})", ""]
        lines += _table("top expert", [(str(e["expert"]), e) for e in task["by_expert"]], primary)
        named = [(f"{e['feature']} = {e['value'] or 'missing'}", e) for e in task["segments"]]
        lines += _table("segment", named, primary)
    return lines


def _table(title: str, entries: Sequence[tuple[str, Mapping[str, Any]]], metric: str) -> list[str]:
    if not entries:
        return []
    lines = [f"| {title} | rows | {metric} | 95 % |", "|---|---|---|---|"]
    for name, entry in entries:
        found = (entry["metrics"] or {}).get(metric)
        value = "too few rows" if found is None else f"{found['value']:.4f}"
        lines.append(f"| {_cell(name)} | {entry['rows']:,} | {value} | {'' if found is None else _interval(found)} |")
    return [*lines, ""]


def _cell(text: str) -> str:
    """Write a value of a feature so that it is one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _interval(found: Mapping[str, float | None]) -> str:
    return "" if found["low"] is None or found["high"] is None else f"{found['low']:.4f} to {found['high']:.4f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _draw(task: Mapping[str, Any], metric: str, path: Path) -> None:
    """Draw the metric over time and by top expert, and the reliability of a binary task."""
    with_bins = bool(task.get("reliability"))
    figure, axes = plt.subplots(1, 3 if with_bins else 2, figsize=(12 if with_bins else 8, 3.2), layout="constrained")
    _points(axes[0], [(e["from_utc"], e) for e in task["by_time"]], metric)
    axes[0].set_title(f"{metric} over time")
    _points(axes[1], [(str(e["expert"]), e) for e in task["by_expert"]], metric)
    axes[1].set_title(f"{metric} by top expert")
    before = task["test_metrics"].get(metric)
    for ax in axes[:2]:
        if before is not None:
            ax.axhline(before, color="#888888", linewidth=1, linestyle="--")
    if with_bins:
        bins = task["reliability"]
        axes[2].plot([b["predicted"] for b in bins], [b["observed"] for b in bins], "o-", color="#2b5c8a")
        most = max(max(b["predicted"], b["observed"]) for b in bins)
        axes[2].plot([0, most], [0, most], color="#888888", linewidth=1)
        axes[2].set(title="reliability", xlabel="predicted", ylabel="observed")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _points(ax: Any, entries: Sequence[tuple[str, Mapping[str, Any]]], metric: str) -> None:
    measured = [(name, found) for name, e in entries if (found := (e["metrics"] or {}).get(metric)) is not None]
    for place, (_, found) in enumerate(measured):
        low, high = found["low"], found["high"]
        if low is not None and high is not None:
            ax.plot([place, place], [low, high], color="#2b5c8a", linewidth=1.5)
        ax.plot([place], [found["value"]], "o", color="#2b5c8a")
    names = [name for name, _ in measured]
    step = max(len(names) // 8, 1)
    ax.set_xticks(range(0, len(names), step), names[::step], rotation=30 if any(len(n) > 3 for n in names) else 0)
