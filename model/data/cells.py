"""Raw cells of a sample of rows, beside what the reader made of them.

They are what a caller who has the table would send.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.data.features import Coded
from model.schema import Cells
from tables.columns import parse
from tables.source import Table


def cells_of(table: Table, coded: Coded, chosen: NDArray[np.bool_], strip: bool) -> Cells:
    """Take the chosen rows' cells from the table's sample; the whole sample if none is chosen.

    Args:
        table: of R rows, with its sample.
        coded: what was made of them.
        chosen: (R,) true for the rows of the test split.
        strip: whether blanks around a value are nothing.
    """
    places = np.searchsorted(table.row_numbers, table.sample_rows)
    here = (places < len(table)) & (table.row_numbers[np.minimum(places, len(table) - 1)] == table.sample_rows)
    wanted = here & chosen[np.minimum(places, len(table) - 1)]
    wanted = wanted if wanted.any() else here
    raw, rows = table.sample.filter(pl.Series(wanted)), places[wanted]
    numeric = [_numbers_sent(raw[feature.name], table) for feature in coded.features.numeric]
    text = [_texts_sent(raw[feature.name], strip) for feature in coded.features.categorical]
    return Cells(
        table.row_numbers[rows],
        np.array(numeric, np.float32).reshape(len(numeric), len(rows)).T.copy(),
        np.array(text, np.object_).reshape(len(text), len(rows)).T.copy(),
        coded.numeric[rows],
        coded.codes[rows],
    )


def _numbers_sent(cells: pl.Series, table: Table) -> NDArray[np.float64]:
    """Convert cells to numbers of a request.

    Markers stay as they are; what is not a number is null in the request, here NaN.
    """
    parsed = parse(cells.cast(pl.String) if cells.dtype in (pl.Categorical, pl.Enum) else cells, table.numerals)
    assert parsed is not None  # or it would not be a feature of numbers
    return np.asarray(parsed.fill_null(float("nan")).to_numpy(), np.float64)


def _texts_sent(cells: pl.Series, strip: bool) -> list[str]:
    """Convert cells to texts of a request, as they reach the graph.

    In Unicode's form NFC and, if the table is so read, trimmed.
    """
    cells = cells.fill_nan(None) if cells.dtype.is_float() else cells  # JSON has no NaN
    texts = cells.cast(pl.String).fill_null("").str.normalize("NFC")
    return (texts.str.strip_chars() if strip else texts).to_list()
