"""Mirror of an object store's models in a local directory, brought up to date look by look.

    list the store -> serving files -> copies of what is gone -> room -> copies of what is new

A list only gives hints, as a store may answer with an old one: what it lacks is gone when a look
at the file itself says so, and what is copied is what the store has by then. Revisions are told
apart by ETag, never by time.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from service.logs.log import log_event
from service.versions.disk import MODEL_FILE, is_model, is_version
from service.versions.serving_place import FILE, FilePlace
from service.versions.store_copies import Copies, Copy, Key
from service.versions.store_place import StorePlace
from service.versions.store_plan import newest, plan
from stores.errors import StoreError
from stores.store import Store, Stored

LEAST_HELD = 2
"""Highest versions of each model to hold at least: the served one, and the one before."""

log = logging.getLogger("service.models")


class Wants(NamedTuple):
    """Versions that the service wants now, whatever their number.

    Attributes:
        served: those that its workers have loaded.
        named: those that settings and calls name.
        unloaded: names of the models that a call has unloaded.
    """

    served: frozenset[Key] = frozenset()
    named: frozenset[Key] = frozenset()
    unloaded: frozenset[str] = frozenset()


@dataclass
class _Look:
    """One look at the store: what there is, what there are copies of, and what went wrong.

    Attributes:
        unsure: models whose serving file is not known, and which are left as they are.
    """

    listed: dict[str, Stored]
    local: dict[Key, Copy]
    remote: dict[Key, Stored] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for path, file in self.listed.items():
            name, version, *rest = (*path.split("/"), "")
            if rest[:1] == [MODEL_FILE] and len(rest) == 2 and is_model(name) and is_version(version):
                self.remote[name, int(version)] = file

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note what goes wrong, and go on behind."""
        try:
            yield
        except StoreError as error:
            self.problems.append(str(error))
        except OSError as error:
            self.problems.append(f"the directory of copies cannot be written: {error.strerror}; mend MMOE_MODELS_CACHE")


class Mirror:
    """Mirror of a store.

    Args:
        store: folder of <name>/<version>/model.onnx.
        copies: of its files.
        budget: most bytes of all copies.
        held: highest versions of each model to hold.
        forbidden_by: file whose presence in the store forbids to serve its models.

    Attributes:
        changed: called after each change of the directory.
    """

    def __init__(
        self, store: Store, copies: Copies, budget: int, held: int = LEAST_HELD, forbidden_by: str | None = None
    ) -> None:
        self._store, self._copies, self._budget = store, copies, budget
        self._held, self._forbidden_by = max(held, LEAST_HELD), forbidden_by
        self._reach = Counter[str]()
        self._serving: dict[str, str] = {}
        self.changed: Callable[[], object] = lambda: None

    def look(self, wants: Wants) -> list[str]:
        """Look at the store and copy what is new; return what went wrong, a sentence each."""
        try:
            listed = {file.path: file for file in self._store.files()}
            if self._is_forbidden(listed):
                return [f"{self._store.url}/{self._forbidden_by} is there; serve its models with MMOE_KEYS_FILE set"]
        except StoreError as error:
            return [str(error)]
        look = _Look(listed, self._copies.all())
        self._take_serving_files(look)
        self._drop_what_is_gone(look)
        self._copies.use(wants.served & look.local.keys())
        self._bring(look, wants)
        return look.problems

    def _is_forbidden(self, listed: Iterable[str]) -> bool:
        """Tell whether the store forbids to serve, and leave word of it for the next start."""
        if self._forbidden_by is None:
            return False
        if self._forbidden_by in listed:
            self._copies.write(self._forbidden_by, b"")
        elif (self._copies.root / self._forbidden_by).exists() and self._store.head(self._forbidden_by) is None:
            self._copies.delete(self._forbidden_by)
        return (self._copies.root / self._forbidden_by).exists()

    def _take_serving_files(self, look: _Look) -> None:
        found = {path.partition("/")[0]: file.etag for path, file in look.listed.items() if _is_serving_file(path)}
        for name in sorted({*found, *self._copies.beside(FILE)}):
            if not is_model(name) or found.get(name, "") == self._serving.get(name):
                continue
            look.unsure.add(name)
            with look.noting():
                copy = FilePlace(self._copies.root / name)
                self._serving[name] = StorePlace(self._store.url, name, copy).fetch()
                look.unsure.remove(name)
                self.changed()

    def _drop_what_is_gone(self, look: _Look) -> None:
        for key in sorted(look.local.keys() - look.remote.keys()):
            with look.noting():
                found = self._store.head(_path(key))
                if found is not None:  # the list is old
                    look.remote[key] = found
                    continue
                self._copies.remove(key)
                del look.local[key]
                _tell("copy_gone", "%s %d is no longer in the store", key)
                self.changed()
        there = {path.partition("/")[0] for path in look.listed} | {name for name, _ in look.local}
        for name in self._copies.names() - there:
            self._copies.forget(name)
            self._serving.pop(name, None)  # where the list was old, the file is copied again
            self.changed()

    def _bring(self, look: _Look, wants: Wants) -> None:
        remote = {key: file for key, file in look.remote.items() if key[0] not in look.unsure}
        served = {*wants.served, *_highest_unless_served(look.local, wants.served)}
        named = sorted({*wants.named, *self._named_by_files()})
        chosen = plan(remote, look.local, served, [*named, *self._newest(remote, look.local, wants)], self._budget)
        for key in chosen.evict:
            self._copies.remove(key)
            _tell("copy_evicted", "The copy of %s %d makes room for others", key)
            self.changed()
        for key in chosen.fetch:
            with look.noting():
                self._fetch(key, look.local.get(key))
        look.problems += [
            f"{self._store.url}/{_path(key)}: there is no room for {remote[key].size} bytes within "
            f"MMOE_MODELS_CACHE_BYTES, {self._budget}, beside what is served; raise it"
            for key in chosen.lacking
        ]

    def _fetch(self, key: Key, copy: Copy | None) -> None:
        """Copy a version, unless the list that calls its copy old is old itself."""
        path = _path(key)
        if copy is None or (found := self._store.head(path)) is None or found.etag != copy.etag:
            self._copies.take(key, lambda to: self._store.download(path, to))
            _tell("copied", "Copied %s %d from the store", key)
            self.changed()

    def _newest(self, remote: dict[Key, Stored], local: dict[Key, Copy], wants: Wants) -> list[Key]:
        """List the highest versions to hold: one more where none of those can be served."""
        served = {name for name, _ in wants.served} | wants.unloaded
        for name in {name for name, _ in remote}:
            reach = max(self._reach[name], self._held)
            here = [version for of, version in remote if of == name and (of, version) in local]
            self._reach[name] = reach + (name not in served and len(here) >= reach)
        return newest(remote, self._reach)

    def _named_by_files(self) -> Iterator[Key]:
        """Yield the versions that serving files name, as far as these can be read."""
        for name in self._copies.beside(FILE):
            try:
                told = orjson.loads((self._copies.root / name / FILE).read_bytes())
                yield from ((name, version) for version in _versions_of(told))
            except (OSError, ValueError, AttributeError):
                continue  # whoever serves by the file says so


def _versions_of(told: dict[str, Any]) -> list[int]:
    beside = [(told.get(key) or {}).get("version") for key in ("canary", "shadow")]
    return [version for version in (told.get("pinned"), told.get("previous"), *beside) if isinstance(version, int)]


def _highest_unless_served(local: Iterable[Key], served: Iterable[Key]) -> Iterator[Key]:
    """Yield, of models that are not served yet, the copy that a start would serve."""
    known = {name for name, _ in served}
    highest = dict(sorted(local))  # of equal names the last remains
    return ((name, version) for name, version in highest.items() if name not in known)


def _is_serving_file(path: str) -> bool:
    return path.endswith(f"/{FILE}") and path.count("/") == 1


def _path(key: Key) -> str:
    return f"{key[0]}/{key[1]}/{MODEL_FILE}"


def _tell(event: str, sentence: str, key: Key) -> None:
    log_event(log, logging.INFO, event, sentence, *key, model=key[0], version=key[1])
