"""Models on disk, <name>/<version>/model.onnx: which versions there are, which are loaded or served, and why not.

The highest valid version of a model is served, unless one is pinned. What is served lies in one table that is
replaced as a whole, so a reader never sees half a change.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

from service.disk import Disk, Fingerprint, Shelf, check_place, look, model_file
from service.errors import ArtifactError, ModelNotFound, NotReady

Served = TypeVar("Served")

UNLOADED = "unloaded by a call; POST /v2/repository/models/{name}/load brings it back"
PINNED = 'a version is pinned by a call; POST /v1/models/{name}:pin with {{"version": null}} ends that'


class VersionState(NamedTuple):
    """Tell the state of one version on disk.

    Attributes:
        state: "loaded" answers calls; "available" was not needed so far; "refused" must not be served.
        reason: why it was refused, or why its replacement on disk was; or that a call unloaded it.
    """

    version: int
    state: Literal["loaded", "available", "refused"]
    reason: str | None = None

    @property
    def is_refused(self) -> bool:
        """Tell whether the file that is there now must not be served; an earlier one may still be."""
        return self.state != "available" and self.reason is not None


class ModelState(NamedTuple):
    """Tell the state of one model.

    Attributes:
        served: version that answers calls which name none; None while the model is not ready.
        versions: highest first.
        pinned: version that is served in place of the highest, if one is pinned.
        shadow: version that is loaded beside the served one, to be compared with it.
        note: what an operator should know: that its directory cannot be read and so its versions are those known
            before, or that a call has pinned a version, and how to end that.
    """

    name: str
    served: int | None
    versions: tuple[VersionState, ...]
    pinned: int | None = None
    shadow: int | None = None
    note: str | None = None

    @property
    def ready(self) -> bool:
        """Tell whether the model answers."""
        return self.served is not None


class _Entry(NamedTuple, Generic[Served]):
    """Remember what came of loading a version, so that a file is loaded, or refused, once."""

    fingerprint: Fingerprint | None
    loaded: Served | None
    reason: str | None


class Wanted(NamedTuple):
    """Say what is to be served, beyond the highest valid versions.

    Attributes:
        unloaded: models that are not wanted, though they are there.
        pinned: version to serve instead of the highest, by model.
        pinned_by_call: models that are pinned by a call.
        beside: a version to keep loaded, by model, and not to serve unless there is no other.
    """

    unloaded: Collection[str] = ()
    pinned: Mapping[str, int] = {}
    pinned_by_call: Collection[str] = ()
    beside: Mapping[str, int] = {}


_NOTHING_ELSE = Wanted()


class Staged(NamedTuple, Generic[Served]):
    """Hold what `Repository.stage` has loaded, until `commit` has it served."""

    entries: dict[tuple[str, int], _Entry[Served]]
    table: dict[tuple[str | None, int | None], Served]
    models: dict[str, ModelState]


class Repository(Generic[Served]):
    """Find, load and hand out model versions.

    `stage` may run in a thread of its own, one at a time, while others call `get` and `models`.

    Args:
        root: directory of the models.
        load: reads a model file that is to be served under a name; raises ArtifactError where it must not be served.
        loaded_versions: how many of a model's highest valid versions are kept loaded.
        default: model meant where none is named; without it the only one there is.
    """

    def __init__(
        self,
        root: Path,
        load: Callable[[Path, str], Served],
        loaded_versions: int = 1,
        default: str | None = None,
    ) -> None:
        self.root = root
        self._load = load
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

    def all(self) -> list[Served]:
        """List every version that is loaded."""
        return [entry.loaded for entry in self._entries.values() if entry.loaded is not None]

    def scan(self, wanted: Wanted = _NOTHING_ELSE) -> None:
        """Look at the disk, load what is wanted and not loaded yet, and let go of what is wanted no more.

        Raises:
            ArtifactError: the directory of models cannot be read; what is loaded stays.
        """
        self.commit(self.stage(look(self.root), wanted))

    def stage(self, disk: Disk, wanted: Wanted) -> Staged[Served]:
        """Load what is wanted of what is on disk and not loaded yet; nothing is served otherwise before `commit`."""
        entries: dict[tuple[str, int], _Entry[Served]] = {}
        states: dict[str, ModelState] = {}
        for name, shelf in disk.items():
            if name in wanted.unloaded:
                reason = UNLOADED.format(name=name)
                states[name] = ModelState(
                    name, None, tuple(VersionState(v, "available", reason) for v in shelf.versions)
                )
            elif shelf.problem:
                known = self._models.get(name, ModelState(name, None, ()))
                states[name] = known._replace(note=shelf.problem)
                entries |= {key: entry for key, entry in self._entries.items() if key[0] == name}
            else:
                served = self._settle(name, shelf, wanted, entries)
                listed = tuple(_state(version, entries.get((name, version))) for version in shelf.versions)
                note = PINNED.format(name=name) if name in wanted.pinned_by_call else None
                beside = wanted.beside.get(name)
                loaded = any(state.version == beside and state.state == "loaded" for state in listed)
                shadow = beside if loaded and beside != served else None
                states[name] = ModelState(name, served, listed, wanted.pinned.get(name), shadow, note)
        table: dict[tuple[str | None, int | None], Served] = {
            key: entry.loaded for key, entry in entries.items() if entry.loaded is not None
        }
        table |= {(model.name, None): table[model.name, model.served] for model in states.values() if model.served}
        ready = [model.name for model in states.values() if model.ready]
        default = self._default or (ready[0] if len(ready) == 1 else None)
        table |= {(None, None): table[default, None]} if (default, None) in table else {}
        return Staged(entries, table, states)

    def commit(self, staged: Staged[Served]) -> None:
        """Serve what was staged last, from one moment to the next."""
        self._entries, self._table, self._models = staged

    def _settle(
        self, name: str, shelf: Shelf, wanted: Wanted, entries: dict[tuple[str, int], _Entry[Served]]
    ) -> int | None:
        """Load a model's wanted versions into `entries`, highest first; return the one to serve."""
        pinned, beside = wanted.pinned.get(name), wanted.beside.get(name)
        served, left = None, self._loaded_versions - (pinned is not None)
        for version, fingerprint in shelf.versions.items():
            known = self._entries.get((name, version))
            if version in (pinned, beside) or left > 0:
                entry = self._enter(name, version, fingerprint)
                entries[name, version] = entry
                counts = version not in (pinned, beside) and entry.loaded is not None
                left -= counts
                if (counts and served is None) or (version == pinned and entry.loaded is not None):
                    served = version
            elif known is not None and known.fingerprint == fingerprint:
                entries[name, version] = known._replace(loaded=None)
        if pinned is not None:
            return served if served == pinned else None
        return served or next((v for (n, v), entry in entries.items() if n == name and entry.loaded is not None), None)

    def _enter(self, name: str, version: int, fingerprint: Fingerprint | None) -> _Entry[Served]:
        """Load a version, unless it was loaded or refused before and its file is the same."""
        before = self._entries.get((name, version))
        if before and before.fingerprint == fingerprint and (before.loaded is not None or before.reason):
            return before
        path = model_file(self.root, name, version)
        try:
            check_place(self.root, name, path)
            return _Entry(fingerprint, self._load(path, name), None)
        except ArtifactError as error:
            reason = str(error)
        except Exception as error:  # whatever a file provokes, the others must be served
            reason = f"Loading failed unexpectedly: {type(error).__name__}: {error}"
        return _Entry(fingerprint, before.loaded if before else None, reason)

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
    return "; ".join(f"version {v.version}: {v.reason or v.state}" for v in model.versions[:3]) or model.note or ""
