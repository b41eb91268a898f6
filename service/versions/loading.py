"""Loading of versions: each file once, again when it has changed or the system was at fault.

What was loaded is held until it is committed, so that nothing is loaded twice for one change.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from service.errors import ArtifactError
from service.versions.checks import BeingChecked
from service.versions.disk import Fingerprint, check_place, fingerprint, model_file
from service.versions.states import VersionState

Served = TypeVar("Served")
Key = tuple[str, int]
"""Name and version of a model."""

CHECKED = "it is being checked"
RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
"""Wait before a file that the system kept from being loaded is tried again; it doubles."""


class LoadResult(NamedTuple, Generic[Served]):
    """Result of loading a version, kept so that a file is loaded, or refused, once.

    Attributes:
        fingerprint: of the file that was tried.
        loaded: what answers; it may be of the file before.
        reason: why the file was not loaded.
        again: tells whether to try the same file again now; None where the result lasts.
        tries: how often the system kept it from being loaded.
        awaited: whether its check goes on and others should wait for its end.
    """

    fingerprint: Fingerprint | None
    loaded: Served | None
    reason: str | None
    again: Callable[[], bool] | None = None
    tries: int = 0
    awaited: bool = False


class Loading(Generic[Served]):
    """Results of loading versions.

    Args:
        root: directory of the models.
        load: reads a model file that is to be served under a name.
        clock: seconds, monotonic.

    Attributes:
        entries: what came of each version that was wanted, as committed last.
        moved: whether a file was not what the look at the disk had found, since this was set to
            False.
    """

    def __init__(self, root: Path, load: Callable[[Path, str], Served], clock: Callable[[], float]) -> None:
        self._root, self._load, self._clock = root, load, clock
        self._held: dict[Key, LoadResult[Served]] = {}
        self.entries: dict[Key, LoadResult[Served]] = {}
        self.moved = False

    def commit(self, entries: dict[Key, LoadResult[Served]]) -> None:
        """Take over the results of a stage, and let go of all else."""
        self.entries = entries
        self.forget()

    def awaited(self) -> set[str]:
        """Names of the models of which a version is being checked, for not too long yet."""
        return {name for (name, _), entry in self.entries.items() if entry.awaited}

    def due(self) -> bool:
        """Tell whether a version should be tried again though its file is the same."""
        return any(entry.again is not None and entry.again() for entry in self.entries.values())

    def delayed(self) -> dict[Key, str]:
        """Return why versions could not be loaded that will be tried again, by name and number."""
        return {
            key: entry.reason or "" for key, entry in self.entries.items() if entry.tries and entry.reason != CHECKED
        }

    def enter(self, name: str, version: int, found: Fingerprint | None) -> LoadResult[Served]:
        """Load a version, unless it was loaded or refused before and its file is the same."""
        before = self.known(name, version)
        if before and before.fingerprint == found:
            if before.again is None and (before.loaded is not None or before.reason):
                return before
            if before.tries and before.again is not None and not before.again():
                return before
        entry = self._held[name, version] = self._try(name, version, found, before)
        return entry

    def _try(
        self, name: str, version: int, found: Fingerprint | None, before: LoadResult[Served] | None
    ) -> LoadResult[Served]:
        path, loaded = model_file(self._root, name, version), before.loaded if before else None
        try:
            check_place(self._root, name, path)
            return LoadResult(found, self._load(path, name), None)
        except BeingChecked as check:
            over = functools.partial(check.job.over, check.slow)
            return LoadResult(found, loaded, CHECKED, over, _tries(before, found), not check.slow)
        except ArtifactError as error:
            reason = str(error)
        except (OSError, MemoryError) as error:
            return self._put_off(found, before, str(error) or type(error).__name__)
        except Exception as error:  # whatever a file provokes, the others must be served
            reason = f"Loading failed unexpectedly: {type(error).__name__}: {error}"
        moved = fingerprint(path) != found
        self.moved = self.moved or moved
        return LoadResult(found, loaded, reason, (lambda: False) if moved else None)

    def _put_off(self, found: Fingerprint | None, before: LoadResult[Served] | None, reason: str) -> LoadResult[Served]:
        """Note that the system kept a file from being loaded, and when to try again."""
        tries = _tries(before, found)
        at = self._clock() + min(RETRY_S * 2.0**tries, LONGEST_RETRY_S)
        return LoadResult(found, before.loaded if before else None, reason, lambda: self._clock() >= at, tries + 1)

    def preload(self, name: str, version: int) -> Served:
        """Load a version without serving it, for the next `stage` to find.

        One that is loaded is given at once.

        Raises:
            BeingChecked: its check has not ended.
            ArtifactError: it must not be served.
            OSError: the system keeps it from being loaded.
        """
        known = self.known(name, version)
        if known is not None and known.loaded is not None:
            return known.loaded
        path = model_file(self._root, name, version)
        found = fingerprint(path)
        check_place(self._root, name, path)
        loaded = self._load(path, name)
        self._held[name, version] = LoadResult(found, loaded, None)
        return loaded

    def forget(self) -> None:
        """Let go of what was loaded and is not served."""
        self._held = {}

    def known(self, name: str, version: int) -> LoadResult[Served] | None:
        """Return what came of a version, committed or not; None if it was not wanted so far."""
        return self._held.get((name, version)) or self.entries.get((name, version))


def _tries(before: LoadResult[Served] | None, found: Fingerprint | None) -> int:
    return before.tries if before is not None and before.fingerprint == found else 0


def is_loaded(entries: Mapping[tuple[str, int], LoadResult[Served]], name: str, version: int | None) -> bool:
    """Tell whether a version is loaded."""
    return version is not None and (name, version) in entries and entries[name, version].loaded is not None


def reason_against(entries: Mapping[Key, LoadResult[Served]], name: str, version: int) -> str | None:
    """Return why a version was not loaded, if that is known."""
    entry = entries.get((name, version))
    return entry.reason.rstrip(".") if entry is not None and entry.reason else None


def version_state(version: int, entry: LoadResult[Served] | None) -> VersionState:
    """Return the state of a version of which this came."""
    if entry is None:
        return VersionState(version, "available")
    lasts = entry.again is None
    if entry.loaded is not None:
        return VersionState(version, "loaded", entry.reason if lasts else None)
    return VersionState(version, "refused" if entry.reason and lasts else "available", entry.reason)
