"""Files that tell numbers from text themselves: Parquet, Arrow (Feather) and JSON lines."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import polars as pl

from tables.errors import DataError, Where
from tables.files import table_probe

TypedKind = Literal["parquet", "arrow", "jsonl"]

WORDS: dict[TypedKind, str] = {"parquet": "Parquet", "arrow": "Arrow", "jsonl": "JSON lines"}

END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
"""Optional in the format, but written by all known writers.

Without it a stream may have lost batches of rows.
"""


NO_END = "the Arrow stream has no end mark; it may be damaged or cut short: write it anew"


def read_typed(content: bytes, kind: TypedKind, path: Where) -> pl.DataFrame:
    """Read a table whose columns have types.

    Args:
        content: of the file, unpacked.
        kind: of the file.
        path: of the file, for messages.

    Raises:
        DataError: the file is damaged or of another kind.
    """
    if kind == "jsonl":
        content = content.removeprefix(b"\xef\xbb\xbf")
        if content.lstrip()[:1] == b"[":
            raise DataError(f"{path}: the file is one JSON array; write one object a line, as jq -c '.[]' does")
    if not content.strip():
        raise DataError(f"{path}: the table is empty")
    if kind == "arrow" and not content.startswith(b"ARROW1") and not content.endswith(END_OF_STREAM):
        raise DataError(f"{path}: {NO_END}")
    tried = subprocess.run(
        [sys.executable, "-P", table_probe.__file__, kind], input=content, capture_output=True, check=False
    )
    if tried.returncode == 0:
        return table_probe.read(content, kind)
    problem = bad_line(content) if kind == "jsonl" else ""
    if not problem:
        problem = damaged(kind, tried.stdout.decode(errors="replace"))
    raise DataError(f"{path}: {problem}")


def check_end(path: Path, where: Where) -> None:
    """Refuse an Arrow stream without its end; `where` it came from is for the message."""
    with path.open("rb") as file:
        if file.read(6) == b"ARROW1":
            return
        file.seek(max(0, path.stat().st_size - len(END_OF_STREAM)))
        if file.read() != END_OF_STREAM:
            raise DataError(f"{where}: {NO_END}")


def damaged(kind: TypedKind, said: str) -> str:
    """Describe a file whose reader raised an error, or broke down without a word."""
    said = "".join(c for c in said.strip()[:200] if c.isprintable())
    reason = f": {said}" if said else ", and breaks the reader down"
    return f"the file cannot be read as {WORDS[kind]}{reason}; it may be damaged or cut short: write it anew"


def bad_line(content: bytes, before: int = 0) -> str:
    """Describe the first bad line of JSON lines.

    It is not a JSON object, or has a value of another kind than those before it.

    Args:
        content: of whole lines.
        before: lines of the file that come before.
    """
    kinds: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(content.split(b"\n"), start=before + 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:  # ValueError: of JSON, of UTF-8, of a constant
            return f"line {number} is not JSON: {str(error)[:200]}; write one whole object a line"
        if not isinstance(row, dict):
            return f'line {number} holds {type(row).__name__}, expected an object such as {{"age": 39}}'
        for name, value in row.items():
            kind = _kind(value)
            first, where = kinds.setdefault(name, (kind, number)) if kind else ("", 0)
            if kind and kind != first:
                return f"column {name!r} holds {first} in line {where} and {kind} in line {number}; write one kind"
    return ""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value, write null")


def _kind(value: object) -> str:
    if value is None:
        return ""
    words = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return words.get(type(value), "an object")
