"""Addresses of folders and files in object stores; reading one needs no package."""

import re
from typing import NamedTuple

from stores.errors import StoreError

SCHEMES = ("s3://", "gs://", "az://")
FORMS = "s3://bucket/folder, gs://bucket/folder or az://account/container/folder"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class Address(NamedTuple):
    """Address in an object store.

    Attributes:
        root: of the bucket or container.
        key: of the folder or file below that; empty for all of it.
    """

    root: str
    key: str


def is_stored(text: str) -> bool:
    """Check whether a text is the address of an object store, and not a path."""
    return text.startswith(SCHEMES)


def names_a_scheme(text: str) -> bool:
    """Check whether a text is an address of any kind, such as http://host, and not a path."""
    return _SCHEME.match(text) is not None


def parse(url: str, example: str = "folder") -> Address:
    """Split an address into the root of its store and the key below that.

    Args:
        url: of a known scheme.
        example: key that the sentence about a wrong one shows.

    Raises:
        StoreError: it names no bucket.
    """
    scheme, _, rest = url.partition("://")
    parts = rest.split("/")
    length = 2 if scheme == "az" else 1  # az://account/container/key
    if len(parts) < length or not all(parts[:length]):
        bucket = "account/container" if scheme == "az" else "bucket"
        raise StoreError(f"{url}: the address names no bucket; write {scheme}://{bucket}/{example}")
    return Address(f"{scheme}://{'/'.join(parts[:length])}", "/".join(parts[length:]))
