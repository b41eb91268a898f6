"""Folder of an object store: listed, read, and written under conditions.

A file is copied part by part, all of the same revision, so that a copy is never a mixture, a
server that stands still is noticed within a part, and memory holds no more than one. A writer
leaves the digest of a file in its metadata, which travels with the content.
"""

import hashlib
import importlib
import importlib.util
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from stores.address import parse
from stores.errors import Changed, NotStored, StoreError, explained

DIGEST = "sha256"
"""Name of the metadata that holds a file's digest, in hexadecimal digits."""
PART_BYTES, PART_TIMEOUT = 8 << 20, "30s"
WHOLE_TIMEOUT = "1h"
"""Time for one call that writes, which sends a whole file."""
RETRIES, WAIT = 3, timedelta(seconds=20)
INSTALL = "object stores need the package obstore; install the extra: pip install '.[stores]'"

_PLAIN = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")


class Stored(NamedTuple):
    """File of a store.

    Attributes:
        path: below the folder.
        size: in bytes.
        etag: tells a revision of the content from another, without quotation marks.
    """

    path: str
    size: int
    etag: str


Revision = Mapping[str, str]
"""Revision of a file, as the client writes a condition: its ETag, or the store's own number."""


class Store:
    """Folder of an object store, with the credentials that its client finds by itself.

    Args:
        url: of the folder.
        timeout: of a call, as the client writes it.

    Raises:
        StoreError: the address, the environment or the package is not as it should be.
    """

    def __init__(self, url: str, timeout: str = PART_TIMEOUT) -> None:
        self.url = url.rstrip("/")
        root, key = parse(url)
        self._prefix = key.strip("/")
        with explained(url):
            self._obstore, self._client = _obstore(url), _client(url, root, timeout)

    def files(self, under: str = "") -> list[Stored]:
        """List the files of the folder, or of one in it, whatever their depth."""
        begin = f"{self._prefix}/" if self._prefix else ""
        with explained(self._url(under)):
            chunks = self._obstore.list(self._client, prefix=self._key(under) or None, chunk_size=1000)
            return [_stored(entry, entry["path"].removeprefix(begin)) for chunk in chunks for entry in chunk]

    def head(self, path: str) -> Stored | None:
        """Look at one file; None where the store has none."""
        try:
            with explained(self._url(path)):
                return _stored(self._obstore.head(self._client, self._key(path)), path)
        except NotStored:
            return None

    def read(self, path: str) -> tuple[bytes, Stored, Revision] | None:
        """Read a small file with its revision; None where the store has none."""
        try:
            with explained(self._url(path)):
                found = self._obstore.get(self._client, self._key(path))
                meta = found.meta
                content = bytes(found.bytes())
        except NotStored:
            return None
        if len(content) != meta["size"]:
            raise self._torn(path, len(content), meta["size"])
        return content, _stored(meta, path), {key: meta[key] for key in ("e_tag", "version") if meta.get(key)}

    def download(self, path: str, to: Path) -> Stored:
        """Copy a file to a path of this machine, and check the copy's size and digest.

        Raises:
            StoreError: the store does not give it whole.
            Changed: it was replaced meanwhile.
            OSError: it cannot be written.
        """
        url, key, hashed = self._url(path), self._key(path), hashlib.sha256()
        expected: str | None = None
        with explained(url), to.open("wb") as file:
            meta = self._obstore.head(self._client, key)
            same = {} if meta["e_tag"] is None else {"if_match": meta["e_tag"]}
            for start in range(0, meta["size"], PART_BYTES):
                stop = min(start + PART_BYTES, meta["size"])
                found = self._obstore.get(self._client, key, options={**same, "range": (start, stop)})
                part = found.bytes()
                if len(part) != stop - start:
                    raise self._torn(path, start + len(part), meta["size"])
                expected = found.attributes.get(DIGEST, expected)
                hashed.update(part)
                file.write(part)
        if expected not in (None, hashed.hexdigest()):
            raise StoreError(
                f"{url}: the copy's {DIGEST} is {hashed.hexdigest()}, its writer's {expected}; copy it again"
            )
        return _stored(meta, path)

    def write(self, path: str, content: bytes | Path, replaces: Revision | None = None, create: bool = False) -> None:
        """Write a file whole or not at all.

        Args:
            path: below the folder.
            content: or the file of this machine that holds it.
            replaces: revision that must still be there.
            create: whether there must be none yet.

        Raises:
            StoreError: the store does not take it.
            Changed: the condition is not met.
        """
        mode: Any = "create" if create else "overwrite" if replaces is None else dict(replaces)
        digest = _digest(content)
        try:
            with explained(self._url(path), "written"):
                self._obstore.put(self._client, self._key(path), content, mode=mode, attributes={DIGEST: digest})
        except (Changed, NotStored):
            if mode == "overwrite" or self._digest_of(path) != digest:  # a try before may have been taken
                raise

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        with explained(self._url(path), "written"):
            self._obstore.delete(self._client, self._key(path))

    def _digest_of(self, path: str) -> str | None:
        try:
            with explained(self._url(path)):
                found = self._obstore.get(self._client, self._key(path))
                return str(found.attributes.get(DIGEST))
        except NotStored:
            return None

    def _key(self, path: str) -> str:
        return "/".join(filter(None, (self._prefix, path)))

    def _url(self, path: str) -> str:
        return f"{self.url}/{path}" if path else self.url

    def _torn(self, path: str, came: int, expected: int) -> StoreError:
        return StoreError(f"{self._url(path)}: {came} bytes came, and {expected} were announced; read it again")


def _stored(meta: Any, path: str) -> Stored:
    return Stored(path, meta["size"], (meta["e_tag"] or "").removeprefix("W/").strip('"'))


def _digest(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _obstore(url: str) -> Any:
    if importlib.util.find_spec("obstore") is None:
        raise StoreError(f"{url}: {INSTALL}")
    return importlib.import_module("obstore")


def _client(url: str, root: str, timeout: str) -> Any:
    plain = any(os.environ.get(name, "").startswith("http://") for name in _PLAIN)
    return importlib.import_module("obstore.store").from_url(
        root,
        client_options={"allow_http": plain, "connect_timeout": "5s", "timeout": timeout},
        retry_config={"max_retries": RETRIES, "retry_timeout": WAIT},
    )
