"""States of models and versions, as the repository lists them, and what is wanted of them."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from service.errors import ModelNotFound, NotReady

UNLOADED = "unloaded by a call; POST /v2/repository/models/{name}/load brings it back"
KEPT = "version {version} is no longer on disk; it is served on until another version can be loaded"
NOT_PINNED = "version {version} is pinned and cannot be served: {reason}"
IDLE = "version {version} is the canary and gets no request: {reason}"


class Remark(NamedTuple):
    """Remark on a model, for an operator.

    Attributes:
        text: a sentence without its end.
        event: under which it is logged once; None where it is not.
        level: of the log.
    """

    text: str
    event: str | None = None
    level: int = logging.WARNING


class Canary(NamedTuple):
    """Version that answers a share of the requests, from 0 to 1."""

    version: int
    share: float


class Candidate(NamedTuple):
    """Version that is kept loaded beside the served one.

    Attributes:
        canary: share of the requests that it is to answer; None where it answers none.
        shadow: share of the runs on which it is compared; None where it is not.
    """

    version: int
    canary: float | None = None
    shadow: float | None = None


class VersionState(NamedTuple):
    """State of one version on disk.

    Attributes:
        state: "loaded" answers calls; "available" was not needed so far; "refused" must not be
            served.
        reason: why it was refused, or why its replacement on disk was; or that a call unloaded it.
    """

    version: int
    state: Literal["loaded", "available", "refused"]
    reason: str | None = None

    @property
    def is_refused(self) -> bool:
        """Tell whether the file that is there now must not be served.

        An earlier one may still be.
        """
        return self.state != "available" and self.reason is not None


class ModelState(NamedTuple):
    """State of one model.

    Attributes:
        served: version that answers calls which name none; None while the model is not ready.
        versions: highest first.
        pinned: version that is served in place of the highest, if one is pinned.
        shadow: version that is loaded beside the served one, to be compared with it.
        canary: version that answers a share of the requests that name none.
        remarks: what an operator should know: that its directory cannot be read and so its
            versions are those known before, or what is pinned, and how to end that.
    """

    name: str
    served: int | None
    versions: tuple[VersionState, ...]
    pinned: int | None = None
    shadow: int | None = None
    canary: Canary | None = None
    remarks: tuple[Remark, ...] = ()

    @property
    def ready(self) -> bool:
        """Tell whether the model answers."""
        return self.served is not None

    @property
    def note(self) -> str | None:
        """Return all remarks in a line; None where there is none."""
        return "; ".join(remark.text for remark in self.remarks) or None


class Wanted(NamedTuple):
    """Choices of settings, serving files and commands, beyond the highest valid versions.

    Attributes:
        unloaded: models that are not wanted, though they are there.
        pinned: version to serve instead of the highest, by model.
        candidates: a version to keep loaded, by model, and not to serve unless there is no other.
        remarks: on these choices, by model.
    """

    unloaded: Collection[str] = ()
    pinned: Mapping[str, int] = {}
    candidates: Mapping[str, Candidate] = {}
    remarks: Mapping[str, Sequence[Remark]] = {}


def reasons_against(models: Iterable[ModelState]) -> str:
    """Return the first reasons why versions are not served, "" without any."""
    reasons = [f"{m.name} {v.version}: {v.reason}" for m in models for v in m.versions if v.reason]
    return "; ".join(reasons[:3])


def explain_missing(
    models: Mapping[str, ModelState], name: str | None, version: int | None
) -> ModelNotFound | NotReady:
    """Return the error that says why a model or version is not loaded, and what is."""
    if name is None or name not in models:
        return ModelNotFound(name, None, sorted(models))
    model = models[name]
    states = {state.version: state for state in model.versions}
    if version is None:
        reasons = "; ".join(f"version {v.version}: {v.reason or v.state}" for v in model.versions[:3])
        return NotReady(f"no version of model {name!r} can be served: {reasons or model.note or ''}")
    loaded = [state.version for state in states.values() if state.state == "loaded"]
    reason = states[version].reason if version in states else "there is no such version"
    return ModelNotFound(name, version, loaded, reason and reason.rstrip("."))
