"""Published versions in an object store, <url>/<name>/<version>/, beside those in a directory.

A version's number is claimed first, by an object that only one publisher can create. Its files
follow, model.onnx last: a version without it is none to any reader, whether it is being written or
its publisher was killed.
"""

import json
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from model.artifact.publish import versions
from model.errors import ExportError
from stores.errors import Changed, StoreError
from stores.store import WHOLE_TIMEOUT, Store
from tables.errors import UserError

MODEL, CLAIM, PROBE = "model.onnx", "claim.json", ".probe"


@dataclass(frozen=True)
class StoredModels:
    """Models in an object store.

    Attributes:
        url: of the folder that holds <name>/<version>/.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def versions(self, name: str) -> list[int]:
        """List the whole versions of a model in rising order."""
        with _explained():
            return sorted(version for version, file in _numbered(self._store(), name) if file == MODEL)

    def check_writable(self, name: str) -> None:
        """Refuse a store that cannot be written in, before hours of training."""
        with _explained():
            self._store().write(f"{name}/{PROBE}", b"A run could be published here.\n")

    def read(self, name: str, file: str) -> bytes | None:
        """Read a small file beside the versions of a model; None where there is none."""
        with _explained():
            found = self._store().read(f"{name}/{file}")
        return None if found is None else found[0]

    @contextmanager
    def copied(self, name: str, version: int, files: Sequence[str]) -> Iterator[Path]:
        """Copy files of a version into a directory like a model's own, while the context lasts."""
        with tempfile.TemporaryDirectory(prefix="mmoe-") as made:
            folder = Path(made, str(version))
            folder.mkdir()
            with _explained():
                store = self._store()
                for file in files:
                    store.download(f"{name}/{version}/{file}", folder / file)
            yield Path(made)

    def publish(self, name: str, write: Callable[[Path], None], aside: Path) -> str:
        """Let `write` fill a directory, then make it appear as the next version of the model.

        Whatever goes wrong, no version appears, and what was written is removed as far as the
        store can be reached.

        Args:
            name: of the model.
            write: fills the directory it is given.
            aside: where to make that directory.

        Returns:
            The address of the new version.

        Raises:
            ExportError: the store does not take it.
        """
        with tempfile.TemporaryDirectory(dir=aside) as made:
            write(Path(made))
            try:
                store = Store(self.url, WHOLE_TIMEOUT)
                version = _claim(store, name)
                _send(store, f"{name}/{version}", Path(made))
            except StoreError as error:
                raise ExportError(f"the model cannot be published: {error}; nothing was published") from error
        return f"{self.url}/{name}/{version}"

    def _store(self) -> Store:
        return Store(self.url)


Models = Path | StoredModels
"""Place of all published models: a directory, or a folder of an object store."""


def versions_of(models: Models, name: str) -> list[int]:
    """List the versions of a model in rising order."""
    return models.versions(name) if isinstance(models, StoredModels) else versions(models / name)


def read_beside(models: Models, name: str, file: str) -> bytes | None:
    """Read a small file beside the versions of a model; None where there is none.

    Raises:
        UserError: the store does not give it.
        OSError: it cannot be read.
    """
    if isinstance(models, StoredModels):
        return models.read(name, file)
    path = models / name / file
    return path.read_bytes() if path.exists() else None


@contextmanager
def home_of(models: Models, name: str, version: int, files: Sequence[str]) -> Iterator[Path]:
    """Give the directory of a model in which these files of a version can be read.

    Raises:
        UserError: the store does not give them.
    """
    if isinstance(models, StoredModels):
        with models.copied(name, version, files) as home:
            yield home
    else:
        yield models / name


def _claim(store: Store, name: str) -> int:
    """Take the next number, which nobody else can take then."""
    number = max((version for version, _ in _numbered(store, name)), default=0) + 1
    claim = {
        "by": f"{socket.gethostname()} {os.getpid()}",
        "time_utc": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
    }
    content = json.dumps({**claim, "token": uuid.uuid4().hex}).encode()
    while True:
        try:
            store.write(f"{name}/{number}/{CLAIM}", content, create=True)
        except Changed:  # somebody else was faster, or the list is old
            number += 1
            continue
        return number


def _send(store: Store, folder: str, work: Path) -> None:
    """Write the files of a version whose number is claimed."""
    sent = [f"{folder}/{CLAIM}"]
    try:
        for path in sorted((path for path in work.rglob("*") if path.is_file()), key=lambda path: path.name == MODEL):
            sent.append(f"{folder}/{path.relative_to(work).as_posix()}")
            store.write(sent[-1], path, create=path.name == MODEL)
    except Changed as error:  # its claim was removed, and another publisher has its number
        raise StoreError(f"{error}; leave claims of the last hours alone") from None
    except BaseException:
        with suppress(StoreError):
            for file in reversed(sent):
                store.delete(file)
        raise


def _numbered(store: Store, name: str) -> Iterator[tuple[int, str]]:
    """Yield the files below numbers, with these."""
    for entry in store.files(name):
        _, number, *rest = entry.path.split("/")
        if rest and number.isascii() and number.isdigit():
            yield int(number), "/".join(rest)


@contextmanager
def _explained() -> Iterator[None]:
    """Raise what a store says as an error that a user can mend."""
    try:
        yield
    except StoreError as error:
        raise UserError(str(error)) from None
