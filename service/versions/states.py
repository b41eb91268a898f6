"""States of models and versions, as the repository lists them, and what is wanted of them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from service.errors import ModelNotFound, NotReady

UNLOADED = "unloaded by a call; POST /v2/repository/models/{name}/load brings it back"
PINNED = 'a version is pinned by a call; POST /v1/models/{name}:pin with {{"version": null}} ends that'
KEPT = "version {version} is no longer on disk; it is served on until another version can be loaded"


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
        note: what an operator should know: that its directory cannot be read and so its versions
            are those known before, or that a call has pinned a version, and how to end that.
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


class Wanted(NamedTuple):
    """Choices of settings and commands, beyond the highest valid versions.

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
