"""Raw cells of a sample of rows, beside what the reader made of them.

They are what a caller who has the table would send.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.data.coding.bags import take
from model.data.features import Coded
from model.schema import BagFeature, Cells
from tables.columns import parse, plain_text
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
    features = coded.features
    numeric = [_numbers_sent(raw[feature.name], table) for feature in features.numeric]
    text = [_texts_sent(raw[feature.name], strip) for feature in features.categorical]
    text += [_texts_sent(_plain(raw, feature.name), strip) for feature in features.hashed]
    text += [_bags_sent(raw[feature.name], feature, strip) for feature in features.bags]
    return Cells(
        table.row_numbers[rows],
        np.array(numeric, np.float32).reshape(len(numeric), len(rows)).T.copy(),
        np.array(text, np.object_).reshape(len(text), len(rows)).T.copy(),
        coded.numeric[rows],
        coded.codes[rows],
        tuple(take(bags, rows) for bags in coded.bags),
        None if coded.datetimes is None else coded.datetimes[rows],
    )


def _numbers_sent(cells: pl.Series, table: Table) -> NDArray[np.float64]:
    """Convert cells to numbers of a request.

    Markers stay as they are; what is not a number is null in the request, here NaN.
    """
    parsed = parse(cells.cast(pl.String) if cells.dtype in (pl.Categorical, pl.Enum) else cells, table.numerals)
    assert parsed is not None  # or it would not be a feature of numbers
    return np.asarray(parsed.fill_null(float("nan")).to_numpy(), np.float64)


def _plain(raw: pl.DataFrame, name: str) -> pl.Series:
    """Write ids as their contract says, 3 for 3.0 of floats; text stays as it stands."""
    return plain_text(raw[name], name, "features.hashed")


def _bags_sent(cells: pl.Series, feature: BagFeature, strip: bool) -> list[str]:
    """Convert cells to texts of a request: the values of an array, joined as the service does."""
    name, dtype = feature.name, cells.dtype
    if not isinstance(dtype, pl.List | pl.Array):
        cells, dtype = plain_text(cells, name, "features.bag").str.split(feature.separator), pl.List(pl.String)
    arrays = cells.to_list()
    values = pl.Series([value for array in arrays for value in array or ()], dtype=dtype.inner)
    sent = iter(_texts_sent(plain_text(values, name, "features.bag"), strip))
    return [feature.separator.join(next(sent) for _ in array or ()) for array in arrays]


def _texts_sent(cells: pl.Series, strip: bool) -> list[str]:
    """Convert cells to texts of a request, as they reach the graph.

    In Unicode's form NFC and, if the table is so read, trimmed.
    """
    cells = cells.fill_nan(None) if cells.dtype.is_float() else cells  # JSON has no NaN
    texts = cells.cast(pl.String).fill_null("").str.normalize("NFC")
    return (texts.str.strip_chars() if strip else texts).to_list()
