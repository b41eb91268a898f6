"""Files of sums, by model: what they are of, and beside it the sums, a slot per worker.

<run directory>/<folder>/<model>/<stem>-<digest of the text>
.json     the text: what the sums are of, for workers that start later
.slots    the sums
"""

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from service.monitoring.shared_sums import Shape, SharedSums
from service.run_directory import RunDirectory


class SumFiles:
    """Files of one kind of sums, of which the latest of each model are kept.

    Args:
        directory: shared by the workers.
        folder: in it, for this kind.
        kept: files of a model that stay, the last used first.
    """

    def __init__(self, directory: RunDirectory, folder: str, kept: int) -> None:
        self._directory, self._root, self._kept = directory, directory.path / folder, kept

    def path(self, model: str, stem: str, text: bytes) -> Path:
        """Return where the text of some sums is, or is to be."""
        return self._folder(model) / f"{stem}-{hashlib.blake2b(text, digest_size=6).hexdigest()}.json"

    def map(self, path: Path, identity: str, shape: Shape) -> list[SharedSums]:
        """Map the sums beside a text, a slot per worker; errors as in `RunDirectory.map`."""
        slots = self._directory.map(str(path.with_suffix(".slots")), identity, shape.nbytes)
        return [SharedSums(slot, shape) for slot in slots]

    def keep(self, path: Path, text: bytes, in_use: Collection[Path] = ()) -> set[Path]:
        """Write the text of sums that are mapped, if it is not there, and mark it as used now.

        The oldest of the model are removed, but for those in use. Return those that are kept for
        their age.
        """
        if not path.exists():
            descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=".")
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
            os.replace(made, path)
        os.utime(path)
        paths = _latest_first(path.parent.glob("*.json"))
        for old in paths[self._kept :]:
            if old not in in_use:
                old.unlink(missing_ok=True)
                old.with_suffix(".slots").unlink(missing_ok=True)
        return set(paths[: self._kept])

    def all(self) -> list[Path]:
        """List the texts of all models, the last used first."""
        return _latest_first(self._root.glob("*/*.json"))

    def of(self, model: str, stem: str) -> list[Path]:
        """List the texts of a model under a stem, the last used first."""
        return _latest_first(self._folder(model).glob(f"{stem}-*.json"))

    def _folder(self, model: str) -> Path:
        return self._root / hashlib.blake2b(model.encode(), digest_size=12).hexdigest()


def _latest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=_used_at, reverse=True)


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
