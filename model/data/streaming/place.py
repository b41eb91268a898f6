"""Place of a cache of rows in the folder of a run."""

from pathlib import Path

CACHE = "cache"
"""Folder of the cache."""

MANIFEST = "manifest.json"
"""File that is written last."""


def is_whole(folder: Path) -> bool:
    """Check whether a cache was written to its end."""
    return (folder / MANIFEST).exists()
