"""Models on disk, <name>/<version>/model.onnx: which versions there are, which are loaded or served, and why not.

The highest valid version of a model is served, unless one is pinned. What is served lies in one table that is
replaced as a whole, so a reader never sees half a change.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

from service.errors import ArtifactError, ModelNotFound, NotReady

Served = TypeVar("Served")

MODEL_FILE = "model.onnx"
UNLOADED = "unloaded by a call; POST /v2/repository/models/{name}/load brings it back"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")

Fingerprint = tuple[int, ...]
"""Changes when a file is replaced: device, inode, size and time of change."""


class VersionState(NamedTuple):
    """Tell the state of one version on disk.

    Attributes:
        state: "loaded" answers calls; "available" was not needed so far; "refused" must not be served.
        reason: why it was refused, or why its replacement on disk was; or that a call unloaded it.
    """

    version: int
    state: Literal["loaded", "available", "refused"]
    reason: str | None = None


class ModelState(NamedTuple):
    """Tell the state of one model.

    Attributes:
        served: version that answers calls which name none; None while the model is not ready.
        versions: highest first.
    """

    name: str
    served: int | None
    versions: tuple[VersionState, ...]

    @property
    def ready(self) -> bool:
        """Tell whether the model answers."""
        return self.served is not None


class _Entry(NamedTuple, Generic[Served]):
    """Remember what came of loading a version, so that a file is loaded, or refused, once."""

    fingerprint: Fingerprint | None
    loaded: Served | None
    reason: str | None


class Repository(Generic[Served]):
    """Find, load and hand out model versions.

    `scan` may run in a thread of its own, one at a time, while others call `get` and `models`.

    Args:
        root: directory of the models.
        load: reads a model file that is to be served under a name; raises ArtifactError where it must not be served.
        pinned: version to serve instead of the highest, by model.
        loaded_versions: how many of a model's highest valid versions are kept loaded.
        default: model meant where none is named; without it the only one there is.
    """

    def __init__(
        self,
        root: Path,
        load: Callable[[Path, str], Served],
        pinned: Mapping[str, int] | None = None,
        loaded_versions: int = 1,
        default: str | None = None,
    ) -> None:
        self.root = root
        self._load = load
        self._pinned = dict(pinned or {})
        self._loaded_versions = loaded_versions
        self._default = default
        self._entries: dict[tuple[str, int], _Entry[Served]] = {}
        self._table: dict[tuple[str | None, int | None], Served] = {}
        self._models: dict[str, ModelState] = {}

    @property
    def ready(self) -> bool:
        """Tell whether the default model is served, or where none is set, any. One broken model stops no other."""
        return (self._default, None) in self._table if self._default else bool(self._table)

    def models(self) -> tuple[ModelState, ...]:
        """List the models as the last scan found them, by name."""
        return tuple(self._models.values())

    def get(self, name: str | None = None, version: int | None = None) -> Served:
        """Return the version that answers calls for a model; by default the default model and its served version.

        Raises:
            ModelNotFound: not loaded; says why, and what is.
            NotReady: nothing at all is loaded.
        """
        try:
            return self._table[name, version]
        except KeyError:
            raise self._not_found(name, version) from None

    def scan(self, unloaded: Collection[str] = ()) -> None:
        """Look at the disk, load what is wanted and not loaded yet, and let go of what is wanted no more.

        Args:
            unloaded: names of models that are not wanted, though they are there.

        Raises:
            ArtifactError: the directory of models cannot be read; what is loaded stays.
        """
        entries: dict[tuple[str, int], _Entry[Served]] = {}
        states: dict[str, ModelState] = {}
        for name in self._names():
            found = dict(self._versions(name))
            if name in unloaded and found:
                reason = UNLOADED.format(name=name)
                states[name] = ModelState(name, None, tuple(VersionState(v, "available", reason) for v in found))
                continue
            served = self._settle(name, found, entries)
            if found:
                listed = tuple(_state(version, entries.get((name, version))) for version in found)
                states[name] = ModelState(name, served, listed)
        table: dict[tuple[str | None, int | None], Served] = {
            key: entry.loaded for key, entry in entries.items() if entry.loaded is not None
        }
        table |= {(model.name, None): table[model.name, model.served] for model in states.values() if model.served}
        ready = [model.name for model in states.values() if model.ready]
        default = self._default or (ready[0] if len(ready) == 1 else None)
        table |= {(None, None): table[default, None]} if (default, None) in table else {}
        self._entries, self._table, self._models = entries, table, states

    def _settle(
        self, name: str, found: Mapping[int, Path], entries: dict[tuple[str, int], _Entry[Served]]
    ) -> int | None:
        """Load a model's wanted versions into `entries`, highest first; return the one to serve."""
        pinned = self._pinned.get(name)
        served, left = None, self._loaded_versions - (pinned is not None)
        for version, path in found.items():
            if version == pinned or left > 0:
                entry = self._enter(name, version, path)
                entries[name, version] = entry
                left -= entry.loaded is not None and version != pinned
                if entry.loaded is not None and (served is None or version == pinned):
                    served = version
            elif (name, version) in self._entries:
                entries[name, version] = self._entries[name, version]._replace(loaded=None)
        return served if pinned is None or served == pinned else None

    def _enter(self, name: str, version: int, path: Path) -> _Entry[Served]:
        """Load a version, unless it was loaded or refused before and its file is the same."""
        before = self._entries.get((name, version))
        fingerprint = _fingerprint(path)
        if before and before.fingerprint == fingerprint and (before.loaded is not None or before.reason):
            return before
        try:
            self._check_place(name, path)
            return _Entry(fingerprint, self._load(path, name), None)
        except ArtifactError as error:
            reason = str(error)
        except Exception as error:  # whatever a file provokes, the others must be served
            reason = f"Loading failed unexpectedly: {type(error).__name__}: {error}"
        return _Entry(fingerprint, before.loaded if before else None, reason)

    def _check_place(self, name: str, path: Path) -> None:
        if not _NAME.fullmatch(name):
            raise ArtifactError(
                f"The model name {name!r} cannot stand in a URL",
                "Rename its directory to letters, digits, dots, dashes and underscores",
            )
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise ArtifactError(
                "The file lies outside of the directory of models, behind a link", "Copy it into the directory"
            )

    def _names(self) -> list[str]:
        try:
            return sorted(p.name for p in self.root.iterdir() if p.is_dir() and not p.name.startswith("."))
        except OSError as error:
            raise ArtifactError(
                f"The directory of models {str(self.root)!r} cannot be read: {error.strerror}",
                "Make it, or set MMOE_MODELS to the directory that holds <name>/<version>/model.onnx",
            ) from None

    def _versions(self, name: str) -> Iterator[tuple[int, Path]]:
        """Yield a model's versions and files, highest first; directories under other names are no versions."""
        try:
            versions = [int(p.name) for p in (self.root / name).iterdir() if _VERSION.fullmatch(p.name)]
        except OSError:
            versions = []
        for version in sorted(versions, reverse=True):
            yield version, self.root / name / str(version) / MODEL_FILE

    def _not_found(self, name: str | None, version: int | None) -> ModelNotFound | NotReady:
        models = self._models
        if not self._table:
            reasons = [f"{m.name} {v.version}: {v.reason}" for m in models.values() for v in m.versions if v.reason]
            return NotReady("; ".join(reasons[:3]) or f"there is no model in {str(self.root)!r}")
        name = name or self._default
        if name is None or name not in models:
            return ModelNotFound(name, None, sorted(models))
        states = {state.version: state for state in models[name].versions}
        loaded = [state.version for state in states.values() if state.state == "loaded"]
        if version is None:
            return NotReady(f"no version of model {name!r} can be served: {_reasons(models[name])}")
        reason = states[version].reason if version in states else "there is no such version"
        return ModelNotFound(name, version, loaded, reason and reason.rstrip("."))


def _state(version: int, entry: _Entry[Served] | None) -> VersionState:
    if entry is None:
        return VersionState(version, "available")
    if entry.loaded is not None:
        return VersionState(version, "loaded", entry.reason)
    return VersionState(version, "refused" if entry.reason else "available", entry.reason)


def _reasons(model: ModelState) -> str:
    return "; ".join(f"version {v.version}: {v.reason or v.state}" for v in model.versions[:3]) or "there is none"


def _fingerprint(path: Path) -> Fingerprint | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
