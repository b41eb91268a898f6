"""Published versions of a model, in a directory or an object store: numbers, manifests."""

import os
import tempfile
from pathlib import Path

from loop.errors import LoopError
from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from service.errors import ArtifactError
from service.versions.serving_file import ServingFile
from service.versions.store_place import StorePlace, stored_versions
from stores.address import is_stored
from stores.errors import StoreError
from stores.store import Store

MODEL_FILE = "model.onnx"


class Home:
    """Place of a model's versions.

    Args:
        models: directory, or address of a store's folder, of all models.
        name: of the model.
        serving_directory: of serving files, where they have one of their own.
    """

    def __init__(self, models: str, name: str, serving_directory: str | None) -> None:
        self.models, self.name = models.rstrip("/") if is_stored(models) else models, name
        self._serving_directory = Path(serving_directory) if serving_directory else None
        self._manifests: dict[int, Manifest] = {}

    def versions(self) -> list[int]:
        """List the whole versions, the lowest first.

        Raises:
            LoopError: a store cannot be read.
        """
        if is_stored(self.models):
            try:
                return sorted(stored_versions(self.models, self.name))
            except OSError as error:
                raise LoopError(error.strerror or str(error)) from None
        home = Path(self.models) / self.name
        if not home.is_dir():
            return []
        numbers = [int(entry.name) for entry in os.scandir(home) if entry.name.isdecimal()]
        return sorted(number for number in numbers if (home / str(number) / MODEL_FILE).is_file())

    def manifest(self, version: int) -> Manifest:
        """Return what the file of a version says of itself.

        Raises:
            LoopError: it cannot be read.
        """
        if version not in self._manifests:
            path = f"{self.models}/{self.name}/{version}/{MODEL_FILE}"
            try:
                self._manifests[version] = self._read(version)
            except (ArtifactError, StoreError, OSError) as error:
                raise LoopError(f"{path} cannot be read: {error}") from None
        return self._manifests[version]

    def serving_file(self) -> ServingFile:
        """Return the serving file of the model."""
        if is_stored(self.models) and self._serving_directory is None:
            return ServingFile(StorePlace(self.models, self.name))
        return ServingFile.of(Path(self.models), self.name, self._serving_directory)

    def _read(self, version: int) -> Manifest:
        if not is_stored(self.models):
            return read_model(Path(self.models) / self.name / str(version) / MODEL_FILE)[1]
        with tempfile.TemporaryDirectory(prefix="mmoe-loop-") as made:
            copy = Path(made, MODEL_FILE)
            Store(self.models).download(f"{self.name}/{version}/{MODEL_FILE}", copy)
            return read_model(copy)[1]
