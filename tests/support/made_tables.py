"""Tables for Hypothesis: columns of every kind, cells of every spelling, every option."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
from hypothesis import strategies as st

ROWS = 40
MARKERS = ("?", "-", "-999", "-1.0", "-200,0", "-200", "0", "inf", "NA", "Null", "\\N", "3", "12.5")
WORDS = ("red", "green", "NA", "?", "-", "caf\u00e9", "cafe\u0301", "Null", "nan", "true", "0", "", "3", "3.0", "x y")
MOMENTS = {
    "2026-11-01T12:30:00Z": "2026-11-01T12:30:00Z",
    "2026-11-01 12:30": "2026-11-01T12:30:00Z",
    "1969-12-31T23:59:59.5+01:00": "1969-12-31T23:59:59.5+01:00",
    "0001-01-01": "0001-01-01T00:00:00Z",
    "1793536200": 1793536200,
}
"""Moments of a table, and how a caller sends each: with its zone."""

NUMBERS = (-999.0, -200.0, -1.0, -0.5, 0.0, 1.0, 3.0, 12.5, 1e6, 2.5e-3, 1234567.0, 16777217.0)


@dataclass(frozen=True)
class MadeTable:
    """Table, the sections of a configuration that read it, and its file format."""

    frame: pl.DataFrame
    data: dict[str, Any]
    features: dict[str, Any]
    parquet: bool

    def write(self, path: Path) -> Path:
        """Write the file."""
        if self.parquet:
            self.frame.write_parquet(path)
        else:
            self.frame.write_csv(path, separator=";")
        return path


def written(number: float, decimal: str, thousands: str, form: int) -> str:
    """Spell a number in some way.

    Plainly, with a further zero, with an exponent, with a sign between thousands.
    """
    text = f"{number:.4f}".rstrip("0").rstrip(".")
    if form == 1:
        text = f"{number:.2f}" if number == round(number, 2) else text
    if form == 2:
        return f"{number:e}".replace(".", decimal)
    if form == 3 and thousands:
        text = f"{number:,.4f}".rstrip("0").rstrip(".").replace(",", "\0")
    return text.replace(".", decimal).replace("\0", thousands)


@st.composite
def made_tables(draw: st.DrawFn) -> MadeTable:
    """Draw a table of a few columns and the options that read it.

    A seed decides the cells, which there are hundreds of.
    """
    parquet, strip, random = draw(st.booleans()), draw(st.booleans()), Random(draw(st.integers(0, 1 << 32)))
    decimal, thousands = draw(st.sampled_from([(".", ""), (",", ""), (",", "."), (".", ","), (".", " "), (",", "'")]))
    key = draw(st.sampled_from(["missing", "missing_only"]))
    pooling, buckets = draw(st.sampled_from(["mean", "sum"])), draw(st.sampled_from([0, 10_000]))
    data = {
        key: draw(st.lists(st.sampled_from(MARKERS), max_size=5, unique=True)),
        "strip": strip,
        "decimal": decimal,
        "thousands": thousands,
        **({} if parquet else {"separator": ";"}),
    }
    cells = _typed_columns(random) if parquet else _text_columns(random, strip, decimal, thousands)
    declared = [name for name in cells if name.startswith("declared")]
    plain: dict[str, Any] = {"z": [0.5 + row % 7 for row in range(ROWS)], "y": [row % 5 for row in range(ROWS)]}
    if not parquet:
        plain = {name: [written(v, decimal, "", 0) for v in values] for name, values in plain.items()}
    features = {
        "categorical": declared,
        "hashed": {name: 10_000 for name in cells if name.startswith("id")},
        "bag": {name: {"pooling": pooling, "buckets": buckets} for name in cells if name.startswith("bag")},
        "datetime": {name: ["hour", "weekday", "day_of_year", "days"] for name in cells if name.startswith("at")},
        "min_count": draw(st.sampled_from([1, 2])),
        "max_values": draw(st.sampled_from([0, 6])),
    }
    return MadeTable(pl.DataFrame({**cells, **plain}), data, features, parquet)


def _text_columns(random: Random, strip: bool, decimal: str, thousands: str) -> dict[str, Any]:
    odd = ["", "NA", "?", "-999", f"-200{decimal}0"]
    numbers = [written(number, decimal, thousands, form) for number in NUMBERS for form in range(4)]
    keys = [written(number, decimal, "", form) for number in (-1.0, 0.0, 3.0, 200.0) for form in range(2)]
    kinds: dict[str, list[str]] = {
        "number": numbers + odd * random.randrange(3),
        "declared number": random.sample(numbers, 8) + odd,
        "declared key": keys + odd * random.randrange(2),
        "word": list(WORDS),
        "declared boolean": ["True", "False", ""],
        "id": [*WORDS, *keys],
        "at": [*MOMENTS, ""],
    }
    blanks = ["", "", "", "", " ", "  ", "\t", "\u00a0", "\u2003 "] if strip else [""]
    made = {
        name: ["".join(map(random.choice, (blanks, cells, blanks))) for _ in range(ROWS)]
        for name, cells in kinds.items()
    }
    bags = ["|".join(random.choices(made["word"], k=random.randrange(4))) for _ in range(ROWS)]
    return {**made, "bag": bags}


def _typed_columns(random: Random) -> dict[str, Any]:
    whole = [-999, -200, -1, 0, 1, 3]
    kinds: dict[str, tuple[list[Any], Any]] = {
        "number": ([*NUMBERS, float("nan")], pl.Float64),
        "small": ([-999.0, -1.0, 0.1, 12.5], pl.Float32),
        "whole": (whole, pl.Int64),
        "declared number": ([*NUMBERS, float("nan")], pl.Float64),
        "declared whole": (whole, pl.Int16),
        "declared decimal": ([Decimal(text) for text in ("-999", "-1", "3.00", "3.50", "0")], pl.Decimal(12, 2)),
        "word": (list(WORDS), pl.String),
        "category": (["a", "NA", "?"], pl.Categorical),
        "boolean": ([False, True], pl.Boolean),
        "id": ([*whole, 10**15], pl.Int64),
        "id float": ([-999.0, 3.0, 1e6, float("nan")], pl.Float64),
        "id word": (list(WORDS), pl.String),
        "at": (
            [datetime(2026, 11, 1, 12, 30), datetime(1, 1, 1), datetime(1969, 12, 31, 23, 59, 59, 5)],
            pl.Datetime("us"),
        ),
        "at zoned": ([datetime(2026, 11, 1, 12, 30, tzinfo=UTC)], pl.Datetime("ms", "Europe/Berlin")),
        "at date": ([date(2026, 11, 1), date(1969, 12, 31)], pl.Date),
    }
    made = {
        name: pl.Series(name, [random.choice([*cells, None]) for _ in range(ROWS)], dtype)
        for name, (cells, dtype) in kinds.items()
    }
    bags: dict[str, tuple[list[Any], Any]] = {
        "bag": ([*WORDS, None], pl.String),
        "bag whole": ([*whole, None], pl.Int32),
    }
    lists = {
        name: pl.Series(name, [_list(random, cells) for _ in range(ROWS)], pl.List(dtype))
        for name, (cells, dtype) in bags.items()
    }
    return {**made, **lists}


def _list(random: Random, cells: list[Any]) -> list[Any] | None:
    return random.choices(cells, k=random.randrange(4)) if random.randrange(5) else None
