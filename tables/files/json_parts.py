"""JSON lines in parts: a few megabytes of whole lines at a time."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from tables.errors import DataError, Where
from tables.files.dtypes import joined
from tables.files.typed_files import bad_line
from tables.files.unpack import pieces

PIECE_BYTES = 8 << 20
"""Bytes that are read at once."""


def json_frames(path: Path, where: Where, schema: Mapping[str, pl.DataType]) -> Iterator[pl.DataFrame]:
    """Read a file's rows in order, in frames of any height.

    Args:
        path: of the file.
        where: it came from, for messages.
        schema: types of the columns to read.

    Raises:
        DataError: a line is not an object of such columns.
    """
    for content, before in _parts(path, where):
        yield _read(content, where, before, schema)


def json_look(path: Path, where: Where) -> tuple[dict[str, pl.DataType], int]:
    """Find the types of all columns, in the order in which rows first have them, and count rows.

    Text and numbers in one column are text; a key that a row lacks is missing there.

    Raises:
        DataError: a line is not an object, or has a value of another kind than those before it.
    """
    schema: dict[str, pl.DataType] = {}
    rows = 0
    for content, before in _parts(path, where):
        frame = _read(content, where, before, None)
        rows += frame.height
        for name, dtype in frame.schema.items():
            both = joined(schema.get(name, pl.Null()), dtype, loosely=True)
            if both is None:
                raise DataError(
                    f"{where}: column '{name}' holds {dtype} from line {before + 1} on or later, and {schema[name]} "
                    "before; write one kind"
                )
            schema[name] = both
    return schema, rows


def _read(content: bytes, where: Where, before: int, schema: Mapping[str, pl.DataType] | None) -> pl.DataFrame:
    try:
        return pl.read_ndjson(io.BytesIO(content), schema=schema, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:
        said = "".join(c for c in str(error).partition("\n")[0][:200] if c.isprintable())
        problem = bad_line(content, before) or f"the file cannot be read as JSON lines: {said}"
        raise DataError(f"{where}: {problem}") from None


def _parts(path: Path, where: Where) -> Iterator[tuple[bytes, int]]:
    """Cut a file into whole lines; yields also how many lines come before."""
    held, lines = b"", 0
    for number, piece in enumerate(pieces(path, where, PIECE_BYTES)):
        held += piece if number else _start(piece, where)
        end = held.rfind(b"\n") + 1
        if held[:end].strip():
            yield held[:end], lines
            lines += held.count(b"\n", 0, end)
            held = held[end:]
    if held.strip():
        yield held, lines


def _start(piece: bytes, where: Where) -> bytes:
    """Take off a byte order mark; refuse an array."""
    piece = piece.removeprefix(b"\xef\xbb\xbf")
    if piece.lstrip()[:1] == b"[":
        raise DataError(f"{where}: the file is one JSON array; write one object a line, as jq -c '.[]' does")
    return piece
