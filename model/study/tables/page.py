"""The page of the comparisons on real tables, written from their results alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.artifact.provenance import commit, now
from model.markdown import table, wrap
from model.mmoe import Architecture
from model.schema import TaskKind
from model.study.claims import Interval, mean_interval
from model.study.paper import CENSUS
from model.study.tables.comparison import ARCHITECTURES, DROPOUTS, RATE_FACTORS, TUNING_SEEDS, Comparison
from model.training.metrics import HIGHER_IS_BETTER

TITLES: dict[Architecture, str] = {
    "single_task": "Single-Task",
    "shared_bottom": "Shared-Bottom",
    "omoe": "OMoE",
    "mmoe": "MMoE",
}
MAIN_METRIC: dict[TaskKind, str] = {"binary": "auc", "regression": "rmse", "multiclass": "accuracy"}
TREES_MARGIN = 0.003
"""Distance that a network may stay under LightGBM's AUC."""

FAR, FAR_SPREADS = 0.003, 4.0
"""Distance of a listed seed's AUC under its network's median, and in usual spreads of seeds."""

Floats = NDArray[np.float64]


def write_comparisons(path: Path, title: str, comparisons: Sequence[Comparison], remarks: str, command: str) -> None:
    """Write the page.

    Args:
        path: of the Markdown file; its directory is created if it is not there.
        title: of the page.
        comparisons: one section each.
        remarks: on the data, for example what a fuller comparison would need.
        command: that makes this page again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    made = f"{now()}, commit {commit() or 'unknown'} (runs found on disk may be of an earlier one)"
    head = [f"# {title}", f"Written by `{command}`, {made}.", *([remarks] if remarks else [])]
    path.write_text(wrap("\n\n".join([*head, *map(_section, comparisons)])) + "\n", encoding="utf-8")


def values(comparison: Comparison, architecture: Architecture, task: int) -> Floats:
    """Return the main metric of a task on the test rows, one value per seed."""
    told = comparison.tasks[task]
    metric = MAIN_METRIC[told.kind]
    return np.array([outcome.metrics[told.name][metric] for outcome in comparison.outcomes[architecture]])


def trees(comparison: Comparison, task: int) -> Floats:
    """Return the main metric of LightGBM on the test rows, one value per split."""
    told = comparison.tasks[task]
    return np.array([outcome.metrics[told.name][MAIN_METRIC[told.kind]] for outcome in comparison.yardstick])


def verdicts(comparison: Comparison) -> list[tuple[str, str]]:
    """Judge MMoE by what is asked of it, task by task: a sentence and the verdict."""
    found = []
    for index, task in enumerate(comparison.tasks):
        metric = MAIN_METRIC[task.kind]
        found.append(_beside_networks(comparison, index))
        paper = CENSUS.get(comparison.name)
        mean = float(values(comparison, "mmoe", index).mean())
        if paper and index == 0:
            words = f"{task.name}: MMoE's mean at or above the paper's {paper['mmoe'][1]:.4f}"
            found.append((words, _yes_or_no(mean >= paper["mmoe"][1])))
        if comparison.yardstick and metric == "auc":
            behind = float(trees(comparison, index).mean()) - mean
            words = f"{task.name}: MMoE within {TREES_MARGIN} of LightGBM; it is behind by {behind:+.4f}"
            found.append((words, _yes_or_no(behind <= TREES_MARGIN)))
    return found


def _beside_networks(comparison: Comparison, index: int) -> tuple[str, str]:
    """Judge MMoE beside the network whose mean is best."""
    task = comparison.tasks[index]
    best, difference = _best_other(comparison, index)
    who = (
        f"MMoE less the best other network, {TITLES[best]}"
        if HIGHER_IS_BETTER[MAIN_METRIC[task.kind]]
        else f"the best other network, {TITLES[best]}, less MMoE"
    )
    return f"{task.name}: {who}: not below 0 within the interval {_show(difference)}", _yes_or_no(difference.high >= 0)


def _best_other(comparison: Comparison, index: int) -> tuple[Architecture, Interval]:
    """Find the other network whose mean is best.

    Returns its architecture, and the interval of the difference, above 0 where MMoE is better.
    """
    higher = HIGHER_IS_BETTER[MAIN_METRIC[comparison.tasks[index].kind]]
    every = {a: values(comparison, a, index) * (1.0 if higher else -1.0) for a in ARCHITECTURES}
    best = max((a for a in ARCHITECTURES if a != "mmoe"), key=lambda a: float(every[a].mean()))
    return best, mean_interval(every["mmoe"] - every[best], comparisons=len(ARCHITECTURES) - 1)


def _section(comparison: Comparison) -> str:
    train, validation, test = comparison.rows
    notes = " ".join(note.rstrip(".") + "." for note in comparison.notes)
    seeds, others = len(comparison.outcomes["mmoe"]), len(ARCHITECTURES) - 1
    asked = "\n".join(f"- {words}: **{verdict}**" for words, verdict in verdicts(comparison))
    splits = (
        "each with a split of its own (their seeds count up from the configuration's)"
        if comparison.splits > 1
        else "all on this split, so that the intervals hold for its test rows"
    )
    return (
        f"## {comparison.name}\n\n"
        f"{train:,} rows for training, {validation:,} for validation, {test:,} for test. {notes}\n\n"
        f"{seeds} seeds, {splits}; means with a 95 % interval (Student's t), and the best seed. Widths are such "
        "that all networks have about the same number of parameters, embeddings included. Dropout "
        f"({_listed(DROPOUTS)}) and learning rate ({_listed(RATE_FACTORS)} times the table's) were chosen on "
        f"validation rows, for each network by itself, by the mean of {len(TUNING_SEEDS)} seeds that are not among "
        "those. The rest is by default, alike for all. MMoE is compared seed by seed. That the best "
        f"other network is picked among {others} by the same runs favours it, so the interval of that difference is "
        f"one for {others} comparisons (Bonferroni).\n\n"
        f"{_table(comparison)}\n\n{asked}{_remarks(comparison)}"
    )


def _remarks(comparison: Comparison) -> str:
    """List tasks that sharing costs, seeds far under the others, and the gap to the trees."""
    found = []
    for index, task in enumerate(comparison.tasks):
        best, difference = _best_other(comparison, index)
        if best == "single_task" and difference.high < 0:
            found.append(
                f"{task.name}: the network that shares nothing is ahead of MMoE: at this budget sharing takes more "
                "from the task than it gives. Rate and dropout were chosen by the losses of all tasks together; other "
                "weights of the tasks were not tried."
            )
        metric = MAIN_METRIC[task.kind]
        if metric != "auc":
            continue
        every = {a: values(comparison, a, index) for a in ARCHITECTURES}
        for a, aucs in every.items():
            low = aucs[_far_under(aucs)]
            if len(low):
                shown = ", ".join(f"{auc:.4f}" for auc in low)
                found.append(
                    f"{task.name}: {len(low)} of {len(aucs)} seeds of {TITLES[a]} ended far under the others, at "
                    f"{shown}; their median is {np.median(aucs):.4f}. The mean and its interval are with them."
                )
        means = [float(aucs.mean()) for aucs in every.values()]
        if comparison.yardstick and float(trees(comparison, index).mean()) - max(means) > TREES_MARGIN:
            found.append(
                f"{task.name}: LightGBM is ahead of every network, also of the one that shares nothing; the "
                f"networks' means are {max(means) - min(means):.4f} apart. Other sizes, batches and lengths of "
                "training were not compared here."
            )
    if comparison.yardstick_missing:
        found.append(f"Not measured: {comparison.yardstick_missing}.")
    return "".join(f"\n- {words}" for words in found)


def _far_under(aucs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find the seeds that ended far under the others.

    The spread is the median distance to the median, scaled as for a normal.
    """
    median = np.median(aucs)
    spread = 1.4826 * np.median(np.abs(aucs - median))
    return np.asarray(aucs < median - max(FAR, FAR_SPREADS * spread))


def _table(comparison: Comparison) -> str:
    metrics = [f"{task.name}, {MAIN_METRIC[task.kind]}" for task in comparison.tasks]
    paper = CENSUS.get(comparison.name)
    head = ["model", "width", "rate", "dropout", "parameters"]
    head += [words for metric in metrics for words in (f"{metric}: mean", "best")]
    head += ["paper: main mean", "best", "never married mean"] if paper else []
    lines = [_line(comparison, architecture) for architecture in ARCHITECTURES]
    if comparison.yardstick:
        beside = ["LightGBM, a model per task", "", "", "", ""]
        for index, task in enumerate(comparison.tasks):
            beside += _mean_and_best(trees(comparison, index), MAIN_METRIC[task.kind])
        lines.append(beside + [""] * (len(head) - len(beside)))
    return table(head, lines)


def _line(comparison: Comparison, architecture: Architecture) -> list[str]:
    chosen = comparison.chosen[architecture]
    parameters = comparison.outcomes[architecture][0].parameters
    line = [
        TITLES[architecture],
        f"{chosen.hidden}",
        f"{chosen.learning_rate:g}",
        f"{chosen.dropout:g}",
        f"{parameters:,}",
    ]
    for index, task in enumerate(comparison.tasks):
        line += _mean_and_best(values(comparison, architecture, index), MAIN_METRIC[task.kind])
    if comparison.name in CENSUS:
        top, mean, other = CENSUS[comparison.name][architecture]
        line += [f"{mean:.4f}", f"{top:.4f}", f"{other:.4f}"]
    return line


def _mean_and_best(found: Floats, metric: str) -> list[str]:
    best = found.max() if HIGHER_IS_BETTER[metric] else found.min()
    return [_show(mean_interval(found)) if len(found) > 1 else f"{found[0]:.4f}", f"{best:.4f}"]


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _show(interval: Interval) -> str:
    return f"{interval.effect:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def _yes_or_no(holds: bool) -> str:
    return "yes" if holds else "no"
