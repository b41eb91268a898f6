"""Remarks on columns: what is probably not meant, one line a column, with the way out."""

import re
from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tables.numerals import PLAIN, Numerals
from tables.source import Table

DATE = r"^\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([T\s].*)?$"
EXPONENT, LEADING_ZERO, COUNTRY = r"^\d+[eE]\d+$", r"^[+-]?0\d", r"^[A-Z]{2}$"
SIGNS = r"^(?:[$€£¥₹%‰]|EUR|USD|GBP|CHF)\s*|\s*(?:[$€£¥₹%‰]|EUR|USD|GBP|CHF)$"
TOTALS = re.compile(r"(grand |sub)?totals?|sum|summe|gesamt|insgesamt|totale|total general", re.IGNORECASE)

STRAY_SHARE = 0.05
"""Share of present values below which those that are not numbers are odd cells."""

MIXED_SHARE = 0.5
"""Numbers for each other value from which there is a remark on categories that are mixed."""

IDENTIFIER_SHARE, IDENTIFIER_ROWS = 0.95, 100
"""Different whole numbers a present value, and rows, from which a column may be an identifier."""

LARGEST_EXACT = 2.0**24
"""Largest whole number up to which float32 has every one."""

MERGED_SHARE = 0.01
"""Share of different decimal numbers that are one in float32 above which there is a remark."""

CONVENTIONS = (
    *(PLAIN, Numerals(".", ","), Numerals(","), Numerals(",", ".")),
    *(Numerals(".", " "), Numerals(",", " "), Numerals(".", "'"), Numerals(",", "'")),
)
"""Other ways to write numbers, the most common first."""


class Remarks:
    """Collection of remarks, in the order of the columns that they are first made on."""

    def __init__(self) -> None:
        self._by_column: dict[str, list[str]] = {}

    def add(self, column: str, *remarks: str) -> None:
        """Add remarks on a column, if any."""
        if remarks:
            self._by_column.setdefault(column, []).extend(remarks)

    def add_all(self, remarks: Iterable[tuple[str, str]]) -> None:
        """Add pairs of a column and a remark."""
        for column, remark in remarks:
            self.add(column, remark)

    def lines(self) -> list[str]:
        """List the remarks, one line a column."""
        return [f"{column}: {'; '.join(remarks)}" for column, remarks in self._by_column.items()]


def quoted(value: object) -> str:
    """Show a cell in quotes, cut where it is long."""
    text = str(value)
    text = text if text.isprintable() else repr(text)[1:-1]
    return f"'{text if len(text) <= 40 else text[:37] + '...'}'"


def shown(table: Table, name: str, mask: NDArray[np.bool_]) -> str:
    """Describe the cells of a mask (R,) that has one at least.

    Their first values, and the row of the first.
    """
    cells = table.frame[name].filter(pl.Series(mask)).unique(maintain_order=True)
    values = ", ".join(quoted(value) for value in cells.head(3)) + (f" and {len(cells) - 3:,} more" * (len(cells) > 3))
    first = table.row_numbers[int(np.argmax(mask))]
    return f"({values}, {'' if mask.sum() == 1 else 'first in '}row {first})"


def on_odd_cells(table: Table, name: str, other: NDArray[np.bool_], numbers: int, kind: str) -> Iterator[str]:
    """Remark on a column's stray values, those that are not numbers beside numbers.

    Says which, and what becomes of them.

    Args:
        table: of R rows.
        name: of the column.
        other: (R,) true for a present value that is not a number.
        numbers: how many are.
        kind: that the column is taken for.
    """
    count = int(other.sum())
    if not count:
        return
    setting = _way_out(table, name, other)
    if kind == "categorical" and numbers < MIXED_SHARE * count and not setting:
        return  # plain words
    values = f"{numbers:,} number{'s' * (numbers != 1)} and {count:,} other value{'s' * (count > 1)}"
    values = values if numbers else f"{count:,} value{'s' * (count > 1)}"
    cells = "those cells" if count > 1 else "that cell"
    taken = f"taken as numbers, {cells} as missing" if kind == "numeric" else "taken as categories"
    if kind == "categorical" and not setting:
        setting = "add what means missing to data.missing, or name it in features.categorical"
    yield f"{values} {shown(table, name, other)}: {taken}" + (f"; {setting}" if setting else "")


def _way_out(table: Table, name: str, other: NDArray[np.bool_]) -> str:
    """Name the setting by which stray cells would be numbers; nothing if there is none."""
    series = table.frame[name]
    cells = series.filter(pl.Series(other))
    fits = [n for n in CONVENTIONS if n != table.numerals and _reads(n, series) and _reads(n, cells)]
    if fits:
        settings = [_setting(n, table.numerals) for n in fits if n.thousands == fits[0].thousands or not n.thousands]
        return f"set {' or '.join(dict.fromkeys(settings))} to read them as numbers"
    bare = cells.str.replace_all(SIGNS, "")
    if any(_reads(n, bare) for n in (table.numerals, *CONVENTIONS)):
        return "take the per cent or currency sign away in the table to have them as numbers"
    return ""


def _reads(numerals: Numerals, cells: pl.Series) -> bool:
    """Check whether all present cells but odd ones are numbers in a convention."""
    present = cells.drop_nulls()
    return len(present) > 0 and numerals.read(present).null_count() < STRAY_SHARE * len(present)


def _setting(wanted: Numerals, now: Numerals) -> str:
    keys = [("decimal", wanted.decimal, now.decimal), ("thousands", wanted.thousands, now.thousands)]
    return " and ".join(f'data.{key} = "{value}"' for key, value, before in keys if value != before)


def on_numbers(table: Table, name: str, values: NDArray[np.float64]) -> Iterator[str]:
    """Remark on a column that is taken as numbers (R,) because it looks like them."""
    series = table.frame[name]
    if series.dtype == pl.String:
        for pattern, what in ((EXPONENT, "read as powers of ten"), (LEADING_ZERO, "read without their leading zeros")):
            like = series.str.contains(pattern).fill_null(False).to_numpy()
            if like.any():
                yield (
                    f"values {shown(table, name, like)} {what}: taken as numbers; name it in features.categorical if "
                    "they are codes"
                )
    present = values[~np.isnan(values)]
    different, whole = len(np.unique(present)), bool((present == np.round(present)).all())
    if whole and len(present) >= IDENTIFIER_ROWS and different >= IDENTIFIER_SHARE * len(present):
        yield (
            f"{different:,} different whole numbers in {len(present):,} rows, as an identifier has: taken as numbers; "
            "name it in features.hashed to learn of each, add it to data.drop, or to features.numeric if it is a "
            "quantity"
        )


def on_precision(series: pl.Series, values: NDArray[np.float64]) -> Iterator[str]:
    """Remark on numbers (R,) that differ in the table and are one in float32.

    The network computes in float32.
    """
    present = np.sort(values[~np.isnan(values)])
    whole = bool((present == np.round(present)).all())
    if series.dtype == pl.Float32 or not len(present) or (whole and np.abs(present[[0, -1]]).max() <= LARGEST_EXACT):
        return
    different, left = _count_distinct(present), _count_distinct(present.astype(np.float32))
    if not series.dtype.is_float():
        exact = series.cast(pl.Int64, strict=False) if series.dtype == pl.String else series
        different = max(different, exact.drop_nulls().n_unique())
    if left < different * (1.0 if whole else 1.0 - MERGED_SHARE):
        yield (
            f"{different:,} different numbers are {left:,} in float32, in which the network computes: name it in "
            f"features.categorical, or subtract an origin in the table, such as {float(present[0]):.10g}"
        )


def _count_distinct(ascending: NDArray[np.floating]) -> int:
    return 1 + int(np.count_nonzero(ascending[1:] != ascending[:-1]))


def on_categories(table: Table, name: str) -> Iterator[str]:
    """Remark on a column that is taken as categories because it does not look like numbers."""
    series = table.frame[name]
    if series.dtype != pl.String:
        return
    some = series.drop_nulls()
    if len(some) and int((~some.str.contains(DATE)).sum()) < STRAY_SHARE * len(some):
        yield (
            f"looks like dates ({quoted(some[0])}): taken as categories, so that a day that training has not met is "
            "unknown; name it in features.datetime to have parts of it, or add it to data.drop"
        )
    if table.typed and len(some) and not table.numerals.read(some).null_count():
        yield (
            f"text that holds numbers alone ({quoted(some[0])}): taken as categories; name it in features.numeric to "
            "have them as numbers, or in features.categorical"
        )
    if name in table.not_available:
        count, first = table.not_available[name]
        codes = some.unique()
        if len(codes) > 1 and bool(codes.str.contains(COUNTRY).all()):
            yield (
                f"{count:,} cell{'s hold' if count > 1 else ' holds'} 'NA' (first in row {first}) beside codes such as "
                f"{quoted(some[0])}: taken as missing; if it is a code, of Namibia for example, set "
                'data.missing_only = [""], else add "NA" to data.missing'
            )


def on_not_available(table: Table, columns: Iterable[str]) -> list[str]:
    """Note which of these columns of categories hold 'NA'.

    It means missing unless the configuration has a say.
    """
    cells = [f"{table.not_available[name][0]:,} of '{name}'" for name in columns if name in table.not_available]
    more = f" and of {len(cells) - 5} more columns" * (len(cells) > 5)
    said = f"Cells with 'NA' are missing: {', '.join(cells[:5])}{more}; "
    return [said + "set data.missing_only if it is a value, else add it to data.missing."] if cells else []


def on_totals(table: Table) -> Iterator[tuple[str, str]]:
    """Remark on a last row that looks like the sums of the others.

    Yields pairs of a column and a remark.
    """
    if len(table) < 2:
        return
    for series in table.frame.iter_columns():
        value = series[-1]
        if isinstance(value, str) and TOTALS.fullmatch(value.strip(" :")) and int((series == value).sum()) == 1:
            yield (
                series.name,
                f"the last row ({table.row_numbers[-1]}) holds {quoted(value)} and looks like sums of the others: "
                f'leave it out, by data.keep = ["{series.name} != {value}"] for example',
            )
            return


def on_constant(values: pl.Series) -> Iterator[str]:
    """Remark on a feature that has one value in every row.

    `values` has null where the table has none.
    """
    if not values.null_count() and bool((values == values[0]).all()):
        value = str(values[0]).lower() if values.dtype == pl.Boolean else values[0]
        yield f"holds {quoted(value)} in every row, which tells nothing; add it to data.drop"
