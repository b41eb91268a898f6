"""Serving files of all models, as the workers of one process group follow them.

What was read last is part of the desired state, so that all workers change at the same moment. A
file that cannot be used leaves what it said before; a change that cannot be written holds until
the service restarts, or until somebody who can write the file does.
"""

from collections.abc import Callable, Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from service.errors import ServiceError
from service.versions.serving_file import NO_CHOICE, Edit, Serving, ServingFile, changed
from service.versions.serving_place import Stamp


class Followed(BaseModel):
    """Serving file as it was last read.

    Attributes:
        serving: what it says; where it cannot be used, what it said before.
        stamp: of what was read; None where there was no file.
        problem: why it cannot be used, if so.
        unsaved: why the last change of `serving` is not in the file, if so.
    """

    model_config = ConfigDict(frozen=True)

    serving: Serving = NO_CHOICE
    stamp: Stamp | None = None
    problem: str | None = None
    unsaved: str | None = None


NOT_READ = Followed()
"""Stands for a file that nobody has found."""


class ServingFiles:
    """Serving files of all models.

    Args:
        file: returns the file of a model.
    """

    def __init__(self, file: Callable[[str], ServingFile]) -> None:
        self._file = file

    def follow(self, names: Iterable[str], before: Mapping[str, Followed]) -> dict[str, Followed]:
        """Read the files that have changed.

        Args:
            names: of the models that there are.
            before: what was read last.

        Returns:
            What is known now of each model that there is, or whose file is still there.
        """
        there, found = set(names), {}
        for name in sorted({*there, *before}):
            file, known = self._file(name), before.get(name, NOT_READ)
            followed = known if file.stamp() == known.stamp else _read(file, known)
            if followed != NOT_READ and (name in there or followed.stamp is not None):
                found[name] = followed
        return found

    def change(self, name: str, edit: Edit, by: str, before: Followed) -> Followed:
        """Change a model's file; where it cannot be written, what is known of it alone.

        Args:
            name: of the model.
            edit: of what the file says.
            by: who changes it.
            before: what was read last; a change of it that could not be written is written now.

        Raises:
            VersionConflict: as in `ServingFile.change`.
        """
        file, unsaved = self._file(name), before.serving if before.unsaved is not None else None

        def edit_all(now: Serving) -> Mapping[str, object]:
            if unsaved is None:
                return edit(now)
            chosen = {field: getattr(unsaved, field) for field in ("pinned", "canary", "shadow", "previous")}
            return {**chosen, **edit(unsaved)}

        try:
            file.change(edit_all, by)
        except OSError as error:
            after = changed(before.serving, edit(before.serving), by)
            reason = f"{file} cannot be written: {error.strerror or error}"
            return Followed(serving=after, stamp=file.stamp(), problem=before.problem, unsaved=reason)
        return _read(file, before)


def _read(file: ServingFile, before: Followed) -> Followed:
    stamp = file.stamp()  # before reading: a change in between is met again
    try:
        return Followed(serving=file.read(), stamp=stamp)
    except ServiceError as error:
        return Followed(serving=before.serving, stamp=stamp, problem=str(error))
