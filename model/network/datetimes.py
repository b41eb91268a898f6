"""Encoding of moments: sine and cosine of cyclic parts, and days as a number."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.schema import MISSING_TIME, DatetimeFeature

DAY = 86_400
"""Seconds."""

FIRST_WEEKDAY = 3
"""Weekday of 1970-01-01, a Thursday; Monday is 0."""

YEAR = 3_652_425
"""Ten thousandths of a day; a year of the Gregorian calendar is 365.2425 days on average."""

CYCLES = {"hour": DAY, "weekday": 7, "day_of_year": YEAR}
"""Period of each cyclic part, in steps of the whole number that `_turns` gives for it."""


class DatetimeEncoding(nn.Module):
    """Encoding of K datetime features as W columns.

    Every cyclic part of a feature has a sine and a cosine, `days` is standardised, and a feature
    that was ever missing in training has an indicator. A missing moment has 0 in all of its other
    columns. Arithmetic is of whole numbers as long as it can be, since float32 steps by 128 among
    epoch seconds, and no calendar is needed.

    Attributes:
        owners: of each of the W columns, the feature (0..K-1).
    """

    cyclic_features: Tensor
    cyclic: Tensor
    angle: Tensor
    dated: Tensor
    whole_mean: Tensor
    rest_of_mean: Tensor
    std: Tensor
    indicated: Tensor

    def __init__(self, features: Sequence[DatetimeFeature], limit: float) -> None:
        super().__init__()
        self.limit = limit
        parts = [(k, part) for k, feature in enumerate(features) for part in feature.parts]
        cyclic = [(k, part) for k, part in parts if part in CYCLES]
        dated = [k for k, part in parts if part == "days"]
        indicated = [k for k, feature in enumerate(features) if feature.missing_share > 0.0]
        self.parts = [part for part in CYCLES if any(part == other for _, other in cyclic)]
        self.owners = [k for k, _ in cyclic] * 2 + dated + indicated
        means, stds = [features[k].mean_days for k in dated], [features[k].std_days for k in dated]
        self._keep("cyclic_features", [k for k, _ in cyclic])
        self._keep("cyclic", [self.parts.index(part) * len(features) + k for k, part in cyclic])
        self._keep("angle", [2.0 * math.pi / CYCLES[part] for _, part in cyclic], torch.float32)
        self._keep("dated", dated)
        self._keep("whole_mean", [math.floor(mean) for mean in means])
        self._keep("rest_of_mean", [mean - math.floor(mean) for mean in means], torch.float32)
        self._keep("std", stds, torch.float32)
        self._keep("indicated", indicated)

    def _keep(self, name: str, values: Sequence[float], dtype: torch.dtype = torch.int64) -> None:
        """Keep constants that follow from the features, and so stand in no file of weights."""
        self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

    def forward(self, times: Tensor) -> Tensor:
        """Encode epoch seconds int64 (B, K), MISSING_TIME = missing, as (B, W)."""
        missing = times == MISSING_TIME  # (B, K)
        known = torch.where(missing, 0, times)
        seconds = known.remainder(DAY)  # of the day, also before 1970
        days = known // DAY  # floor, of whole numbers in the graph too; a mode of torch.div goes through float32
        columns: list[Tensor] = []
        if self.parts:
            turns = torch.cat([_turns(part, days, seconds) for part in self.parts], dim=-1)
            angles = turns.index_select(-1, self.cyclic).to(self.angle.dtype) * self.angle  # (B, P)
            absent = missing.index_select(-1, self.cyclic_features)
            columns += [torch.where(absent, 0.0, wave) for wave in (angles.sin(), angles.cos())]
        if len(self.dated):
            whole = (days.index_select(-1, self.dated) - self.whole_mean).to(self.std.dtype)
            share = seconds.index_select(-1, self.dated).to(self.std.dtype) / DAY - self.rest_of_mean
            scaled = ((whole + share) / self.std).clamp(-self.limit, self.limit)
            columns.append(torch.where(missing.index_select(-1, self.dated), 0.0, scaled))
        if len(self.indicated):
            columns.append(missing.index_select(-1, self.indicated).to(self.std.dtype))
        return torch.cat(columns, dim=-1)


def _turns(part: str, days: Tensor, seconds: Tensor) -> Tensor:
    """Compute a cyclic part, int64 (B, K), in steps of which CYCLES has the count of a turn.

    Args:
        part: of a moment.
        days: int64 (B, K), whole days since 1970-01-01.
        seconds: int64 (B, K), of the day.
    """
    if part == "hour":
        return seconds
    return (days + FIRST_WEEKDAY).remainder(7) if part == "weekday" else (days * 10_000).remainder(YEAR)
