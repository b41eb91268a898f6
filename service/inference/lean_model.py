"""Lean model: what a session needs to hold of a model file, and the large parts beside it.

    file --detach--> model without large parts, tables, indexes --store--> run directory
    run directory --open_stored--> the same in every worker, its arrays mapped, one copy for all

The arrays are files of the run directory, which nobody but the service writes: whatever becomes of
the published file, a map of them stays readable.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.artifact.abridge import abridge
from service.artifact.detach import Detached, detach
from service.artifact.file import MANIFEST_KEY, read_model
from service.artifact.manifest import CATEGORICAL, Manifest, parse_manifest
from service.artifact.protobuf import metadata
from service.artifact.trim import with_metadata
from service.inference.vocabulary import VocabularyIndex

MODEL, LEAN, TEXTS = "model.onnx", "lean.onnx", "texts.onnx"
"""Files of a model, of one without its large parts, and of one that computes strings."""
_PARTS = "parts.json"
_SEALED = 0o400


class IndexedLookup(NamedTuple):
    """Lookup outside of the sessions.

    Attributes:
        codes: input of the sessions that takes the codes.
        columns: of `categorical` to look up; None for all.
        prefixes: put before the strings of these columns, see `detach.Lookup`; None where the
            texts' model computes the strings.
        default: code of an unknown string.
        vocabulary: of all others.
    """

    codes: str
    columns: tuple[int, ...] | None
    prefixes: tuple[str, ...] | None
    default: int
    vocabulary: VocabularyIndex


class LeanModel(NamedTuple):
    """Model without its large parts, and these, in memory or mapped.

    Attributes:
        model: for sessions; the file itself where nothing in it is large.
        tables: float32 inputs of every run, by name.
        lookups: of strings, outside of the sessions; those with computed strings in the order of
            the outputs of `texts`.
        texts: model that computes strings to look up; None where there are none.
        unread: inputs of the file that only lookups read.
        shared: whether the large parts, if there are any, are maps that other processes share.
    """

    model: bytes
    tables: Mapping[str, NDArray[np.float32]]
    lookups: tuple[IndexedLookup, ...]
    texts: bytes | None
    unread: frozenset[str]
    shared: bool = False

    @property
    def is_whole(self) -> bool:
        """Tell whether the model has no part beside it."""
        return not self.tables and not self.lookups

    @classmethod
    def of(cls, model: bytes, manifest: Manifest) -> "LeanModel":
        """Take the large parts out of a model file; its tables are views of the file's bytes.

        Args:
            model: the file.
            manifest: takes the place of the file's where there are such parts.

        Raises:
            ArtifactError: the file is not an ONNX model.
        """
        detached = detach(model, CATEGORICAL)
        tables = {table.name: table.values for table in detached.tables}
        if detached.model is not model:
            model = with_metadata(detached.model, MANIFEST_KEY, manifest.model_dump_json())
        return cls(model, tables, _indexed(detached), detached.texts, detached.unread)

    def copied(self) -> "LeanModel":
        """Return the model with tables of its own, which keep no file's bytes in memory."""
        return self._replace(tables={name: np.array(table) for name, table in self.tables.items()})


def _indexed(detached: Detached) -> tuple[IndexedLookup, ...]:
    return tuple(
        IndexedLookup(one.codes, one.columns, one.prefixes, one.default, VocabularyIndex.build(one.keys, one.values))
        for one in detached.lookups
    )


def read_lean(path: Path, save: Path | None) -> tuple[LeanModel, Manifest]:
    """Read a model file, checked, without its large parts, and its manifest, abridged.

    Args:
        path: of the file.
        save: directory where to leave large parts, to be mapped; None copies them.

    Raises:
        ArtifactError: the file must not be served; says why.
        OSError: the system cannot read it now, or there is no room to save.
    """
    content, manifest = read_model(path)
    manifest = abridge(manifest)
    lean = LeanModel.of(content, manifest)
    return (lean.copied() if save is None or lean.is_whole else store(lean, save)), manifest


def read_saved(folder: Path) -> tuple[LeanModel, Manifest]:
    """Read a model and its manifest from a directory where `read_lean` has saved its parts.

    One without such parts lies there as MODEL.

    Raises:
        OSError: the files cannot be read now.
    """
    stored = open_stored(folder) if (folder / LEAN).exists() else None
    content = stored.model if stored is not None else (folder / MODEL).read_bytes()
    manifest = abridge(parse_manifest(metadata(content)[MANIFEST_KEY]))
    return stored or LeanModel.of(content, manifest).copied(), manifest


def store(lean: LeanModel, folder: Path) -> LeanModel:
    """Write a model that has large parts to a folder, and return it with its arrays mapped.

    Raises:
        OSError: there is no room, for example.
    """
    for place, table in enumerate(lean.tables.values()):
        _save(folder / f"table-{place}.npy", table)
    for place, lookup in enumerate(lean.lookups):
        for name, array in lookup.vocabulary._asdict().items():
            _save(folder / f"lookup-{place}-{name}.npy", array)
    about = {
        "tables": list(lean.tables),
        "lookups": [lookup[:-1] for lookup in lean.lookups],
        "unread": sorted(lean.unread),
    }
    (folder / _PARTS).write_text(json.dumps(about))
    if lean.texts is not None:
        (folder / TEXTS).write_bytes(lean.texts)
    (folder / LEAN).write_bytes(lean.model)
    return open_stored(folder)


def open_stored(folder: Path) -> LeanModel:
    """Map a model that was stored.

    Raises:
        OSError: it was not, or cannot be read now.
    """
    about = json.loads((folder / _PARTS).read_bytes())
    tables = {name: _mapped(folder / f"table-{place}.npy") for place, name in enumerate(about["tables"])}
    lookups = []
    for place, (codes, columns, prefixes, default) in enumerate(about["lookups"]):
        index = VocabularyIndex(*(_mapped(folder / f"lookup-{place}-{name}.npy") for name in VocabularyIndex._fields))
        columns, prefixes = (None if value is None else tuple(value) for value in (columns, prefixes))
        lookups.append(IndexedLookup(codes, columns, prefixes, default, index))
    texts = (folder / TEXTS).read_bytes() if (folder / TEXTS).exists() else None
    model, unread = (folder / LEAN).read_bytes(), frozenset(about["unread"])
    return LeanModel(model, tables, tuple(lookups), texts, unread, shared=True)


def forget_stored(folder: Path) -> None:
    """Remove what `store` has written of a model, or a part of it, and optimised graphs."""
    for pattern in (LEAN, TEXTS, _PARTS, "*.npy", "*.ort"):
        for file in folder.glob(pattern):
            file.unlink()


def _save(path: Path, array: NDArray[Any]) -> None:
    """Write an array as a file of numpy, whose values begin at a multiple of 64 bytes."""
    np.save(path, array, allow_pickle=False)
    path.chmod(_SEALED)


def _mapped(path: Path) -> NDArray[Any]:
    mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    return mapped
