"""Judgement of a trained model before it is published, for its report and its manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from model.artifact.comparison import Comparison
from model.config.run import Config
from model.errors import ExportError
from model.evaluation.advice import advise
from model.evaluation.importance import Importance, permutation_importance
from model.evaluation.segments import SegmentTable, segment_tables
from model.network.model import Model, Predictions, predict
from model.schema import Dataset
from model.training.metrics import Baseline, baselines, evaluate
from model.training.progress import History


@dataclass(frozen=True)
class Judgement:
    """Findings about a trained model.

    Attributes:
        test: its answers to the test rows.
        metrics: of these, by output and name.
        constant: the best constant answers beside them, by output.
        comparison: with the published version, if one was asked for and there is one.
        segments: of the test rows, by the columns of the report.
        importance: of the features, if the report may spend time on it.
        advice: warnings, each with what to do.
    """

    test: Predictions
    metrics: Mapping[str, Mapping[str, float]]
    constant: Mapping[str, Baseline]
    comparison: Comparison | None = None
    segments: tuple[SegmentTable, ...] = ()
    importance: Importance | None = None
    advice: tuple[str, ...] = ()


def measure(model: Model, dataset: Dataset) -> Judgement:
    """Judge a trained model by the metrics of its test rows alone.

    Raises:
        ExportError: an answer is not a finite number.
    """
    test = predict(model, dataset.test)
    for name, values in test.tasks.items():
        if odd := int((~np.isfinite(values)).sum()):
            raise ExportError(
                f"{odd:,} answers of '{name}' to the test rows are not finite numbers; nothing was published; train "
                "again with a smaller train.learning_rate"
            )
    metrics = evaluate(test, dataset.test, dataset.tasks)
    return Judgement(test, metrics, baselines(dataset.train, dataset.test, dataset.tasks))


def judge(
    model: Model, dataset: Dataset, config: Config, history: History, comparison: Comparison | None = None
) -> Judgement:
    """Judge a trained model by its test rows, and by the course of its training."""
    measured = measure(model, dataset)
    return replace(
        measured,
        comparison=comparison,
        segments=tuple(segment_tables(dataset, measured.test)),
        importance=permutation_importance(model, dataset, config.report.importance_s, config.train.seed),
        advice=advise(model, dataset, history, measured.test),
    )
