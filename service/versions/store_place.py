"""Place of a serving file in an object store: replaced where it is what was read (If-Match).

A service reads its copy beside the copies of the versions, which this process and the mirror write
under one lock, each what the store has by then.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.settings import Settings
from service.versions.disk import MODEL_FILE, is_version
from service.versions.serving_file import ServingFile
from service.versions.serving_place import FILE, MOST_BYTES, FilePlace, Stamp
from stores.errors import Changed, StoreError
from stores.store import Store

TRIES = 20
"""Tries of a change, each on top of what somebody else has written meanwhile."""


class StorePlace:
    """Place in an object store.

    Args:
        url: of the folder of all models.
        name: of the model.
        copy: of the file, which is read instead; None where there is none.
    """

    def __init__(self, url: str, name: str, copy: FilePlace | None = None) -> None:
        self._url, self._path, self._copy = url, f"{name}/{FILE}", copy

    def __str__(self) -> str:
        return f"{self._url}/{self._path}"

    def stamp(self) -> Stamp | None:
        """Return what changes with the copy, or with the store's revision."""
        if self._copy is not None:
            return self._copy.stamp()
        with _as_os_error():
            found = Store(self._url).head(self._path)
        return None if found is None else (found.etag,)

    def read(self) -> bytes | None:
        """Return the content, as `Place.read` says."""
        if self._copy is not None:
            return self._copy.read()
        with _as_os_error():
            found = Store(self._url).read(self._path)
        return None if found is None else _checked(found[0])

    def swap(self, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace the file, as `Place.swap` says, and its copy."""
        if self._copy is None:
            self._swap(change)
        else:
            self._copy.update(lambda: self._swap(change))

    def fetch(self) -> str:
        """Bring the copy up to date; return the ETag of what it is now, "" where there is none.

        Raises:
            StoreError: the store does not give it.
            OSError: it cannot be written.
        """
        etag = ""

        def read() -> bytes | None:
            nonlocal etag
            found = Store(self._url).read(self._path)
            etag = "" if found is None else found[1].etag
            return None if found is None else found[0]

        assert self._copy is not None
        self._copy.update(read)
        return etag

    def _swap(self, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace the file; return its content."""
        with _as_os_error():
            store = Store(self._url)
            for _ in range(TRIES):
                found = store.read(self._path)
                before = None if found is None else _checked(found[0])
                content = change(before)
                if content is None:
                    return before
                try:
                    store.write(self._path, content, None if found is None else found[2], create=found is None)
                except Changed:
                    continue
                return content
            raise StoreError(f"{self}: others have written it {TRIES} times meanwhile; try again")


def serving_file(settings: Settings, name: str) -> ServingFile:
    """Return the serving file of a model of a service: in a directory, or in the store."""
    if settings.models_store is None or settings.serving_directory is not None:
        return ServingFile.of(settings.models_directory, name, settings.serving_directory)
    return ServingFile(StorePlace(settings.models_store, name, FilePlace(settings.models_directory / name)))


def stored_versions(url: str, name: str) -> list[int]:
    """List the whole versions of a model in a store, highest first.

    Raises:
        OSError: the store cannot be read.
    """
    with _as_os_error():
        parts = [file.path.split("/") for file in Store(url).files(name)]
    whole = [path[1] for path in parts if len(path) == 3 and path[2] == MODEL_FILE]
    return sorted((int(version) for version in whole if is_version(version)), reverse=True)


def _checked(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return content


@contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise OSError(errno.EIO, str(error)) from None
