"""Comparison of two loaded versions on the same rows, at once and for the asking."""

import numpy as np

from service.inference.features import Batch
from service.inference.predictor import Predictor
from service.monitoring.comparison import Pair, ShadowFigures
from service.versions.shadow import rows_reader

Numbered = tuple[int, Predictor]
"""Version by number and predictor."""


def side_by_side(name: str, pair: tuple[Numbered, Numbered], owner: Numbered, rows: Batch | None) -> ShadowFigures:
    """Answer rows by two versions of a model and compare, as a shadow is compared.

    Args:
        name: of the model.
        pair: versions to compare.
        owner: version whose rows they are; both of the pair take its features or fewer.
        rows: None for none.

    Raises:
        VersionConflict: one of the pair needs features that the rows do not have.
    """
    one, other = ((number, predictor.manifest) for number, predictor in pair)
    readers = [rows_reader(name, (owner[0], owner[1].manifest), version) for version in (one, other)]
    compared = Pair.of(name, one, other)
    if rows is None:
        return ShadowFigures.missed(compared)
    ours, theirs = (predictor.run(read(rows)) for (_, predictor), read in zip(pair, readers, strict=True))
    places = [
        np.array([manifest.task_names.index(task.name) for task in compared.tasks], np.intp)
        for _, manifest in (one, other)
    ]
    return compared.compare(ours, theirs, (places[0], places[1]))
