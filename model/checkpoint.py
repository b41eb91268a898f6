"""Keep the state of a training run on disk, whole at any moment."""

import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from model.errors import TrainError


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state beside `path`, flush it to the disk, then rename it: a reader finds the old or the new one.

    Raises:
        TrainError: it cannot be written; what was there before stays.
    """
    beside = path.with_name(path.name + ".tmp")
    content = io.BytesIO()
    torch.save(dict(state), content)  # into a file it answers a full disk with an error of its own
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise TrainError(
            f"{path}: the checkpoint cannot be written: {error.strerror or error}; make room or choose another place, "
            "then run again"
        ) from error


def load(path: Path, identity: Mapping[str, str]) -> dict[str, Any] | None:
    """Read the state of an interrupted run, or None if there is no file.

    Args:
        path: of the checkpoint.
        identity: what decides the run; it must be what it was when the checkpoint was written.

    Raises:
        TrainError: if the file cannot be read or belongs to a run of another identity.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found: dict[str, str] = state["identity"]
    except Exception as error:  # torch.load raises whatever the damaged bytes lead to
        raise TrainError(f"{path}: this is no checkpoint of a training run; delete it to start afresh") from error
    for key in identity:
        if found.get(key) != identity[key]:
            raise TrainError(
                f"{path}: this checkpoint is of another run: {key} was {found.get(key)} and is {identity[key]}; "
                "restore that setting to resume, or delete the file (--no-resume does) to start afresh"
            )
    return state
