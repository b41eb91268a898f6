"""File kinds by first bytes and name, and unpacking of compressed files."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import IO, Literal, cast

from tables.errors import DataError, Where

Kind = Literal["csv", "parquet", "arrow", "jsonl"]

SUFFIXES: dict[str, Kind] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}

STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1\0\0", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
    (b'{"', "jsonl"),
    (b'\xef\xbb\xbf{"', "jsonl"),
)

OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"PARE", "an encrypted Parquet file"),
    (b"FEA1", "a Feather file of version 1; write version 2"),
    (b"ORC\x0a", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"\x80\x05\x95", "a Python pickle"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook or another Office document"),
    (b"%PDF-", "a PDF document"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML document"),
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file with git lfs pull"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard; unpack it first"),
    (b"\xfd7zXZ\0", "compressed with xz; unpack it first"),
    (b"BZh91AY&SY", "compressed with bzip2; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!\x1a", "a RAR archive; unpack it first"),
)

GZIP, ZIP = (b"\x1f\x8b",), (b"PK\x03\x04", b"PK\x05\x06")

UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, ValueError)
"""Exceptions of reading a packed file that is damaged."""

READ = "a table is read from CSV, Parquet, Arrow (Feather) or JSON lines"


def unpack(raw: bytes, path: Where) -> tuple[bytes, str]:
    """Unpack a gzip file or a zip archive of one file.

    Returns:
        What is inside, or the file itself; and its name without the ending that says how it was
        packed.

    Raises:
        DataError: the file is damaged, or the archive does not hold exactly one.
    """
    try:
        if raw.startswith(GZIP):
            return gzip.decompress(raw), PurePath(path).name.removesuffix(".gz")
        if raw.startswith(ZIP):
            return _unzip(raw, path)
    except UNREADABLE as error:
        raise DataError(f"{path}: the file cannot be unpacked: {error}; it may be damaged or cut short") from None
    return raw, PurePath(path).name


def _unzip(raw: bytes, path: Where) -> tuple[bytes, str]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        member = _only_member(archive, path)
        return archive.read(member), member


def _only_member(archive: zipfile.ZipFile, path: Where) -> str:
    members = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
    if any(name.startswith(("xl/", "word/", "content.xml")) for name in members):
        raise DataError(f"{path}: the file is a workbook of Excel or another Office document; {READ}: save it as CSV")
    if len(members) != 1:
        listed = ", ".join(members[:5]) or "nothing"
        raise DataError(f"{path}: the archive holds {listed}, expected exactly one table; unpack the one to use")
    return members[0]


def packed(head: bytes) -> bool:
    """Check by its first bytes whether a file is a gzip file or a zip archive."""
    return head.startswith((*GZIP, *ZIP))


def pieces(path: Path, where: Where, size: int) -> Iterator[bytes]:
    """Read a file, unpacked, in pieces of `size` bytes; the last may be shorter.

    Args:
        path: of the file.
        where: it came from, for messages.
        size: in bytes.

    Raises:
        DataError: as `unpack`, or the file cannot be read.
    """
    try:
        with ExitStack() as stack:
            stream: IO[bytes] = stack.enter_context(path.open("rb"))
            head = stream.read(4)
            stream.seek(0)
            if head.startswith(GZIP):
                stream = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=stream)))
            elif head.startswith(ZIP):
                archive = stack.enter_context(zipfile.ZipFile(stream))
                stream = stack.enter_context(archive.open(_only_member(archive, where)))
            while piece := stream.read(size):
                yield piece
    except UNREADABLE as error:
        raise DataError(f"{where}: the file cannot be unpacked: {error}; it may be damaged or cut short") from None


def inner_name(path: Path, where: Where) -> str:
    """Return the name of what is inside a packed file, or the file's own."""
    try:
        if not zipfile.is_zipfile(path):
            return PurePath(where).name.removesuffix(".gz")
        with zipfile.ZipFile(path) as archive:
            return _only_member(archive, where)
    except UNREADABLE as error:
        raise DataError(f"{where}: the file cannot be unpacked: {error}; it may be damaged or cut short") from None


def kind_of(content: bytes, name: str, wanted: str, path: Where) -> Kind:
    """Determine the kind of a file, and so its reader.

    Args:
        content: of the file, unpacked.
        name: of the file; its ending counts where the first bytes leave the kind open.
        wanted: data.format.
        path: of the file, for messages.

    Raises:
        DataError: the file is of a kind that is not read, or of another than `wanted`.
    """
    found = next((kind for start, kind in STARTS if content.startswith(start)), None)
    other = next((words for start, words in OTHERS if content.startswith(start)), None)
    if content[257:262] == b"ustar":
        other = "a tar archive; unpack it first"
    if other is not None:
        raise DataError(f"{path}: the file is {other}; {READ}")
    kinds: dict[str, Kind] = {"csv": "csv", "parquet": "parquet", "arrow": "arrow", "jsonl": "jsonl"}
    if wanted in kinds:
        if found in ("parquet", "arrow") and found != wanted:
            raise DataError(f"{path}: the file is {found}, and data.format says '{wanted}'; set it to 'auto'")
        return kinds[wanted]
    named = SUFFIXES.get(PurePath(name).suffix.lower())
    if found is None and named in ("parquet", "arrow") and b"\0" not in content[:4096]:
        return "csv"  # text under a wrong name
    return found or named or "csv"
