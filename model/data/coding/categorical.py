"""Categories: a value a cell, known by a vocabulary."""

import polars as pl

from model.data.coding.vocabulary import Counts, ValueIndex
from model.schema import UNKNOWN, CategoricalFeature

Spellings = tuple[tuple[str, str], ...]


def categorical_feature(
    name: str, counts: Counts, vocabulary: tuple[str, ...], spellings: Spellings = (), table: str = ""
) -> CategoricalFeature:
    """Describe a column of categories by its training rows.

    Args:
        name: of the feature.
        counts: of the training rows' values.
        vocabulary: of the feature's embedding table, by `choose`, of this column's counts or of
            those of all columns that share the table.
        spellings: as `spellings_of` lists them, of all rows, of values in the vocabulary.
        table: name of the first feature with this embedding table; empty for the first itself.
    """
    unknown = ValueIndex(vocabulary).codes(counts.values) == UNKNOWN
    return CategoricalFeature(
        name,
        vocabulary=vocabulary,
        missing_share=counts.missing / counts.total,
        unknown_share=float(counts.counts[unknown].sum()) / counts.total,
        spellings=spellings,
        table=table,
    )


def spellings_of(given: pl.Series, text: pl.Series) -> Spellings:
    """List the spellings of values that the vocabulary writes otherwise.

    Args:
        given: (R,) text as the table's type writes it.
        text: (R,) the same without decimals that say nothing.
    """
    other = (given != text).fill_null(False)
    if not other.any():
        return ()
    pairs = pl.DataFrame({"given": given.filter(other), "text": text.filter(other)}).unique().sort("given")
    return tuple(pairs.rows())
