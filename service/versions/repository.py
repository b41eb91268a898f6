"""Repository of models, <name>/<version>/model.onnx: versions on disk, loaded and served.

The highest valid version of a model is served, unless one is pinned. What is served lies in one
table that is replaced as a whole, so a reader never sees half a change. What works is let go only
when another version of the model is loaded: not because its file vanished, nor because those that
were to take its place cannot be loaded.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from service.errors import ArtifactError, NotReady
from service.versions.candidates import canaries, with_candidate
from service.versions.disk import Disk, Fingerprint, ModelFiles, look
from service.versions.loading import CHECKED, Key, Loading, LoadResult, is_loaded, reason_against, version_state
from service.versions.states import (
    KEPT,
    NOT_PINNED,
    UNLOADED,
    ModelState,
    Remark,
    VersionState,
    Wanted,
    explain_missing,
    reasons_against,
)

Served = TypeVar("Served")

_NOTHING_ELSE = Wanted()


class Staged(NamedTuple, Generic[Served]):
    """Result of `Repository.stage`, until `commit` has it served.

    Attributes:
        moved: whether a file was not what the look at the disk had found, so that another look is
            due at once.
    """

    entries: dict[Key, LoadResult[Served]]
    table: dict[tuple[str | None, int | None], Served]
    models: dict[str, ModelState]
    moved: bool


class Repository(Generic[Served]):
    """Repository of model versions: found, loaded and handed out.

    `stage` may run in a thread of its own, one at a time, while others call `get` and `models`.

    Args:
        root: directory of the models.
        load: reads a model file that is to be served under a name; raises ArtifactError where it
            must not be served.
        loaded_versions: how many of a model's highest valid versions are kept loaded.
        default: model meant where none is named; without it the only one there is.
        kept: finds versions of a model that other workers serve, best first, and how to load each;
            asked for models of which this worker has never served any version, and cannot.
        clock: seconds, monotonic.
        unfit: says why a version cannot answer in place of the served one, if so.

    Attributes:
        preload: loads a version for the next `stage`; see `Loading`, as for the others.
        forget: lets go of what was preloaded.
        awaited: names the models of which a version is being checked.
        due: tells whether a version should be tried again.
        delayed: says why versions could not be loaded that will be tried again.
    """

    def __init__(
        self,
        root: Path,
        load: Callable[[Path, str], Served],
        loaded_versions: int = 1,
        default: str | None = None,
        kept: Callable[[str], Iterable[tuple[int, Callable[[], Served]]]] = lambda name: (),
        clock: Callable[[], float] = time.monotonic,
        unfit: Callable[[Served, Served], str | None] = lambda served, candidate: None,
    ) -> None:
        self.root, self._unfit = root, unfit
        self._loading = Loading(root, load, clock)
        self._kept = kept
        self._known_names: set[str] = set()
        self.preload, self.forget = self._loading.preload, self._loading.forget
        self.awaited, self.due, self.delayed = self._loading.awaited, self._loading.due, self._loading.delayed
        self._loaded_versions = loaded_versions
        self._default = default
        self._table: dict[tuple[str | None, int | None], Served] = {}
        self._models: dict[str, ModelState] = {}

    @property
    def ready(self) -> bool:
        """Tell whether the default model is served, or where none is set, any.

        One broken model stops no other.
        """
        return (self._default, None) in self._table if self._default else bool(self._table)

    def models(self) -> tuple[ModelState, ...]:
        """List the models as the last scan found them, by name."""
        return tuple(self._models.values())

    def get(self, name: str | None = None, version: int | None = None) -> Served:
        """Return the version that answers calls for a model.

        By default the default model and its served version.

        Raises:
            ModelNotFound: not loaded; says why, and what is.
            NotReady: nothing at all is loaded.
        """
        try:
            return self._table[name, version]
        except KeyError:
            if not self._table:
                raise NotReady(
                    reasons_against(self._models.values()) or f"there is no model in {str(self.root)!r}"
                ) from None
            raise explain_missing(self._models, name or self._default, version) from None

    def find(self, name: str | None, version: int | None) -> Served | None:
        """Return a version like `get`; None where it is not loaded."""
        return self._table.get((name, version))

    def all(self) -> list[Served]:
        """List every version that is loaded."""
        return [entry.loaded for entry in self._loading.entries.values() if entry.loaded is not None]

    def scan(self, wanted: Wanted = _NOTHING_ELSE) -> None:
        """Look at the disk, load what is wanted and new, let go of what is wanted no more.

        Raises:
            ArtifactError: the directory of models cannot be read; what is loaded stays.
        """
        self.commit(self.stage(look(self.root), wanted))

    def stage(self, disk: Disk, wanted: Wanted) -> Staged[Served]:
        """Load what is wanted of what is on disk and not loaded yet.

        Nothing is served otherwise before `commit`.

        What was loaded is not loaded again by a later call, though it was not committed in
        between.
        """
        entries: dict[Key, LoadResult[Served]] = {}
        states: dict[str, ModelState] = {}
        self._loading.moved = False
        for name in sorted({*disk, *self._emptied(disk)}):
            files = disk.get(name, ModelFiles({}))
            if name in wanted.unloaded and name not in disk:
                continue
            if name in wanted.unloaded:
                reason = UNLOADED.format(name=name)
                listed = tuple(VersionState(v, "available", reason) for v in files.versions)
                states[name] = ModelState(name, None, listed)
            elif files.problem and name in self._models:
                states[name] = self._models[name]._replace(remarks=(Remark(files.problem),))
                entries |= {key: entry for key, entry in self._loading.entries.items() if key[0] == name}
            else:
                states[name] = self._choose(name, files, wanted, entries)
        states = {name: state for name, state in states.items() if name in disk or state.ready}
        return Staged(entries, self._table_of(entries, states), states, self._loading.moved)

    def commit(self, staged: Staged[Served]) -> None:
        """Serve what was staged last, from one moment to the next."""
        entries, self._table, self._models, _ = staged
        self._loading.commit(entries)
        self._known_names.update(state.name for state in self._models.values() if state.ready)

    def swaps(self, staged: Staged[Served]) -> bool:
        """Tell whether any call would be answered otherwise after the commit."""
        return staged.table != self._table or canaries(staged.models) != canaries(self._models)

    def _emptied(self, disk: Disk) -> list[str]:
        """List the models whose directory is empty and that this worker or another serves."""
        try:
            names = [path.name for path in self.root.iterdir() if path.name not in disk and path.is_dir()]
        except OSError:
            return []
        return [name for name in names if self._is_served(name)]

    def _is_served(self, name: str) -> bool:
        if name in self._known_names:
            return name in self._models and self._models[name].ready
        return any(True for _ in self._kept(name))

    def _table_of(
        self, entries: Mapping[Key, LoadResult[Served]], states: Mapping[str, ModelState]
    ) -> dict[tuple[str | None, int | None], Served]:
        table: dict[tuple[str | None, int | None], Served] = {
            key: entry.loaded for key, entry in entries.items() if entry.loaded is not None
        }
        table |= {(model.name, None): table[model.name, model.served] for model in states.values() if model.served}
        ready = [model.name for model in states.values() if model.ready]
        default = self._default or (ready[0] if len(ready) == 1 else None)
        return table | ({(None, None): table[default, None]} if (default, None) in table else {})

    def _choose(
        self, name: str, files: ModelFiles, wanted: Wanted, entries: dict[Key, LoadResult[Served]]
    ) -> ModelState:
        """Load a model's wanted versions into `entries`, and choose the one to serve."""
        pinned, candidate = wanted.pinned.get(name), wanted.candidates.get(name)
        beside = candidate.version if candidate is not None else None
        served = self._load_wanted(name, files, (pinned, beside), entries)
        if pinned is not None:
            served = pinned if is_loaded(entries, name, pinned) else None
        elif served is None and is_loaded(entries, name, beside):
            served = beside
        served = served or self._keep(name, entries) or self._take_over(name, pinned, entries)
        versions = sorted({*files.versions, *({served} if served else ())}, reverse=True)
        listed = tuple(version_state(version, entries.get((name, version))) for version in versions)
        remarks = [*wanted.remarks.get(name, ())]
        remarks += [Remark(KEPT.format(version=served))] if served and served not in files.versions else []
        if pinned not in (None, served):
            reason = reason_against(entries, name, pinned) or "it is not on disk"
            remarks.append(Remark(NOT_PINNED.format(version=pinned, reason=reason), "pin_idle"))
        remarks += [Remark(files.problem)] if files.problem else []
        state = ModelState(name, served, listed, pinned, remarks=tuple(remarks))
        return state if candidate is None else with_candidate(state, candidate, files, entries, self._unfit)

    def _load_wanted(
        self,
        name: str,
        files: ModelFiles,
        asked: tuple[int | None, int | None],
        entries: dict[Key, LoadResult[Served]],
    ) -> int | None:
        """Load the versions asked for and the highest of the others.

        Return the highest of those others.

        While a check goes on, no lower version is loaded in its place, unless that was checked
        meanwhile.
        """
        left, highest, waits = self._loaded_versions - (asked[0] is not None), None, False
        for version, found in self._within_reach(name, files, asked).items():
            known = self._loading.known(name, version)
            is_asked = version in asked
            is_begun = known is not None and (known.loaded is not None or known.reason == CHECKED)
            if is_asked or (left > 0 and (is_begun or not waits)):
                entry = self._loading.enter(name, version, found)
                entries[name, version] = entry
                waits = waits or (entry.awaited and not is_asked)
                if entry.loaded is not None and not is_asked:
                    left, highest = left - 1, highest or version
            elif known is not None and known.fingerprint == found:
                entries[name, version] = known._replace(loaded=None)
        return highest

    def _within_reach(
        self, name: str, files: ModelFiles, asked: tuple[int | None, int | None]
    ) -> dict[int, Fingerprint | None]:
        """Return the versions on disk, and vanished ones that are loaded; highest first."""
        versions = dict(files.versions)
        for version in asked:
            known = self._loading.known(name, version) if version is not None and version not in versions else None
            if version is not None and known is not None and known.loaded is not None:
                versions[version] = known.fingerprint
        return dict(sorted(versions.items(), reverse=True))

    def _keep(self, name: str, entries: dict[Key, LoadResult[Served]]) -> int | None:
        """Keep what was served, where nothing can take its place."""
        before = self._models.get(name)
        entry = (
            self._loading.entries.get((name, before.served))
            if before is not None and before.served is not None
            else None
        )
        if before is None or before.served is None or entry is None or entry.loaded is None:
            return None
        if not is_loaded(entries, name, before.served):
            entries[name, before.served] = entry
        return before.served

    def _take_over(self, name: str, pinned: int | None, entries: dict[Key, LoadResult[Served]]) -> int | None:
        """Load what other workers serve of a model whose file vanished before this one began."""
        for version, load in self._kept(name) if name not in self._known_names else ():
            if pinned in (None, version):
                try:
                    entries[name, version] = LoadResult(None, load(), None)
                except (ArtifactError, OSError, MemoryError):
                    continue
                return version
        return None
