"""Object stores: files under s3://, gs:// and az://, listed and downloaded."""

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tables.errors import DataError

SCHEMES = ("s3://", "gs://", "az://")
MARKS = ("*", "?", "[")

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, for another server AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_SAS_TOKEN",
}
"""Variables of the environment that a store's client reads, by scheme."""

RETRIES, WAIT = 3, timedelta(seconds=20)


@dataclass(frozen=True)
class StoredFile:
    """File of an object store.

    Attributes:
        url: of the file.
        root: url of its bucket or container.
        key: of the file below that.
    """

    url: str
    root: str
    key: str

    def download(self, to: Path) -> None:
        """Write the file's content to a path.

        Raises:
            DataError: the store does not give it.
            OSError: it cannot be written.
        """
        with _explained(self.url), to.open("wb") as file:
            for piece in _obstore(self.url).get(_store(self.root), self.key).stream():
                file.write(piece)


def is_stored(path: str) -> bool:
    """Check whether a path is the address of an object store."""
    return path.startswith(SCHEMES)


def list_stored(url: str, wanted: Callable[[str], bool]) -> Iterator[StoredFile]:
    """List the files that an address names: one file, those of a folder, or those of a pattern.

    Args:
        url: whose part below the bucket may be a pattern.
        wanted: whether a file of a folder belongs to a table, by its path below the folder.

    Raises:
        DataError: the store cannot be read.
    """
    root, key = _split(url)
    parts = key.strip("/").split("/") if key.strip("/") else []
    fixed = parts[: next((n for n, part in enumerate(parts) if any(m in part for m in MARKS)), len(parts))]
    for path in _keys(url, root, "/".join(fixed)):
        there = path.split("/")
        folder = next((n for n in range(len(there)) if _matches(there[:n], parts)), None)
        if path == key or _matches(there, parts) or (folder is not None and wanted("/".join(there[folder:]))):
            yield StoredFile(f"{root}/{path}", root, path)


def _keys(url: str, root: str, prefix: str) -> list[str]:
    """List the keys that begin with a path, or are it."""
    with _explained(url):
        obstore, store = _obstore(url), _store(root)
        found = [entry["path"] for chunk in obstore.list(store, prefix=prefix or None) for entry in chunk]
        if prefix and not found:
            try:
                found = [obstore.head(store, prefix)["path"]]
            except FileNotFoundError:
                return []
    return sorted(found)


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Match a path with a pattern part by part; ** stands for any number of parts."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[skip:], pattern[1:]) for skip in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def _split(url: str) -> tuple[str, str]:
    """Split an address into the root of its store and the key below that."""
    scheme, _, rest = url.partition("://")
    parts = rest.split("/")
    length = 2 if scheme == "az" else 1  # az://account/container/key
    if len(parts) < length or not all(parts[:length]):
        raise DataError(f"{url}: the address names no bucket; write {_example(scheme)}")
    return f"{scheme}://{'/'.join(parts[:length])}", "/".join(parts[length:])


def _example(scheme: str) -> str:
    return f"{scheme}://{'account/container' if scheme == 'az' else 'bucket'}/folder/part-*.parquet"


def _obstore(url: str) -> Any:
    if importlib.util.find_spec("obstore") is None:
        raise DataError(f"{url}: object stores need the package obstore; install the extra: pip install '.[stores]'")
    return importlib.import_module("obstore")


def _store(root: str) -> Any:
    """Make a client with the credentials of the environment."""
    from_url = importlib.import_module("obstore.store").from_url
    plain = any(
        os.environ.get(name, "").startswith("http://")
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    )
    return from_url(
        root,
        client_options={"allow_http": plain, "connect_timeout": "5s", "timeout": "300s"},
        retry_config={"max_retries": RETRIES, "retry_timeout": WAIT},
    )


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Raise what goes wrong in a store in a sentence that says what to do."""
    scheme = url.partition("://")[0]
    given = f"set {CREDENTIALS[scheme]} in the environment"
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{url}: the store has no such bucket or file; mend data.path") from None
    except Exception as error:  # obstore's own, and of the packages below it
        if type(error).__module__.partition(".")[0] not in ("obstore", "builtins") or isinstance(error, OSError):
            raise
        said = " ".join(str(error).partition("\n\nDebug source")[0].split())[:200]
        if "404 Not Found" in said:
            raise DataError(f"{url}: the store has no such bucket or file; mend data.path") from None
        if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
            raise DataError(f"{url}: the store refuses these credentials: {given}; it said: {said}") from None
        if any(word in said for word in ("169.254", "metadata", "credential", "Credential")):
            raise DataError(f"{url}: there are no credentials for the store: {given}") from None
        raise DataError(f"{url}: the store cannot be read: {said}; {given}") from None
