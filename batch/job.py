"""Scoring job: which model, which rows, which columns come out; the same in every process."""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from batch.errors import ScoringError
from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from service.errors import ArtifactError
from service.inference.lean_model import MODEL
from stores.address import is_stored
from tables.config import TableData
from tables.files.several import FileSet

PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class ModelFile:
    """Model file as an output names it.

    Attributes:
        path: of the file, links followed.
        version: number of its directory; 0 for a file outside of a version directory.
        digest: "sha256:..." of the file.
    """

    path: Path
    name: str
    version: int
    digest: str


@dataclass(frozen=True)
class Reading:
    """Rules by which the trainer read the training table.

    Attributes:
        data: how cells are read; the path is that of the rows to score.
        strict_numbers: features of numbers in which a cell that is not a number is an error;
            elsewhere it is missing.
    """

    data: TableData
    strict_numbers: frozenset[str]


@dataclass(frozen=True)
class Columns:
    """Columns of an output beside the predictions.

    Attributes:
        keep: columns of the table that are carried over as they stand there, by their names in the
            output.
        gates: whether each task's gate weights are.
        top_expert: whether each task's expert of the largest gate weight is.
        contributions: so many features with the largest shares in that expert's gate logit.
    """

    keep: Mapping[str, str] = field(default_factory=dict)
    gates: bool = False
    top_expert: bool = False
    contributions: int = 0


@dataclass(frozen=True)
class Job:
    """Run of scoring; can be sent to other processes.

    Attributes:
        set_aside: whether bad rows are set aside; else the first one ends the run.
        part_rows: rows of the table in each part of the output, but for the last.
        files: of the table, with nothing fetched or unpacked yet.
        read: columns of the table that are needed.
        source: of the table, for the record.
        input_digest: "sha256:..." of the table's files.
    """

    model: ModelFile
    reading: Reading
    columns: Columns
    output: Path
    set_aside: bool
    part_rows: int
    files: FileSet
    read: tuple[str, ...]
    source: str
    input_digest: str

    @property
    def rows(self) -> int:
        """Count the rows of the table."""
        return self.files.rows

    @property
    def parts(self) -> int:
        """Count the parts of the output."""
        return -(-self.rows // self.part_rows)

    def span(self, part: int) -> tuple[int, int]:
        """Return the first row of a part, from 0, and how many it has."""
        start = part * self.part_rows
        return start, min(self.part_rows, self.rows - start)

    def record(self) -> dict[str, Any]:
        """Describe what the rows of the output depend on, as JSON."""
        reading = self.reading.data.model_dump(mode="json", exclude={"path", "split", "keep", "drop", "weight"})
        described = {
            "model": {"name": self.model.name, "version": self.model.version, "digest": self.model.digest},
            "input": {"source": self.source, "digest": self.input_digest, "rows": self.rows},
            "options": {**asdict(self.columns), "errors_set_aside": self.set_aside, "part_rows": self.part_rows},
            "reading": {**reading, "strict_numbers": sorted(self.reading.strict_numbers)},
        }
        recorded: dict[str, Any] = json.loads(json.dumps(described))
        return recorded


def find_model(given: Path) -> tuple[ModelFile, Manifest]:
    """Find a model file: the file itself, in a version directory, or the highest version's.

    Raises:
        ScoringError: there is none, or it is not a model of this project.
    """
    path, version = _locate(given)
    path = path.resolve()
    try:
        manifest = read_model(path)[1]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (ArtifactError, OSError) as error:
        raise ScoringError(f"{path}: {error}") from None
    return ModelFile(path, manifest.name, version, f"sha256:{digest}"), manifest


def _locate(given: Path) -> tuple[Path, int]:
    if given.is_file():
        return given, _number(given.absolute().parent)
    if (given / MODEL).is_file():
        return given / MODEL, _number(given.absolute())
    versions = [one for one in given.glob("*") if _number(one) and (one / MODEL).is_file()] if given.is_dir() else []
    if not versions:
        raise ScoringError(
            f"{given}: no model there; expected a {MODEL}, the directory of a version, or that of a model with "
            "versions, such as models/NAME"
        )
    latest = max(versions, key=_number)
    return latest / MODEL, _number(latest)


def _number(directory: Path) -> int:
    return int(directory.name) if directory.name.isascii() and directory.name.isdigit() else 0


def reading_of(manifest: Manifest, paths: Sequence[str], changes: Mapping[str, Any]) -> Reading:
    """Return how to read a table as the model's training table was read.

    Args:
        manifest: whose provenance holds the configuration of the training run.
        paths: of the rows to score, relative to the working directory.
        changes: keys of the section [data] that the rows to score need otherwise.

    Raises:
        ScoringError: the configuration is one that this version does not read.
    """
    config = _config(manifest)
    data = dict(config.get("data", {}))
    if data.get("kind") != "table":
        data = {"kind": "table"}
    features = config.get("features", {})
    named = [path if is_stored(path) else str(Path(path).absolute()) for path in paths]
    data |= {"path": named[0] if len(named) == 1 else named, "format": "auto"} | dict(changes)
    try:
        read = TableData.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise ScoringError(f"how to read the table: {f'data.{key}' if key else 'data'}: {first['msg']}") from None
    guessed = features.get("rest", "infer") == "infer"
    declared = frozenset(features.get("numeric", ()))
    names = {feature.name for feature in manifest.numeric}
    return Reading(read, frozenset(names & declared if guessed else names))


def _config(manifest: Manifest) -> dict[str, Any]:
    text = manifest.provenance.get("config", "")
    try:
        return tomllib.loads(text if isinstance(text, str) else "")
    except tomllib.TOMLDecodeError as error:
        raise ScoringError(f"the configuration in the model's provenance is not TOML: {error}") from None
