"""Pages that say where things are.

Every room is on that of the house, and every path that they name is there.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/architecture.md").read_text()
PLACES = (
    "service",
    "model",
    "tables",
    "batch",
    "loop",
    "metrics",
    "stores",
    "mmoe_client",
    "scripts",
    "benchmarks",
    "deploy",
    "docs",
    "tests",
)


def test_every_room_has_a_line() -> None:
    rooms = {
        path.parent
        for half in ("service", "model", "tables", "batch", "loop", "metrics", "stores", "mmoe_client")
        for path in (ROOT / half).rglob("__init__.py")
    }
    lines = set(re.findall(r"^\| `([a-z_/]+)/` \|", PAGE, re.MULTILINE))
    assert lines == {str(room.relative_to(ROOT)) for room in rooms}


@pytest.mark.parametrize(
    ("page", "least"), [("docs/architecture.md", 80), ("docs/security.md", 15), ("CONTRIBUTING.md", 20)]
)
def test_every_path_named_is_there(page: str, least: int) -> None:
    paths = set(re.findall(rf"(?<![\w./])(?:{'|'.join(PLACES)})/[\w/.-]*\w/?", (ROOT / page).read_text()))
    assert len(paths) >= least
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []
