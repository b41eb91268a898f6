"""Look at the directory of models, <name>/<version>/model.onnx: which versions there are, and whether files changed.

Looking reads directories and the status of files, never a file, so it is cheap enough to be done every few seconds.
"""

import re
from pathlib import Path
from typing import NamedTuple

from service.errors import ArtifactError

MODEL_FILE = "model.onnx"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")

Fingerprint = tuple[int, ...]
"""Changes when a file is replaced, written or given other rights: device, inode, size, times of content and status."""


class Shelf(NamedTuple):
    """Tell what there is of one model.

    Attributes:
        versions: version -> fingerprint of its file, highest first; None where there is no file to look at.
        problem: why its directory cannot be read, and so whether there are versions is unknown.
    """

    versions: dict[int, Fingerprint | None]
    problem: str | None = None


Disk = dict[str, Shelf]
"""What there is, by the name of the model."""


def look(root: Path) -> Disk:
    """Look at the directory; names in order. Directories under other names than numbers are no versions.

    Raises:
        ArtifactError: it cannot be read.
    """
    try:
        names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise ArtifactError(
            f"The directory of models {str(root)!r} cannot be read: {error.strerror}",
            "Make it, or set MMOE_MODELS to the directory that holds <name>/<version>/model.onnx",
        ) from None
    shelves = {name: _shelf(root / name) for name in names}
    return {name: shelf for name, shelf in shelves.items() if shelf.versions or shelf.problem}


def model_file(root: Path, name: str, version: int) -> Path:
    """Return the path of a version's file."""
    return root / name / str(version) / MODEL_FILE


def check_place(root: Path, name: str, path: Path) -> None:
    """Check that a file lies in the directory, links followed, and that its model's name can stand in a URL.

    Raises:
        ArtifactError: it must not be served.
    """
    if not _NAME.fullmatch(name):
        raise ArtifactError(
            f"The model name {name!r} cannot stand in a URL",
            "Rename its directory to letters, digits, dots, dashes and underscores",
        )
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # links that lead in a circle
        raise ArtifactError(f"The path of the file cannot be followed: {error}", "Replace the links") from None
    if not inside:
        raise ArtifactError(
            "The file lies outside of the directory of models, behind a link", "Copy it into the directory"
        )


def fingerprint(path: Path) -> Fingerprint | None:
    """Return what tells a file from another, or from itself changed; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _shelf(directory: Path) -> Shelf:
    try:
        versions = [int(p.name) for p in directory.iterdir() if _VERSION.fullmatch(p.name)]
    except OSError as error:
        return Shelf({}, f"Its directory cannot be read: {error.strerror}. Check the directory's mode and owner.")
    return Shelf({v: fingerprint(directory / str(v) / MODEL_FILE) for v in sorted(versions, reverse=True)})
