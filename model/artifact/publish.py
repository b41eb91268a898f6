"""Publication of a version: whole or not at all."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

WORK_PREFIX = ".new-"
"""Start of the name of a version that is still being written.

A reader skips names that are not integers.
"""

STALE_AFTER_S = 86_400.0


def publish(models_dir: Path, name: str, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a directory, then make it appear as the next version of the model.

    The files are written into a hidden directory beside their place, flushed to the disk and
    renamed. Whatever goes wrong, in `write` or here, the hidden directory is removed and no
    version appears. Publishers that run at the same time get different versions.

    Args:
        models_dir: directory of all models; it is made if it is absent.
        name: of the model.
        write: fills the directory it is given.

    Returns:
        The directory of the new version, models_dir / name / version.
    """
    home = models_dir / name
    made = _make(home)
    try:
        _sweep(home)
        work = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=home))
        try:
            work.chmod(0o777 & ~_umask())  # mkdtemp's 0700 would keep out a service that runs as someone else
            write(work)
            _flush(work)
            version = _rename_to_next(work, home)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    except BaseException:
        _remove_empty(made)
        raise
    _flush_directory(home)
    return version


def versions(home: Path) -> list[int]:
    """List the versions of one model's directory in rising order."""
    if not home.is_dir():
        return []
    return sorted(int(entry.name) for entry in home.iterdir() if entry.name.isascii() and entry.name.isdigit())


def _rename_to_next(work: Path, home: Path) -> Path:
    while True:
        version = home / str(max(versions(home), default=0) + 1)
        try:
            work.rename(version)  # never replaces a version: renaming onto a directory with files in it fails
        except OSError:
            if not version.exists():
                raise  # not somebody else's version in the way, but a real failure
            continue
        return version


def _sweep(home: Path) -> None:
    """Remove what a publisher left behind that was killed; one that lives is never this old."""
    for work in home.glob(f"{WORK_PREFIX}*"):
        with suppress(OSError):  # somebody else sweeps too
            if time.time() - work.stat().st_mtime > STALE_AFTER_S:
                shutil.rmtree(work, ignore_errors=True)


def _make(directory: Path) -> list[Path]:
    """Make a directory with its parents; return those that were not there, innermost first."""
    absent = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    return absent


def _remove_empty(directories: list[Path]) -> None:
    for directory in directories:
        try:
            directory.rmdir()
        except OSError:
            return  # not empty: somebody else uses it by now


def _flush(directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    _flush_directory(directory)


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
