"""The page that draws the house: every room is on it, and every path that it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/architecture.md").read_text()
PLACES = ("service", "model", "scripts", "benchmarks", "deploy", "docs", "tests")


def test_every_room_has_a_line() -> None:
    rooms = {path.parent for half in ("service", "model") for path in (ROOT / half).rglob("__init__.py")}
    lines = set(re.findall(r"^\| `([a-z_/]+)/` \|", PAGE, re.MULTILINE))
    assert lines == {str(room.relative_to(ROOT)) for room in rooms}


def test_every_path_named_is_there() -> None:
    paths = set(re.findall(rf"\b(?:{'|'.join(PLACES)})/[\w/.]*\w/?", PAGE))
    assert len(paths) > 80
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []
