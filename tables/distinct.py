"""Distinct values of a column, where so few that looking at each spares looking at rows."""

import polars as pl

PROBED, FEW_SHARE = 4096, 0.25
"""First rows, and the share of them up to which their distinct values are few."""


def few_values(series: pl.Series) -> pl.Series | None:
    """Return the distinct values of a column; None where its first rows have many."""
    probe = series.head(PROBED)
    return series.unique() if probe.n_unique() <= FEW_SHARE * len(probe) else None
