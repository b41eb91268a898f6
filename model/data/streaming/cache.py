"""Cache of coded rows: one file for each array of each split, written in order and then mapped.

The manifest is written last, whole: a folder without it, or with that of other rows or of another
configuration, is written anew.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from model.data.streaming.place import MANIFEST
from model.schema import Bags, Rows

PARTS = ("train", "validation", "test")
"""Splits as the files are named."""


class CacheWriter:
    """Files of a cache that is being written."""

    def __init__(self, folder: Path) -> None:
        """Empty the folder."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._files = ExitStack()
        self._open: dict[str, BinaryIO] = {}
        self._shapes: dict[str, tuple[str, list[int]]] = {}
        self._ends: dict[str, int] = {}

    def add(self, part: str, rows: Rows, numbers: NDArray[np.int64]) -> None:
        """Append rows to a split, with their numbers in the table."""
        for name, array in _arrays(rows).items():
            self._append(f"{part}.{name}", array)
        self._append(f"{part}.rows", numbers)
        for place, bags in enumerate(rows.bags):
            name = f"{part}.bag{place}"
            if name not in self._ends:
                self._append(f"{name}.offsets", np.zeros(1, np.int64))
            self._append(f"{name}.values", bags.values)
            self._append(f"{name}.offsets", bags.offsets[1:] + self._ends.get(name, 0))
            self._ends[name] = self._ends.get(name, 0) + len(bags.values)

    def _append(self, name: str, array: NDArray[Any]) -> None:
        array = np.ascontiguousarray(array)
        if name not in self._open:
            self._open[name] = self._files.enter_context((self._folder / name).open("wb"))
            self._shapes[name] = (array.dtype.str, [0, *array.shape[1:]])
        dtype, shape = self._shapes[name]
        assert (dtype, shape[1:]) == (array.dtype.str, list(array.shape[1:]))
        shape[0] += len(array)
        self._open[name].write(array.data if array.size else b"")

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write all to disk, and then the manifest with these facts."""
        for file in self._open.values():
            file.flush()
            os.fsync(file.fileno())
        self._files.close()
        arrays = {name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in self._shapes.items()}
        content = json.dumps({**facts, "arrays": arrays}, ensure_ascii=False)
        unfinished = self._folder / f"{MANIFEST}.new"
        with unfinished.open("w", encoding="utf-8") as written:
            written.write(content)
            written.flush()
            os.fsync(written.fileno())
        unfinished.replace(self._folder / MANIFEST)

    def close(self) -> None:
        """Close the files, whether or not all was written."""
        self._files.close()


class RowNumberWriter:
    """Files of the row numbers of each split alone."""

    def __init__(self, folder: Path) -> None:
        self._files = ExitStack()
        self._open = [self._files.enter_context((folder / f"{part}.rows").open("wb")) for part in PARTS]

    def add(self, numbers: NDArray[np.int64], chosen: NDArray[np.int8]) -> None:
        """Append the numbers (R,) of rows with their splits (R,)."""
        for part, file in enumerate(self._open):
            file.write(numbers[chosen == part].tobytes())

    def close(self) -> None:
        """Close the files."""
        self._files.close()


def map_row_numbers(folder: Path, counts: Sequence[int]) -> tuple[NDArray[np.int64], ...]:
    """Map the row numbers of each split, so many of each."""
    arrays = ({"dtype": "<i8", "shape": [count]} for count in counts)
    return tuple(_map(folder / f"{part}.rows", array) for part, array in zip(PARTS, arrays, strict=True))


def read_manifest(folder: Path, key: str) -> dict[str, Any] | None:
    """Read the manifest of a whole cache with a key; None if there is none such."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["key"] != key:
            return None
        whole = all((folder / name).stat().st_size == _bytes(array) for name, array in manifest["arrays"].items())
    except (OSError, ValueError, KeyError):
        return None
    return manifest if whole else None


def map_rows(folder: Path, manifest: Mapping[str, Any], part: str, text_width: int) -> tuple[Rows, NDArray[np.int64]]:
    """Map a split of a cache, read-only, with the row numbers.

    Args:
        folder: of the cache.
        manifest: of the cache.
        part: split as its files are named, one of PARTS.
        text_width: columns of the text, which the cache does not have.
    """
    arrays = {
        name.removeprefix(f"{part}."): _map(folder / name, array)
        for name, array in manifest["arrays"].items()
        if name.startswith(f"{part}.")
    }
    bags = tuple(
        Bags(arrays[f"bag{place}.values"], arrays[f"bag{place}.offsets"])
        for place in range(sum(name.endswith(".offsets") for name in arrays))
    )
    rows = Rows(
        arrays["numeric"],
        arrays["codes"],
        arrays["labels"],
        np.empty((0, text_width), np.object_),
        bags,
        arrays.get("datetimes"),
        *(arrays.get(name) for name in ("weights", "groups", "segments")),
    )
    return rows, arrays["rows"]


def _arrays(rows: Rows) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {"numeric": rows.numeric, "codes": rows.codes, "labels": rows.labels}
    optional: dict[str, NDArray[Any] | None] = {"datetimes": rows.datetimes, "weights": rows.weights}
    optional |= {"groups": rows.groups, "segments": rows.segments}
    return found | {name: array for name, array in optional.items() if array is not None}


def _bytes(array: Mapping[str, Any]) -> int:
    return int(np.dtype(array["dtype"]).itemsize * np.prod(array["shape"], dtype=np.int64))


def _map(path: Path, array: Mapping[str, Any]) -> NDArray[Any]:
    """Map a file; an empty one, which no system maps, is an empty array."""
    if not _bytes(array):
        return np.empty(array["shape"], array["dtype"])
    return np.asarray(np.memmap(path, array["dtype"], "r", shape=tuple(array["shape"])))
