"""Serving file of the loop's model: what the loop asks for, unless somebody else has meanwhile."""

from collections.abc import Mapping

from loop.errors import LoopError
from loop.state import Held
from service.errors import VersionConflict
from service.versions.serving_file import Serving, ServingFile

BY = "scripts.loop"


class ChangedByOther(LoopError):
    """Serving file that says by another's hand what the loop has not asked for."""


class LoopServing:
    """Serving file as the loop reads and changes it.

    Args:
        file: of the model.
    """

    def __init__(self, file: ServingFile) -> None:
        self._file = file

    def read(self) -> Held:
        """Return what it says.

        Raises:
            LoopError: it cannot be used.
        """
        try:
            return _held(self._file.read())
        except VersionConflict as error:
            raise LoopError(str(error)) from None

    def set(self, before: Held, wanted: Held, reason: str, **more: int | None) -> None:
        """Change it, if it says what the loop believes.

        Args:
            before: that it is to say now, if not yet what is wanted.
            wanted: that it says afterwards.
            reason: for those who read the file.
            more: other fields, such as the `previous` version that a later rollback goes back to.

        Raises:
            ChangedByOther: it says something else; nothing is changed.
            LoopError: it cannot be used or written.
        """

        def edit(now: Serving) -> Mapping[str, object]:
            if _held(now) not in (before, wanted):
                raise ChangedByOther(changed_by_other(before, _held(now), now.by))
            return {"pinned": wanted.pinned, "canary": wanted.canary, "shadow": wanted.shadow, **more}

        try:
            self._file.change(edit, BY, reason)
        except VersionConflict as error:
            raise LoopError(str(error)) from None
        except OSError as error:
            raise LoopError(f"{self._file} cannot be written: {error.strerror or error}") from None


def changed_by_other(expected: Held, found: Held, by: str = "") -> str:
    """Say that the file was changed."""
    hand = f" by {by}" if by else ""
    return f"serving.json was changed{hand}: it says {found}, and the loop had left {expected}"


def _held(serving: Serving) -> Held:
    return Held(pinned=serving.pinned, canary=serving.canary, shadow=serving.shadow)
