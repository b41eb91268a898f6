"""Tables for Hypothesis: columns of every kind, cells of every spelling, every option."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
from hypothesis import strategies as st

ROWS = 40
MARKERS = ("?", "-", "-999", "-1.0", "-200,0", "-200", "0", "inf", "NA", "Null", "\\N", "3", "12.5")
WORDS = ("red", "green", "NA", "?", "-", "caf\u00e9", "cafe\u0301", "Null", "nan", "true", "0", "", "3", "3.0", "x y")
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
    features = {"categorical": declared, "min_count": draw(st.sampled_from([1, 2]))}
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
    }
    blanks = ["", "", "", "", " ", "  ", "\t", "\u00a0", "\u2003 "] if strip else [""]
    return {
        name: ["".join(map(random.choice, (blanks, cells, blanks))) for _ in range(ROWS)]
        for name, cells in kinds.items()
    }


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
    }
    return {
        name: pl.Series(name, [random.choice([*cells, None]) for _ in range(ROWS)], dtype)
        for name, (cells, dtype) in kinds.items()
    }
