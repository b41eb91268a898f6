"""Candidate of a model: the version beside the served one, as its canary, its shadow or both."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from service.versions.disk import ModelFiles
from service.versions.loading import Key, LoadResult, is_loaded, reason_against
from service.versions.states import IDLE, Canary, Candidate, ModelState, Remark

Served = TypeVar("Served")


def with_candidate(
    state: ModelState,
    candidate: Candidate,
    files: ModelFiles,
    entries: Mapping[Key, LoadResult[Served]],
    unfit: Callable[[Served, Served], str | None],
) -> ModelState:
    """Add the candidate to a model's state; a canary that cannot answer gets no request.

    Args:
        state: without the candidate.
        candidate: that is wanted.
        files: that the last look has found.
        entries: what came of loading its versions.
        unfit: says why a version cannot answer in place of the served one, if so.
    """
    version = candidate.version
    if candidate.shadow is not None and version != state.served and is_loaded(entries, state.name, version):
        state = state._replace(shadow=version)
    if candidate.canary is None:
        return state
    reason = _reason_against_canary(state, version, files, entries, unfit)
    if reason is None:
        return state._replace(canary=Canary(version, candidate.canary))
    idle = Remark(IDLE.format(version=version, reason=reason.rstrip(".")), "canary_idle")
    return state._replace(remarks=(*state.remarks, idle))


def canaries(models: Mapping[str, ModelState]) -> dict[str, Canary]:
    """Return the canaries that get requests, by model."""
    return {name: state.canary for name, state in models.items() if state.canary is not None}


def _reason_against_canary(
    state: ModelState,
    version: int,
    files: ModelFiles,
    entries: Mapping[Key, LoadResult[Served]],
    unfit: Callable[[Served, Served], str | None],
) -> str | None:
    """Return what speaks against a version as the canary, if anything does."""
    if version == state.served:
        return "it is the one that is served"
    if version not in files.versions:
        return "it is not on disk"
    served = entries.get((state.name, state.served)) if state.served is not None else None
    if served is None or served.loaded is None:
        return "no version is served"
    canary = entries.get((state.name, version))
    if canary is None or canary.loaded is None:
        return reason_against(entries, state.name, version) or "it is not loaded"
    return unfit(served.loaded, canary.loaded)
