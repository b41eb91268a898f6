"""Directory of models, <name>/<version>/model.onnx: its versions, and whether files changed.

Looking reads directories and the status of files, never a file, so it is cheap enough to be done
every few seconds.
"""

import errno
import os
import re
from pathlib import Path
from typing import NamedTuple

from service.artifact.file import outside
from service.errors import ArtifactError
from service.system.files import OutsideError, open_beneath

MODEL_FILE = "model.onnx"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")

Fingerprint = tuple[int, ...]
"""Changes when a file is replaced, written or given other rights: device, inode, size, times of
content and status."""


class ModelFiles(NamedTuple):
    """Files of one model, by version.

    Attributes:
        versions: version -> fingerprint of its file, highest first; None where there is no file to
            look at.
        problem: why its directory cannot be read, and so whether there are versions is unknown.
    """

    versions: dict[int, Fingerprint | None]
    problem: str | None = None


Disk = dict[str, ModelFiles]
"""Files on disk, by the name of the model."""


def look(root: Path) -> Disk:
    """Look at the directory.

    Names in order, as text. Directories under other names than numbers are not versions.

    Raises:
        ArtifactError: it cannot be read.
    """
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is_directory(entry))
    except OSError as error:
        raise ArtifactError(
            f"The directory of models {str(root)!r} cannot be read: {error.strerror}",
            "Make it, or set MMOE_MODELS to the directory that holds <name>/<version>/model.onnx",
        ) from None
    found = {_spelled(name): _model_files(root / name) for name in names}
    return {name: files for name, files in found.items() if files.versions or files.problem}


def model_file(root: Path, name: str, version: int) -> Path:
    """Return the path of a version's file."""
    return root / name / str(version) / MODEL_FILE


def is_version(name: str) -> bool:
    """Tell whether a directory's name is that of a version."""
    return _VERSION.fullmatch(name) is not None


def is_model(name: str) -> bool:
    """Tell whether a directory's name can be that of a model."""
    return _NAME.fullmatch(name) is not None


def check_place(root: Path, name: str, path: Path) -> None:
    """Check that a file lies in the directory, links followed, and its model's name fits a URL.

    The file may be another one when it is read: `artifact.read_model` makes sure again of what it
    reads.

    Raises:
        ArtifactError: it must not be served.
    """
    if not is_model(name):
        raise ArtifactError(
            f"The model name {name!r} cannot stand in a URL",
            "Rename its directory to letters, digits, dots, dashes and underscores",
        )
    try:
        os.close(open_beneath(root, path.relative_to(root)))
    except OutsideError:
        raise outside() from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ArtifactError("The path of the file leads in a circle of links", "Replace the links") from None
        # Whether the file can be read is a matter of reading it.


def fingerprint(path: Path) -> Fingerprint | None:
    """Return what tells a file from another, or from itself changed; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """Tell whether something in the directory is one itself.

    What cannot be looked at is listed with the reason.
    """
    try:
        return entry.is_dir()
    except OSError:
        return True


def _spelled(name: str) -> str:
    """Return a name as text for JSON; what is not UTF-8 gets a backslash, and is refused."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _model_files(directory: Path) -> ModelFiles:
    try:
        versions = [int(p.name) for p in directory.iterdir() if is_version(p.name)]
    except OSError as error:
        return ModelFiles({}, f"Its directory cannot be read: {error.strerror}. Check the directory's mode and owner.")
    return ModelFiles({v: fingerprint(directory / str(v) / MODEL_FILE) for v in sorted(versions, reverse=True)})
