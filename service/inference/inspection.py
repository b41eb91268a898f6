"""Inspection of gates: what they do with some rows, why, and what happens without each expert."""

import asyncio
from typing import Annotated, Any, NamedTuple, NotRequired

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, GetPydanticSchema
from typing_extensions import TypedDict

from service import gates
from service.artifact.manifest import Manifest
from service.errors import RequestTooLarge
from service.inference.answer import Answer, Outputs
from service.inference.features import Batch
from service.inference.model import Model
from service.system.json_types import Count, Matrix, Number, Vector

MOST_NUMBERS = 1_000_000
"""Most contributions or ablations of one answer; they grow with rows x tasks x experts x
features."""


class InspectionOptions(NamedTuple):
    """Options of an inspection: what to say beyond the weights.

    Attributes:
        contributions: each feature's share in each gate logit.
        ablation: how each prediction changes without each expert.
        top_k: number of features to list per gate logit, those of the largest share first; None
            for all.
        predictions: each row's predictions, as of `:predict`.
        compared_with: place of a row: the features of the others are listed by what they
            contribute otherwise than there; None for none.
    """

    contributions: bool
    ablation: bool
    top_k: int | None
    predictions: bool = False
    compared_with: int | None = None


class FeatureShare(TypedDict):
    """Share of one feature in a gate logit."""

    feature: str
    contribution: Number
    centred: Annotated[
        Number,
        Field(description="`contribution` less its mean over the experts that the gate sees: what moves weight."),
    ]
    change: NotRequired[Annotated[Number, Field(description="`centred` less that of the row of `compared_with`.")]]


class LogitShares(TypedDict):
    """Gate logit of one expert: `base` + all features' contributions.

    `rest` is of those not listed.
    """

    base: float
    logit: float
    features: list[FeatureShare]
    rest: NotRequired[float]


Ablation = Annotated[NDArray[Any], GetPydanticSchema(lambda _, handler: handler(list[float | list[float]]))]


Predicted = Annotated[Any, GetPydanticSchema(lambda _, handler: handler(float | list[float]))]


class InspectedTask(TypedDict):
    """Gate of one task for one row."""

    gate_weights: Vector
    normalised_entropy: float
    top_expert: Count
    contributions: NotRequired[
        Annotated[
            list[LogitShares | None],
            Field(description="Per expert: where its gate logit comes from; null for one that the gate does not see."),
        ]
    ]
    ablation: NotRequired[
        Annotated[Ablation, Field(description="Per expert: the prediction without it less the prediction.")]
    ]


class InspectedRow(TypedDict):
    """Gates of one row."""

    tasks: dict[str, InspectedTask]
    predictions: NotRequired[
        Annotated[dict[str, Predicted], Field(description="Each prediction, of funnels' conditionals too.")]
    ]


class GateOverRows(TypedDict):
    """Gate of one task over all rows."""

    utilisation: Vector
    normalised_entropy: float


class Inspection(TypedDict):
    """Gates over some rows."""

    task_names: list[str]
    rows: list[InspectedRow]
    tasks: dict[str, GateOverRows]
    similarity: Annotated[Matrix, Field(description="Of each two tasks, in the order of `task_names`.")]


async def inspect(
    model: Model, batch: Batch, options: InspectionOptions, arrived: float, timeout_s: float
) -> Inspection:
    """Run rows, by choice without each expert too, and describe the gates over them.

    Args:
        model: one with gates.
        batch: its rows.
        options: of the request.
        arrived: when the request came, on the engine's clock.
        timeout_s: how long it may take from then on.

    Raises:
        RequestTooLarge: the answer would have too many numbers.
        DeadlineExceeded: it was not run in time.
    """
    _refuse_too_much(options, model.manifest, batch)
    answering, without = model.inspect(batch, arrived, timeout_s, options.contributions), None
    if options.ablation:
        part, without = await asyncio.gather(answering, model.ablate(batch, arrived, timeout_s))
    else:
        part = await answering
    return describe(model.manifest, part.answer(), without, options)


def describe(manifest: Manifest, answer: Answer, without: Outputs | None, options: InspectionOptions) -> Inspection:
    """Describe the gates over some rows.

    Args:
        manifest: of the model.
        answer: with gate weights (B, T, E); with contributions where they are asked for, tasks
            where ablation is.
        without: each task's predictions without each expert, (E, B) or (E, B, K).
        options: of the request.
    """
    weights = answer.gate_weights
    assert weights is not None
    names = manifest.task_names
    entropy, top = gates.normalised_entropy(weights, manifest.seen_experts), gates.top_expert(weights)
    utilisation = gates.utilisation(weights)
    rows: list[InspectedRow] = []
    for row in range(len(weights)):
        tasks: dict[str, InspectedTask] = {}
        for t, name in enumerate(names):
            tasks[name] = {
                "gate_weights": weights[row, t],
                "normalised_entropy": float(entropy[row, t]),
                "top_expert": int(top[row, t]),
            }
            if answer.contributions is not None and options.contributions:
                other = None if options.compared_with in (None, row) else answer.contributions[options.compared_with, t]
                shares = answer.contributions[row, t]
                tasks[name]["contributions"] = _contributions(manifest, t, shares, options.top_k, other)
            if without is not None:
                tasks[name]["ablation"] = np.ascontiguousarray(without[name][:, row] - answer.tasks[name][row])
        rows.append({"tasks": tasks})
        if options.predictions:
            rows[-1]["predictions"] = {name: values[row] for name, values in answer.tasks.items()}
    return {
        "task_names": list(names),
        "rows": rows,
        "tasks": {
            name: {"utilisation": utilisation[t], "normalised_entropy": float(entropy[:, t].mean())}
            for t, name in enumerate(names)
        },
        "similarity": gates.similarity(weights),
    }


def _contributions(
    manifest: Manifest, task: int, shares: NDArray[np.float32], top_k: int | None, other: NDArray[np.float32] | None
) -> list[LogitShares | None]:
    """Break each expert's gate logit down: `base` + all features' shares = `logit`.

    `rest` is of those not listed. With the shares of another row the features come first whose
    centred ones differ most.
    """
    assert manifest.gates is not None
    features, entries = manifest.feature_names, list[LogitShares | None]()
    bases = manifest.gates.average_logits[task]
    seen = [base is not None for base in bases]
    centred = shares - shares[seen].mean(axis=0)
    change = None if other is None else centred - (other - other[seen].mean(axis=0))
    for e, (base, of_expert) in enumerate(zip(bases, shares, strict=True)):
        if base is None:
            entries.append(None)
            continue
        order = np.argsort(-np.abs(of_expert if change is None else change[e]), kind="stable")[:top_k]
        total = float(of_expert.sum(dtype=np.float64))
        entry: LogitShares = {
            "base": base,
            "logit": base + total,
            "features": [
                {"feature": features[f], "contribution": of_expert[f], "centred": centred[e, f]} for f in order
            ],
        }
        if change is not None:
            for f, listed in zip(order, entry["features"], strict=True):
                listed["change"] = change[e, f]
        if len(order) < len(features):
            entry["rest"] = total - float(of_expert[order].sum(dtype=np.float64))
        entries.append(entry)
    return entries


def _refuse_too_much(options: InspectionOptions, manifest: Manifest, batch: Batch) -> None:
    """Refuse an answer of so many numbers that it would hold up everybody else."""
    per_row = len(manifest.tasks) * manifest.experts
    if options.contributions:
        per_row *= len(manifest.features)
    elif options.ablation:
        per_row *= 2
    most = max(MOST_NUMBERS // per_row, 1)
    if batch.rows > most:
        raise RequestTooLarge("an inspection with these options", batch.rows, most, "rows", None)
