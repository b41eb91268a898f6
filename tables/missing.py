"""Markers of missing values: which texts, and which numbers, mean that there is no value."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_

import numpy as np
import polars as pl

from tables.config import TableData
from tables.numerals import PLAIN, Numerals

FEW_TEXTS = 16
"""Texts up to which comparing with each is cheaper than looking a value up in their set."""

MOST_ZEROS = 6
"""Decimals with which a marker's number is recognised: -200 is "-200.0" to "-200.000000" too."""


@dataclass(frozen=True)
class Markers:
    """Texts and numbers that mean "no value".

    Attributes:
        texts: compared exactly; always holds the empty one. A marker that is a number is here in
            its usual spellings.
        numbers: compared as numbers, without NaN; infinity stands for both infinities.
    """

    texts: frozenset[str] = frozenset({""})
    numbers: tuple[float, ...] = ()

    def mask(self, series: pl.Series) -> pl.Series:
        """Mark the values of a column, of whatever type, that mean "no value".

        Boolean, false where null.
        """
        marked = self.marked(pl.col(series.name), series.dtype)
        return pl.Series(np.zeros(len(series), bool)) if marked is None else series.to_frame().select(marked)[:, 0]

    def marked(self, column: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
        """Express which values of a column mean "no value"; None if no value of its type does."""
        if dtype in (pl.String, pl.Boolean):
            text = column if dtype == pl.String else column.cast(pl.String)
            few = len(self.texts) <= FEW_TEXTS
            marked = reduce(or_, (text == one for one in self.texts)) if few else text.is_in(list(self.texts))
        elif dtype.is_numeric() and self.numbers:
            kept = dtype if dtype.is_float() else pl.Float64()
            values = [*self.numbers, *(-number for number in self.numbers if math.isinf(number))]
            marked = column.cast(kept).is_in(pl.Series(values=values, dtype=kept).to_list())
        else:
            return None
        return marked.fill_null(False)


NONE = Markers()


def markers_of(data: TableData) -> Markers:
    """Collect the markers that a configuration names, its defaults included."""
    return _collected(tuple(data.markers), Numerals(data.decimal, data.thousands), data.strip)


@lru_cache(maxsize=16)
def _collected(values: tuple[str, ...], numerals: Numerals, strip: bool) -> Markers:
    """Collect markers once for all blocks of a table."""
    return collect(values, numerals, strip)


def collect(values: Iterable[str], numerals: Numerals = PLAIN, strip: bool = True) -> Markers:
    """Collect markers from their texts.

    Args:
        values: as configured: "?", "-999".
        numerals: convention of the table's numbers; a marker may also follow the plain one.
        strip: whether blanks around a marker are nothing.
    """
    given = dict.fromkeys(value.strip() if strip else value for value in values)
    texts, numbers = {"": None, **given}, dict[float, None]()
    for value in given:
        number = _number(value, numerals)
        if number is None:
            continue
        numbers[math.inf if math.isinf(number) else number] = None
        if math.isfinite(number):
            texts |= dict.fromkeys(_spellings(number, numerals))
    return Markers(frozenset(texts), tuple(numbers))


def _number(text: str, numerals: Numerals) -> float | None:
    """Read a marker as a number other than NaN; None if it is something else."""
    for convention in (numerals, PLAIN):
        number = convention.read(pl.Series([text], dtype=pl.String))[0]
        if number is not None and not math.isnan(number):
            return float(number)
    return None


def _spellings(number: float, numerals: Numerals) -> Iterable[str]:
    """List how a table or a caller writes a number: -200, -200.0, -200.00; 12.5, 12.50."""
    plain = str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
    if "e" in plain:
        yield plain
        return
    whole, _, decimals = plain.partition(".")
    for sign in dict.fromkeys((".", numerals.decimal)):
        if not decimals:
            yield whole
        yield from (f"{whole}{sign}{decimals}{'0' * zeros}" for zeros in range(not decimals, MOST_ZEROS + 1))
