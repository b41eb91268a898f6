"""Models that logs are judged by: directories of versions, here or in an object store."""

import glob
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch.quality.errors import EvaluationError
from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from service.errors import ArtifactError
from stores.address import is_stored
from stores.errors import StoreError
from stores.store import Store
from tables.errors import UserError

MODEL = "model.onnx"


@dataclass(frozen=True)
class Versions:
    """Versions of a model.

    Attributes:
        place: the directory that holds them, or its address in an object store.
    """

    place: Path | str

    @property
    def name(self) -> str:
        """Return the model's name, that of the directory."""
        return self.place.resolve().name if isinstance(self.place, Path) else self.place.rpartition("/")[2]

    def __str__(self) -> str:
        return str(self.place)

    def read(self, version: int, scratch: Path) -> Manifest:
        """Read the manifest of a version; from a store by way of a copy in `scratch`.

        Raises:
            EvaluationError: no such version, or none that can be read.
        """
        try:
            if isinstance(self.place, Path):
                return read_model(self.place / str(version) / MODEL)[1]
            with tempfile.TemporaryDirectory(dir=scratch) as made:
                Store(self.place).download(f"{version}/{MODEL}", Path(made, MODEL))
                return read_model(Path(made, MODEL))[1]
        except (ArtifactError, StoreError, OSError) as error:
            raise EvaluationError(f"{self}/{version}/{MODEL} cannot be read ({error})") from None


def find_models(given: Sequence[str]) -> list[Versions]:
    """List the models that names and patterns mean now; models come while this runs.

    Raises:
        UserError: a pattern means none, or a store cannot be read.
    """
    found: list[Versions] = []
    for text in given:
        if is_stored(text):
            found += _stored(text.rstrip("/"))
            continue
        some = sorted(path for path in map(Path, glob.glob(text)) if path.is_dir())
        if not some and glob.has_magic(text):
            raise UserError(f"no directory fits {text!r}")
        found += map(Versions, some or [Path(text)])
    return found


def _stored(text: str) -> list[Versions]:
    """List the model of an address, or, where it ends in `/*`, all that have a version."""
    if not glob.has_magic(text):
        return [Versions(text)]
    folder = text.removesuffix("/*")
    if glob.has_magic(folder):
        example = f"{folder.rpartition('/')[0]}/*"
        raise UserError(f"{text!r} is a pattern; of an object store only all of a folder can be asked for: {example}")
    try:
        parts = [file.path.split("/") for file in Store(folder).files()]
    except StoreError as error:
        raise UserError(str(error)) from None
    names = {part[0] for part in parts if len(part) == 3 and part[1].isdigit() and part[2] == MODEL}
    if not names:
        raise UserError(f"no model is in {folder}")
    return [Versions(f"{folder}/{name}") for name in sorted(names)]
