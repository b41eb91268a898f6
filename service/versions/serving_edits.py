"""Edits of a serving file: pin, roll back, canary, shadow; each says what it changes, or why not.

One version is the candidate: canary and shadow are of the same.
"""

from collections.abc import Iterable, Mapping

from service.errors import VersionConflict
from service.versions.serving_file import Edit, Serving, VersionShare


def pin(version: int | None, served: int | None = None) -> Edit:
    """Serve a version, or None: the highest again, which ends a canary.

    Args:
        version: to serve.
        served: what is served while none is pinned.
    """

    def edit(now: Serving) -> Mapping[str, object]:
        if version is None:
            return {"pinned": None, "canary": None, "previous": None}
        before = now.pinned or served
        if before == version:
            return {"pinned": version, **_ended(now, version)}
        previous = before if before is not None and before < version else None
        return {"pinned": version, "previous": previous, **_ended(now, version)}

    return edit


def versions_before(now: Serving, served: int, versions: Iterable[int]) -> list[int]:
    """List the versions to go back to, the best first: the previous one, then the next lower ones.

    From a canary one goes back to what is served beside it.

    Args:
        now: what the file says.
        served: what is served.
        versions: that there are.
    """
    there = set(versions)
    lower = sorted((version for version in there if version < served), reverse=True)
    previous = [now.previous] if now.pinned == served and now.previous in there and now.previous is not None else []
    beside = [served] if now.canary is not None and now.canary.version != served else []
    return list(dict.fromkeys(beside + previous + lower))


def roll_back(version: int, pinned: int | None) -> Edit:
    """Serve a version that was served before, and end a canary.

    Args:
        version: to serve.
        pinned: what was pinned when that was chosen; where something else is by now, nothing is
            changed.
    """

    def edit(now: Serving) -> Mapping[str, object]:
        if now.pinned not in (pinned, version):
            raise VersionConflict(
                f"version {now.pinned or 'none'} was pinned meanwhile, at {now.time_utc} UTC by {now.by}",
                "Look at what is served, and roll back from there",
            )
        previous = now.previous if now.pinned == version else None
        return {"pinned": version, "previous": previous, **_ended(now, version), "canary": None}

    return edit


def canary(version: int | None, share: float = 0.0, served: int | None = None) -> Edit:
    """Let a version answer a share of the requests; None ends that.

    What is served is pinned, so that the end of a canary does not make it the highest of all, and
    so served.

    Args:
        version: of the canary.
        share: of the requests, more than 0 and at most 1.
        served: what is served while none is pinned; None pins nothing.
    """

    def edit(now: Serving) -> Mapping[str, object]:
        if version is None:
            return {"canary": None}
        if now.shadow is not None and now.shadow.version != version:
            raise _other("shadow", now.shadow.version, version)
        pinned = now.pinned or served
        if pinned == version:
            raise VersionConflict(f"version {version} is the one that is served", "Pin the other one first")
        return {"canary": VersionShare(version=version, share=share), "pinned": pinned}

    return edit


def shadow(version: int | None, share: float = 0.0) -> Edit:
    """Compare a version with the served one on a share of the runs; None ends that."""

    def edit(now: Serving) -> Mapping[str, object]:
        if version is None:
            return {"shadow": None}
        if now.canary is not None and now.canary.version != version:
            raise _other("canary", now.canary.version, version)
        return {"shadow": VersionShare(version=version, share=share)}

    return edit


def _ended(now: Serving, version: int) -> dict[str, None]:
    """Name what ends when a version is pinned: its own canary and comparison."""
    besides = {"canary": now.canary, "shadow": now.shadow}
    return {name: None for name, beside in besides.items() if beside is not None and beside.version == version}


def _other(what: str, there: int, asked: int) -> VersionConflict:
    came = f"version {there} is the {what}; a canary and a shadow are of one version, and version {asked} was asked for"
    return VersionConflict(came, f"End the {what} first")
