"""Paper's split of Census-Income: its training file, and the test file halved."""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np

from model.config.run import Config
from model.study.paper import CENSUS_TRAINING_BLOB
from tables.config import Split, TableData
from tables.errors import DataError

TRAINING_FILES = ("census-income.data.gz", "census-income.data")
PART = "part"


def find_training_file(directory: Path) -> Path | None:
    """Return the archive's training file if the user has put it beside the test file."""
    return next((directory / name for name in TRAINING_FILES if (directory / name).is_file()), None)


def paper_split(
    config: Config, training: Path, test: Path, directory: Path, blob: str = CENSUS_TRAINING_BLOB
) -> Config:
    """Write both files as one table with a column that names the split.

    Returns the configuration that reads it.

    Args:
        config: of the test file alone.
        training: the archive's training file, as it is or compressed by gzip.
        test: the archive's test file, likewise.
        directory: where the joined table goes.
        blob: git's id of the training file, compressed or not.

    Raises:
        DataError: if the training file is another, or one of the files is damaged.
    """
    stored, plain = training.read_bytes(), _plain(training)
    found = {git_blob(stored), git_blob(plain)}
    if blob not in found:
        raise DataError(
            f"{training}: git's id is {git_blob(plain)}, but the paper's training file is {blob}; fetch it anew"
        )
    rows = _plain(test).splitlines()
    halves = np.random.default_rng(0).permutation(np.arange(len(rows)) % 2)
    parts = [(row, b"train") for row in plain.splitlines()]
    parts += [(row, (b"validation", b"test")[half]) for row, half in zip(rows, halves, strict=True)]
    directory.mkdir(parents=True, exist_ok=True)
    joined = directory / "census-income-paper-split.csv"
    joined.write_bytes(b"".join(row + b", " + part + b"\n" for row, part in parts if row.strip()))
    data = config.data
    assert isinstance(data, TableData)
    split = Split(kind="given", by=PART)
    told = {"path": str(joined.absolute()), "columns": (*(data.columns or ()), PART), "split": split}
    return config.model_copy(update={"data": data.model_copy(update=told)})


def git_blob(content: bytes) -> str:
    """Return the id that git gives a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _plain(path: Path) -> bytes:
    content = path.read_bytes()
    try:
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error):
        raise DataError(f"{path}: the compressed file is cut short or damaged; fetch it anew") from None
