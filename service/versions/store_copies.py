"""Copies of an object store's versions in a directory that is read like any other of models.

<root>/<name>/<version>/model.onnx, and beside it from which revision it was copied. A copy is made
aside, checked and renamed into its place, so that a reader never meets half of one; after a crash
of the machine its size tells.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from service.versions.disk import MODEL_FILE, is_version
from stores.store import Stored

Key = tuple[str, int]
"""Name and version of a model."""

ORIGIN, PARTIAL = "origin.json", ".partial"


class Copy(NamedTuple):
    """Copy of a version.

    Attributes:
        size: in bytes.
        etag: of the revision that was copied.
        used: grows with the time when it was served last; 0 where it never was.
    """

    size: int
    etag: str
    used: int


class Copies:
    """Copies in a directory that one process at a time writes.

    Args:
        root: of the directory; it is made if it is absent.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove what a process left behind that was killed."""
        shutil.rmtree(self.root / PARTIAL, ignore_errors=True)

    def all(self) -> dict[Key, Copy]:
        """List the whole copies by model and version."""
        found = {}
        for origin in self.root.glob(f"*/*/{ORIGIN}"):
            name, version = origin.parent.parent.name, origin.parent.name
            with suppress(OSError, ValueError, KeyError):
                known, used = json.loads(origin.read_text()), origin.stat().st_mtime_ns
                if is_version(version) and (origin.parent / MODEL_FILE).stat().st_size == known["size"]:
                    found[name, int(version)] = Copy(known["size"], known["etag"], used)
        return found

    def take(self, key: Key, download: Callable[[Path], Stored]) -> None:
        """Put a version in its place, whole; one that is there is replaced.

        Args:
            key: model and version.
            download: writes the file and returns what it is a copy of.
        """
        (self.root / PARTIAL).mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root / PARTIAL) as made:
            whole, place = Path(made, "whole"), self._place(key)
            whole.mkdir()
            stored = download(whole / MODEL_FILE)
            (whole / ORIGIN).write_text(json.dumps({"etag": stored.etag, "size": stored.size}))
            os.utime(whole / ORIGIN, (0, 0))  # it was never served
            for path in whole.iterdir():
                _flush(path)
            if place.is_dir():
                for name in (MODEL_FILE, ORIGIN):
                    (whole / name).replace(place / name)
            else:
                place.parent.mkdir(exist_ok=True)
                whole.rename(place)

    def remove(self, key: Key) -> None:
        """Let a version vanish from one moment to the next."""
        (self.root / PARTIAL).mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root / PARTIAL) as made, suppress(FileNotFoundError):
            self._place(key).rename(Path(made, "gone"))

    def names(self) -> set[str]:
        """List the directories of models."""
        return {place.name for place in self.root.iterdir() if place.is_dir() and not place.name.startswith(".")}

    def beside(self, file: str) -> list[str]:
        """List the models that have a file of this name beside their versions."""
        return sorted(name for name in self.names() if (self.root / name / file).exists())

    def forget(self, name: str) -> None:
        """Remove the directory of a model that has no versions any more."""
        shutil.rmtree(self.root / name, ignore_errors=True)

    def use(self, keys: Iterable[Key]) -> None:
        """Note that versions are served now."""
        for key in keys:
            with suppress(OSError):
                os.utime(self._place(key) / ORIGIN)

    def write(self, path: str, content: bytes) -> None:
        """Write a small file beside the versions, whole; one that is the same is left alone."""
        target = self.root / path
        with suppress(OSError):
            if target.read_bytes() == content:
                return
        target.parent.mkdir(exist_ok=True)  # its model may have no version yet
        (self.root / PARTIAL).mkdir(exist_ok=True)
        fresh = self.root / PARTIAL / target.name
        fresh.write_bytes(content)
        fresh.replace(target)

    def delete(self, path: str) -> None:
        """Remove such a file, if it is there."""
        (self.root / path).unlink(missing_ok=True)

    def _place(self, key: Key) -> Path:
        return self.root / key[0] / str(key[1])


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
