"""Numerals: reading of numbers from text by decimal sign and sign between thousands."""

import re
from dataclasses import dataclass

import polars as pl

BLANKS = " \u00a0\u202f"
"""Blanks between thousands: the plain one, the one that breaks no line, and the narrow one."""


@dataclass(frozen=True)
class Numerals:
    """Convention for numbers written as text.

    Attributes:
        decimal: sign before the decimals, one character.
        thousands: sign between groups of three digits, one character; empty if there is none. A
            plain blank stands for every kind of blank.
    """

    decimal: str = "."
    thousands: str = ""

    def read(self, text: pl.Series) -> pl.Series:
        """Read text as float64; null where it is not a number in this convention.

        A minus sign may be a hyphen, as a computer writes it, or U+2212. A sign between thousands
        must stand before three digits and not behind a leading zero ("1,234", also "1,00,000"), so
        that "1,5" is never 15.
        """
        text = text.str.strip_chars().str.replace("\u2212", "-", literal=True)
        if self.thousands:
            sign = f"[{re.escape(BLANKS if self.thousands == ' ' else self.thousands)}]"
            grouped = rf"^[+-]?[1-9]\d{{0,2}}(?:{sign}\d{{2,3}})*{sign}\d{{3}}(?:{re.escape(self.decimal)}\d*)?$"
            joined = text.str.replace_all(sign, "")
            text = joined.zip_with(text.str.contains(grouped).fill_null(False), text)
        if self.decimal != ".":
            pointed = text.str.contains(".", literal=True).fill_null(False)
            text = text.set(pointed, None).str.replace(self.decimal, ".", literal=True)
        return text.cast(pl.Float64, strict=False)


PLAIN = Numerals()
