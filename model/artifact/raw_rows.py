"""Raw rows for the parity check: as a client sends them, with gaps and values never seen."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import murmurhash3_32

from model.network.inputs import Inputs, inputs_of
from model.schema import (
    FIRST_VALUE,
    MISSING,
    MISSING_TIME,
    UNKNOWN,
    BagFeature,
    Bags,
    CategoricalFeature,
    FeatureSchema,
    HashedFeature,
    Rows,
    TextFeature,
)

STRANGERS = ("never seen", "jamais vu: é" * 20, "x" * 500)
"""Values that no table holds; where one does, a number is put behind it."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class RawRows:
    """B raw rows in both forms: as a client sends them, and as the table's reader codes them.

    Attributes:
        numeric: float32 (B, N), NaN = missing.
        text: object (B, C + H + G) of str, "" = missing.
        codes: int64 (B, C + H), of schema.py.
        bags: of each bag feature B lists of codes.
        datetimes: int64 (B, K), MISSING_TIME = missing; None if K = 0.
    """

    numeric: NDArray[np.float32]
    text: NDArray[np.object_]
    codes: NDArray[np.integer]
    bags: tuple[list[list[int]], ...] = ()
    datetimes: NDArray[np.int64] | None = None

    @staticmethod
    def take(rows: Rows, chosen: NDArray[np.int64]) -> "RawRows":
        """Copy some rows of a split that has its text."""
        bags = tuple([bag.values[bag.offsets[i] : bag.offsets[i + 1]].tolist() for i in chosen] for bag in rows.bags)
        times = None if rows.datetimes is None else rows.datetimes[chosen].copy()
        return RawRows(rows.numeric[chosen].copy(), rows.text[chosen].copy(), rows.codes[chosen].copy(), bags, times)

    def inputs(self) -> Inputs:
        """Return what the reader made of the rows as a network reads it."""
        laid_out = []
        for cells in self.bags:
            offsets = np.cumsum([0, *map(len, cells)]).astype(np.int64)
            laid_out.append(Bags(np.array([code for cell in cells for code in cell], np.int64), offsets))
        labels = np.empty((len(self), 0))
        return inputs_of(Rows(self.numeric, self.codes, labels, self.text, tuple(laid_out), self.datetimes))

    def make_missing(self, where: Mask, features: FeatureSchema) -> None:
        """Make values missing; where (B, F).

        In every second row a bag is not empty text but a separator, with no value around it.
        """
        n, texts = self.numeric.shape[1], len(features.texts)
        numbers, words, times = np.split(where, [n, n + texts], axis=1)
        self.numeric[numbers] = np.nan
        self.text[words] = ""
        self.codes[words[:, : len(features.single)]] = MISSING
        first = len(features.single)
        for place, (cells, feature) in enumerate(zip(self.bags, features.bags, strict=True), start=first):
            for row in np.flatnonzero(words[:, place]):
                cells[row] = []
                self.text[row, place] = feature.separator if row % 2 else ""
        if self.datetimes is not None:
            self.datetimes[times] = MISSING_TIME

    def make_unknown(self, where: Mask, features: FeatureSchema) -> None:
        """Replace texts by values that no vocabulary holds; where (B, C + H + G).

        They are plain, long, or not ASCII, by turns. A bag keeps its own values: the stranger
        comes behind them and an empty value.
        """
        strangers = [[unknown_value(feature, text) for text in STRANGERS] for feature in features.texts]
        first = len(features.single)
        for row, place in zip(*np.nonzero(where), strict=True):
            feature, stranger = features.texts[place], strangers[place][(row + place) % len(STRANGERS)]
            code = unmet_code(feature, stranger)
            if isinstance(feature, BagFeature):
                self.bags[place - first][row].append(code)
                self.text[row, place] = feature.separator.join([self.text[row, place], "", stranger])
            else:
                self.codes[row, place] = code
                self.text[row, place] = stranger

    def __len__(self) -> int:
        return len(self.numeric)


def unknown_value(feature: TextFeature, text: str) -> str:
    """Make a value that a feature does not know, and that its separator does not cut."""
    known = frozenset(() if isinstance(feature, HashedFeature) else feature.vocabulary)
    separator = feature.separator if isinstance(feature, BagFeature) else ""
    for number in itertools.count():
        value = f"{text} {number}" if number else text
        value = value.replace(separator, "") if separator else value
        if value and value not in known:
            return value
    raise AssertionError("counting ends with no number")


def unmet_code(feature: TextFeature, value: str) -> int:
    """Encode a value that is in no vocabulary."""
    buckets = 0 if isinstance(feature, CategoricalFeature) else feature.buckets
    if isinstance(feature, CategoricalFeature) or not buckets:
        return UNKNOWN
    return FIRST_VALUE + int(murmurhash3_32(value.encode(), feature.seed, positive=True)) % buckets
