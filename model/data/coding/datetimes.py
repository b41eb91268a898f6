"""Datetimes: epoch seconds, of which the network sees parts."""

import numpy as np
from numpy.typing import NDArray

from model.data.coding.numeric import Statistics, statistics_of
from model.schema import MISSING_TIME, DatetimeFeature, DatetimePart

DAY_S = 86_400.0


def seconds_statistics(seconds: NDArray[np.int64], weights: NDArray[np.floating] | None = None) -> Statistics:
    """Sum up epoch seconds (R,), MISSING_TIME = missing; years 1 to 9999 are exact in float64."""
    return statistics_of(np.where(seconds == MISSING_TIME, np.nan, seconds.astype(np.float64)), weights)


def datetime_feature(name: str, parts: tuple[DatetimePart, ...], statistics: Statistics) -> DatetimeFeature:
    """Describe a column of moments by the `seconds_statistics` of its training rows."""
    if not statistics.count:
        return DatetimeFeature(name, parts, minimum=0, maximum=0, missing_share=1.0)
    constant = statistics.minimum == statistics.maximum
    return DatetimeFeature(
        name,
        parts,
        minimum=int(statistics.minimum),
        maximum=int(statistics.maximum),
        mean_days=statistics.mean / DAY_S,
        std_days=1.0 if constant else statistics.std / DAY_S,
        missing_share=statistics.missing_share,
    )
