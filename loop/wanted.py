"""Serving file and sentence of each stage of a cycle."""

from loop.config import LoopConfig
from loop.state import Held, State
from service.versions.serving_file import VersionShare


def wanted(state: State, config: LoopConfig) -> Held:
    """Return what the serving file is to say in a stage."""
    if state.stage == "promoting":
        return Held(pinned=state.candidate)
    if state.stage == "shadow":
        return Held(pinned=state.served, shadow=_beside(state, config.shadow.share))
    if state.stage == "canary":
        return Held(pinned=state.served, canary=_beside(state, config.canary.steps[state.step]))
    return Held(pinned=state.served)


def sentence(state: State, asked: Held, training: bool) -> str:
    """Tell a stage, without a full stop.

    Args:
        state: of the cycle.
        asked: what the serving file says in it.
        training: whether candidates are trained here, or found.
    """
    served, candidate = state.served, state.candidate
    if state.stage == "training" and served is None:
        return f"Cycle {state.cycle}: no version is published yet"
    if state.stage == "training":
        what = "is trained" if training else "is looked for"
        return f"Cycle {state.cycle}: version {served} is served, and stays pinned while a candidate {what}"
    if asked.shadow is not None:
        share = f"{asked.shadow.share:.0%} of the traffic"
        return f"Version {candidate} answers {share} in the shadow of version {served}"
    if asked.canary is not None:
        others = "" if asked.canary.share == 1 else f", version {served} the others"
        return f"Version {candidate} answers {asked.canary.share:.0%} of the requests{others}"
    if state.stage == "promoting":
        instead = f"in place of version {served}" if served is not None else "as the first"
        return f"Version {candidate} is promoted: it is served {instead}"
    return f"Version {candidate} is rolled back {state.reason}; version {served} is served on"


def _beside(state: State, share: float) -> VersionShare:
    assert state.candidate is not None
    return VersionShare(version=state.candidate, share=float(share))
