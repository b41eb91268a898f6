"""Judgement of a trained model before it is published, for its report and its manifest."""

from dataclasses import dataclass

from model.artifact.comparison import Comparison
from model.network.model import Predictions


@dataclass(frozen=True)
class Judgement:
    """Findings about a trained model.

    Attributes:
        test: its answers to the test rows.
        comparison: with the published version, if one was asked for and there is one.
    """

    test: Predictions
    comparison: Comparison | None = None
