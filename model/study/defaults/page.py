"""The page of the study of the defaults, written from its runs alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from model.artifact.provenance import commit, now
from model.markdown import table, wrap
from model.study.claims import Interval, mean_interval
from model.study.defaults.runs import HIST, LIGHTGBM, NETWORK, Run
from model.study.defaults.tables import StudyTable

MARGIN = {"binary": 0.01, "multiclass": 0.01, "regression": 0.02}
"""Distance that a network may stay behind: of AUC, or a share of the trees' RMSE."""

WHY: Mapping[str, str] = {}
"""Reasons of a bar that was missed, by "table.task"."""

Found = Sequence[tuple[StudyTable, Sequence[Run]]]

HEAD = (
    'A configuration without `[model]` and `[train]` lets the table choose ([config.md](config.md), "by the table"). '
    "Each task is set beside the better, by its mean, of LightGBM and HistGradientBoosting with their own defaults, a "
    "model of its own for each task. Trees learn from training and validation rows, since by default they choose "
    "nothing by the latter; the network learns from the training rows, and its validation rows choose when it has "
    "learnt enough.\n\n"
    "A split has its own seed, for the network's weights too. Behind is AUC of the trees less that of the network (of "
    "several classes the mean of one against the rest), or the network's RMSE over that of the trees, less 1: below 0 "
    "the network is better. The bar: the 95 % interval of the mean (Student's t, paired by split) is not wholly "
    "beyond 0.01 of AUC or 2 % of RMSE.\n\n"
    "The defaults were chosen on other tables, three splits each, that stand nowhere below: Carseats, Housing, "
    "College and Auto, attrition of employees, strength of concrete, and segmented cells. There 11 of 12 tasks met "
    "the bar; whether a house of Housing lies in a preferred area did not, by 0.08 of AUC, and why was not looked "
    "into."
)


def write_defaults(path: Path, found: Found, command: str) -> None:
    """Write the page.

    Args:
        path: of the Markdown file.
        found: tables with their runs.
        command: that makes this page again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, missed, near = [], [], []
    for study, runs in found:
        for task in runs[0].kinds:
            rows.append(_line(study, runs, task))
            if not meets_bar(runs, task):
                reason = WHY.get(f"{study.name}.{task}", "the reason was not looked into")
                missed.append(f"- **{study.name}, {task}** misses the bar: {reason}.")
            elif behind(runs, task)[1].effect > MARGIN[runs[0].kinds[task]]:
                near.append(f"{study.name}, {task}")
    head = ["table", "rows", "task", "metric", "network", LIGHTGBM, HIST, "behind", "bar"]
    verdict = f"{len(rows) - len(missed)} of {len(rows)} tasks meet the bar."
    made = f"{now()}, commit {commit() or 'unknown'} (runs found on disk may be of an earlier one)"
    parts = [
        "# The defaults on real tables",
        f"Written by `{command}`, {made}.",
        HEAD,
        f"## Verdicts\n\n{verdict}",
        table(head, rows),
    ]
    parts += ["\n".join(missed)] if missed else []
    if near:
        told = "The mean alone is beyond the margin, and too few or too different splits leave it open whether the"
        parts += [f"{told} network is: {'; '.join(near)}."]
    parts += ["## The tables\n\n" + "\n".join(_told(study, runs) for study, runs in found)]
    path.write_text(wrap("\n\n".join(parts)) + "\n", encoding="utf-8")


def behind(runs: Sequence[Run], task: str) -> tuple[str, Interval]:
    """Name the better kind of trees, and say how far the network is behind."""
    regression = runs[0].kinds[task] == "regression"
    values = {name: np.array([run.values[name][task] for run in runs]) for name in (NETWORK, LIGHTGBM, HIST)}
    best = (min if regression else max)((LIGHTGBM, HIST), key=lambda name: float(values[name].mean()))
    gap = values[NETWORK] / values[best] - 1.0 if regression else values[best] - values[NETWORK]
    return best, mean_interval(gap)


def meets_bar(runs: Sequence[Run], task: str) -> bool:
    """Judge whether the interval is not wholly beyond the margin."""
    return behind(runs, task)[1].low <= MARGIN[runs[0].kinds[task]]


def _line(study: StudyTable, runs: Sequence[Run], task: str) -> list[str]:
    kind = runs[0].kinds[task]
    best, gap = behind(runs, task)
    shown = "{:.2%}" if kind == "regression" else "{:.4f}"
    interval = f"{shown.format(gap.effect)} [{shown.format(gap.low)}, {shown.format(gap.high)}]"
    means = {name: float(np.mean([run.values[name][task] for run in runs])) for name in (NETWORK, LIGHTGBM, HIST)}
    cells = [f"{value:.4g}" if kind == "regression" else f"{value:.4f}" for value in means.values()]
    cells = [f"**{cell}**" if name == best else cell for name, cell in zip(means, cells, strict=True)]
    metric, verdict = "RMSE" if kind == "regression" else "AUC", "yes" if meets_bar(runs, task) else "**no**"
    return [study.name, f"{sum(runs[0].rows):,}", task, metric, *cells, interval, verdict]


def _told(study: StudyTable, runs: Sequence[Run]) -> str:
    train, validation, test = runs[0].rows
    steps = runs[0].kept_step[1]
    seconds, kept = np.median([run.seconds for run in runs]), np.median([run.kept_step[0] for run in runs])
    return (
        f"- **{study.name}**: {study.of}. {len(runs)} splits, the first of {train:,} rows for training, "
        f"{validation:,} for validation and {test:,} for test. {runs[0].chosen} The weights that were kept are those "
        f"of step {kept:,.0f} of {steps:,} (median), {seconds:,.0f} s of training with other work beside."
    )
