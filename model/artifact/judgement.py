"""Judgement of a trained model before it is published, for its report and its manifest."""

from dataclasses import dataclass

from model.artifact.comparison import Comparison
from model.config.run import Config
from model.evaluation.advice import advise
from model.evaluation.importance import Importance, permutation_importance
from model.evaluation.segments import SegmentTable, segment_tables
from model.network.model import Model, Predictions, predict
from model.schema import Dataset
from model.training.progress import History


@dataclass(frozen=True)
class Judgement:
    """Findings about a trained model.

    Attributes:
        test: its answers to the test rows.
        comparison: with the published version, if one was asked for and there is one.
        segments: of the test rows, by the columns of the report.
        importance: of the features, if the report may spend time on it.
        advice: warnings, each with what to do.
    """

    test: Predictions
    comparison: Comparison | None = None
    segments: tuple[SegmentTable, ...] = ()
    importance: Importance | None = None
    advice: tuple[str, ...] = ()


def judge(
    model: Model, dataset: Dataset, config: Config, history: History, comparison: Comparison | None = None
) -> Judgement:
    """Judge a trained model by its test rows, and by the course of its training."""
    test = predict(model, dataset.test)
    return Judgement(
        test,
        comparison,
        tuple(segment_tables(dataset, test)),
        permutation_importance(model, dataset, config.report.importance_s, config.train.seed),
        advise(model, dataset, history, test),
    )
