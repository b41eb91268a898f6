"""Cases: the grid of models, forms, rows and connections, and the few that bars need."""

from dataclasses import dataclass

from benchmarks.bodies import Format

DEMO, CENSUS = "synthetic", "census_income"
"""Paper's synthetic tasks (100 numbers, 8 experts, 2 tasks); census (7 numbers, 33 strings)."""


@dataclass(frozen=True, order=True)
class Case:
    """Cell of the table."""

    model: str
    form: Format
    rows: int
    connections: int

    def __str__(self) -> str:
        return f"{self.model} {self.form}, {self.rows} rows, concurrency {self.connections}"


ONE_ROW_BUSY = Case(DEMO, "lists", 1, 64)
ONE_ROW_ALONE = Case(DEMO, "lists", 1, 1)
MANY_ROWS_JSON = Case(DEMO, "lists", 64, 4)
MANY_ROWS_BINARY = Case(DEMO, "binary", 512, 4)
STRINGS_BUSY = Case(CENSUS, "named", 1, 64)

QUICK = (ONE_ROW_BUSY, ONE_ROW_ALONE, MANY_ROWS_JSON, MANY_ROWS_BINARY, STRINGS_BUSY)

PEERS = tuple(
    Case(DEMO, form, r, c) for form in ("lists", "v2", "binary") for r, c in ((1, 64), (64, 4))
)  # as each likes


def full() -> tuple[Case, ...]:
    """List all cells.

    The demo model everywhere; census, and JSON of the open protocol, where they tell something
    new.
    """
    rows, connections = (1, 16, 64, 512), (1, 4, 16, 64)
    forms: tuple[Format, ...] = ("lists", "binary")
    demo = [Case(DEMO, form, r, c) for form in forms for r in rows for c in connections]
    demo += [Case(DEMO, form, r, c) for form in ("named", "v2") for r, c in ((1, 64), (64, 4))]
    census = [Case(CENSUS, form, r, c) for form in ("named", "binary") for r, c in ((1, 1), (1, 64), (64, 4))]
    return tuple(demo + census)
