"""Serving file of a model: what is pinned, canaried and shadowed, for all replicas and restarts.

    <models>/<name>/serving.json, or <MMOE_SERVING_DIRECTORY>/<name>/serving.json

It is written whole, under a lock, so that no reader sees half of it and no writer loses the change
of another. Calls of the service, `scripts.promote` and the loop write it by `ServingFile.change`,
with an edit of `serving_edits.py`.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import VersionConflict
from service.versions.serving_place import FilePlace, Place

VersionNumber = Annotated[int, Field(ge=1, lt=10**18)]
_Said = Annotated[str, Field(max_length=1000)]


class VersionShare(BaseModel):
    """Version that gets a share of the requests, or is compared on a share of the runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: VersionNumber
    share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Serving(BaseModel):
    """Content of a serving file.

    Attributes:
        change: counts the changes.
        time_utc: of the last one.
        by: who or what made it.
        reason: why, in words.
        pinned: version that is served; None serves the highest that is not compared.
        canary: version that answers a share of the requests.
        shadow: version that is compared with the served one.
        previous: version to go back to: it was served when this one was pinned.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1]
    change: Annotated[int, Field(ge=0)] = 0
    time_utc: _Said = ""
    by: _Said = ""
    reason: _Said = ""
    pinned: VersionNumber | None = None
    canary: VersionShare | None = None
    shadow: VersionShare | None = None
    previous: VersionNumber | None = None

    @model_validator(mode="after")
    def _has_one_candidate(self) -> "Serving":
        candidates = {beside.version for beside in (self.canary, self.shadow) if beside is not None}
        if len(candidates) > 1:
            raise ValueError("canary and shadow are of different versions; expected one version for both")
        if self.pinned in candidates:
            raise ValueError(f"version {self.pinned} is pinned, and canary or shadow too; expected another version")
        return self


NO_CHOICE = Serving(schema_version=1)
"""Stands for a file that is not there."""

Edit = Callable[[Serving], Mapping[str, object]]
"""Returns the fields to change; it may be called again with what another has written meanwhile."""


class ServingFile:
    """Serving file of one model.

    Args:
        place: where it is kept.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self.stamp = place.stamp

    @classmethod
    def of(cls, models: Path, name: str, directory: Path | None = None) -> "ServingFile":
        """Return the file of a model.

        Args:
            models: directory of the models.
            name: of the model.
            directory: of serving files, where they are not kept beside the models.
        """
        return cls(FilePlace((directory or models) / name))

    def __str__(self) -> str:
        return str(self._place)

    def read(self) -> Serving:
        """Return what it says; `NO_CHOICE` where there is none.

        Raises:
            VersionConflict: it cannot be used.
        """
        try:
            return self._parse(self._place.read())
        except OSError as error:
            came = f"{self} cannot be read: {error.strerror or error}"
            raise VersionConflict(came, "Mend what keeps it from being read, and leave the file as it is") from None
        except ValueError as error:
            raise self._broken(str(error)) from None

    def change(self, edit: Edit, by: str, reason: str = "") -> Serving:
        """Change the fields that `edit` returns, if any differs; return what it says then.

        Args:
            edit: of what it says now; what it raises leaves the file as it is.
            by: who or what changes it.
            reason: why, in words.

        Raises:
            VersionConflict: it cannot be used as it is, or would say what cannot be.
            OSError: it cannot be written.
        """
        after = NO_CHOICE

        def edited(content: bytes | None) -> bytes | None:
            nonlocal after
            now = self._parse(content)
            after = changed(now, edit(now), by, reason)
            return None if after is now else after.model_dump_json(indent=1).encode() + b"\n"

        try:
            self._place.swap(edited)
        except ValueError as error:
            raise self._broken(str(error)) from None
        return after

    def _parse(self, content: bytes | None) -> Serving:
        if content is None:
            return NO_CHOICE
        try:
            return Serving.model_validate_json(content)
        except ValidationError as error:
            raise self._broken(_said(error)) from None

    def _broken(self, reason: str) -> VersionConflict:
        return VersionConflict(f"{self} cannot be used: {reason}", "Mend the file, or remove it")


def changed(now: Serving, fields: Mapping[str, object], by: str, reason: str = "") -> Serving:
    """Return what a serving file says after a change; the same object where nothing differs.

    Raises:
        VersionConflict: it would say what cannot be.
    """
    if all(getattr(now, name) == value for name, value in fields.items()):
        return now
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    facts = {"change": now.change + 1, "time_utc": at, "by": by[:1000], "reason": reason[:1000]}
    try:
        return Serving.model_validate({**dict(now), **fields, **facts})
    except ValidationError as error:
        raise VersionConflict(_said(error), "Look at GET /v1/models/{name}, and end what is in the way") from None


def _said(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
