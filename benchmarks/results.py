"""Measurements, and medians and ratios over repeats.

Pairs of the same repeat are compared, so that drift cancels.
"""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.bodies import Format
from benchmarks.cases import Case


@dataclass(frozen=True)
class Measurement:
    """Measurement of one burst of load on one server.

    Attributes:
        server_share: CPU time of the server's processes over wall time; 1.0 is a full core.
        generator_share: the same of the load generator; near 1.0 it is the bottleneck.
        failed: requests refused, broken or timed out; a figure with any is not comparable.
        memory_mb: resident memory of the server's largest process after the burst.
    """

    contender: str
    model: str
    form: Format
    rows: int
    connections: int
    repeat: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    server_share: float
    generator_share: float
    memory_mb: float

    @property
    def rows_per_s(self) -> float:
        """Multiply requests by their rows."""
        return self.requests_per_s * self.rows

    @property
    def cpu_us(self) -> float:
        """Divide the server's CPU time by its requests.

        Steadier than their rate where the machine has other work.
        """
        return 1e6 * self.server_share / max(self.requests_per_s, 1e-9)

    @property
    def case(self) -> Case:
        """Return the cell that this belongs to."""
        return Case(self.model, self.form, self.rows, self.connections)


@dataclass(frozen=True)
class Spread:
    """Median of some figures, and their extremes."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> "Spread":
        """Summarise one figure or more."""
        known = list(figures)
        return cls(statistics.median(known), min(known), max(known))

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.least)} to {_short(self.most)})"


Read = Callable[[Measurement], float]


def select(results: Sequence[Measurement], case: Case, contender: str) -> list[Measurement]:
    """List the repeats of one cell and server, in order."""
    return sorted((m for m in results if m.case == case and m.contender == contender), key=lambda m: m.repeat)


def ratio(results: Sequence[Measurement], case: Case, over: str, under: str, read: Read) -> Spread | None:
    """Divide a figure of one server by that of another within each repeat.

    None where either was not measured.
    """
    below = {m.repeat: read(m) for m in select(results, case, under)}
    pairs = [(read(m), below[m.repeat]) for m in select(results, case, over) if below.get(m.repeat)]
    return Spread.of(a / b for a, b in pairs) if pairs else None


def cases_of(results: Sequence[Measurement]) -> list[Case]:
    """List the cells in the order in which they were first measured."""
    return list(dict.fromkeys(m.case for m in results))


def contenders_of(results: Sequence[Measurement], case: Case) -> list[str]:
    """List the servers measured in a cell, in the order of the first repeat."""
    return list(dict.fromkeys(m.contender for m in results if m.case == case))


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"
