"""Permutation importance: what a task loses when a feature's values are dealt to other rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from metrics.intervals import losses, mean_and_error
from model.network.inputs import BATCH_ROWS, Inputs, inputs_of
from model.network.model import Model, predictions_of, raw_outputs
from model.schema import Dataset, FeatureSchema, Rows, Task
from model.training.judged import Judged, judged, outputs_of

ROWS, LEAST_ROWS = 10_000, 500
ROUNDS = 5


@dataclass(frozen=True)
class Importance:
    """Importance of features, by output.

    Attributes:
        rows: test rows that were asked, a sample where there are more.
        rounds: permutations of each feature.
        metrics: that rises, by output: log_loss or rmse.
        lost: by output and feature, mean over the rounds and their standard deviation; most first.
        unmeasured: features that the time was too short for.
    """

    rows: int
    rounds: int
    metrics: dict[str, str]
    lost: dict[str, dict[str, tuple[float, float]]]
    unmeasured: tuple[str, ...] = ()


def permutation_importance(model: Model, dataset: Dataset, seconds: float, seed: int = 0) -> Importance | None:
    """Measure how much worse each output gets without the information of each feature.

    A feature's values are permuted over the rows, the others stay (Breiman 2001). The network is
    asked once for each feature and round, of fewer rows where a round would take too long, until
    ROUNDS are done or the time is over.

    Args:
        model: trained.
        dataset: whose test rows are asked.
        seconds: that may be spent, at most; 0 for none.
        seed: of the permutations.
    """
    if seconds <= 0.0 or not len(dataset.test):
        return None
    began, random = time.perf_counter(), np.random.default_rng(seed)
    names = dataset.features.names
    rows, inputs = _sample(dataset.test, ROWS, random)
    before = _scores(model, inputs, rows, dataset.tasks)
    once = time.perf_counter() - began
    if once * len(names) > seconds / 2.0:
        fewer = max(LEAST_ROWS, int(len(rows) * seconds / 2.0 / (once * len(names))))
        rows, inputs = _sample(dataset.test, fewer, random)
        before = _scores(model, inputs, rows, dataset.tasks)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        order = random.permutation(len(rows))
        for name in names:
            if time.perf_counter() - began > seconds:
                break
            moved = permuted(inputs, dataset.features, name, order)
            after = _scores(model, moved, rows, dataset.tasks)
            found[name].append({output: after[output][1] - score for output, (_, score) in before.items()})
    return _summed(found, len(rows), {output: metric for output, (metric, _) in before.items()})


def _summed(found: dict[str, list[dict[str, float]]], rows: int, metrics: dict[str, str]) -> Importance:
    lost: dict[str, dict[str, tuple[float, float]]] = {}
    for output in metrics:
        each = {name: [values[output] for values in rounds] for name, rounds in found.items() if rounds}
        means = {name: (float(np.mean(values)), float(np.std(values))) for name, values in each.items()}
        lost[output] = dict(sorted(means.items(), key=lambda item: -item[1][0]))
    unmeasured = tuple(name for name, rounds in found.items() if not rounds)
    return Importance(rows, max(map(len, found.values())), metrics, lost, unmeasured)


def _sample(rows: Rows, most: int, random: np.random.Generator) -> tuple[Rows, Inputs]:
    """Draw rows: their labels and weights, and what a network reads of them."""
    chosen = np.sort(random.choice(len(rows), min(most, len(rows)), replace=False))
    weights = None if rows.weights is None else rows.weights[chosen]
    drawn = replace(rows, labels=rows.labels[chosen], weights=weights, groups=None)
    return drawn, inputs_of(rows, chosen)


def permuted(inputs: Inputs, features: FeatureSchema, name: str, order: NDArray[np.int64]) -> Inputs:
    """Deal the values of one feature to other rows: row b gets those of row order[b]."""
    kinds = (features.numeric, features.single, features.bags, features.datetimes)
    kind, place = next(
        (k, [f.name for f in held].index(name)) for k, held in enumerate(kinds) if name in {f.name for f in held}
    )
    index = torch.from_numpy(order)
    if kind == 2:
        bags = list(inputs.bags)
        bags[place] = bags[place][index]
        return inputs._replace(bags=tuple(bags))
    field = ("numeric", "codes", "", "datetimes")[kind]
    values = getattr(inputs, field).clone()
    values[:, place] = values[index, place]
    return inputs._replace(**{field: values})


def _scores(model: Model, inputs: Inputs, rows: Rows, tasks: Sequence[Task]) -> dict[str, tuple[str, float]]:
    """Measure every output by log_loss or, of a regression, by rmse."""
    answers = predictions_of(raw_outputs(model, _batches(inputs, len(rows))), tasks).tasks
    each = {name: (tasks[t], judged(answers[name], rows, tasks, t, given)) for name, t, given in outputs_of(tasks)}
    return {name: _score(task, part) for name, (task, part) in each.items() if len(part.truth)}


def _batches(inputs: Inputs, rows: int) -> list[Inputs]:
    parts = []
    for begin in range(0, rows, BATCH_ROWS):
        part = slice(begin, begin + BATCH_ROWS)
        times = None if inputs.datetimes is None else inputs.datetimes[part]
        parts.append(Inputs(inputs.numeric[part], inputs.codes[part], tuple(bag[part] for bag in inputs.bags), times))
    return parts


def _score(task: Task, rows: Judged) -> tuple[str, float]:
    loss, _ = mean_and_error(losses(task.kind, rows.answer, rows.truth), rows.times)
    return ("rmse", float(np.sqrt(loss))) if task.kind == "regression" else ("log_loss", loss)
