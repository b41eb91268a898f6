"""Readers of Parquet, Arrow and JSON lines, and a trial of one in a process of its own.

A damaged file can make a reader claim more memory than there is, which aborts the whole process:
no exception is raised. So a child process, `python table_probe.py KIND < FILE`, reads the file
first. It imports polars alone, to be quick, and prints the first line of the error.
"""

import io
import os
import sys
from collections.abc import Callable

import polars as pl


def read(content: bytes, kind: str) -> pl.DataFrame:
    """Read a file of a kind: "parquet", "arrow" (a file or a stream) or "jsonl".

    Raises:
        BaseException: of many types, pyo3's PanicException among them; it may also abort the
            process.
    """
    file = io.BytesIO(content)
    if kind == "parquet":
        return pl.read_parquet(file)
    if kind == "jsonl":
        return pl.read_ndjson(file, infer_schema_length=None)
    reader: Callable[[io.BytesIO], pl.DataFrame] = pl.read_ipc if content.startswith(b"ARROW1") else pl.read_ipc_stream
    return reader(file)


def main() -> int:
    """Read standard input, and all its values; returns 1 if the reader refuses it."""
    try:
        frame = read(sys.stdin.buffer.read(), sys.argv[1])
        frame.select(pl.col(pl.String).cast(pl.Binary).cast(pl.String))  # bytes that are not UTF-8 show here
        with open(os.devnull, "wb") as nowhere:
            frame.write_ipc(nowhere)
    except BaseException as error:
        print(str(error).strip().partition("\n")[0])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
