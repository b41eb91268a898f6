"""Marks of the versions in use, beside their proven copies in the run directory."""

import contextlib
import json
from pathlib import Path

FOLDER, ABOUT, UNSAVED = "prepared", "about.json", "unsaved"
"""Folder of the copies; the file of each that names its version, which is also that of one for
whose copy there is no room."""


def in_use(directory: Path) -> frozenset[tuple[str, int]]:
    """List the versions that workers have loaded, or had lately, by name and number."""
    folder, found = directory / FOLDER, set()
    for about in (*folder.glob(f"*/{ABOUT}"), *folder.glob(f"*.{UNSAVED}")):
        with contextlib.suppress(OSError, ValueError):
            name, version = json.loads(about.read_text())
            found.add((name, version))
    return frozenset(found)
