"""What a run of a model gives: arrays by output, cut into the parts of those who asked."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.features import all_finite

Floats = NDArray[np.float32]
Outputs = dict[str, Floats]


class Answer(NamedTuple):
    """Hold what a run gave for B rows, in their order.

    Attributes:
        tasks: name -> float32 (B,), or (B, K) for multiclass; empty where only gates were asked for.
        gate_weights: float32 (B, T, E); None without gates.
        contributions: float32 (B, T, E, N + C), only where asked for.
    """

    tasks: Outputs
    gate_weights: Floats | None
    contributions: Floats | None = None

    def slice(self, start: int, stop: int) -> "Answer":
        """Return rows start to stop (exclusive) as views."""
        return Answer(
            {name: values[start:stop] for name, values in self.tasks.items()},
            None if self.gate_weights is None else self.gate_weights[start:stop],
            None if self.contributions is None else self.contributions[start:stop],
        )

    def arrays(self) -> list[Floats]:
        """List every array."""
        return [*self.tasks.values(), *[a for a in (self.gate_weights, self.contributions) if a is not None]]

    def is_finite(self) -> bool:
        """Tell whether no number is NaN or infinite; cheap enough for every answer."""
        return all(map(all_finite, self.arrays()))

    def rows_not_finite(self) -> list[int]:
        """List the rows with a NaN or infinity in any answer: numbers so extreme that float32 overflows on the way."""
        wrong = [~np.isfinite(array).reshape(len(array), -1).all(axis=1) for array in self.arrays()]
        return [int(row) for row in np.flatnonzero(np.any(wrong, axis=0))]
