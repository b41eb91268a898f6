"""The packages of the images.

Every one but torch by version and hash, as pinned in constraints.txt.
"""

import re
from pathlib import Path

import pytest

from scripts.lock import LOCKS, SECTIONS, UNHASHED, locked, pins_of, sections

ROOT = Path(__file__).parents[2]
CONSTRAINTS = sections((ROOT / "constraints.txt").read_text())
INSTALLS = re.findall(r"pip install [^\n]*", (ROOT / "Dockerfile").read_text())


@pytest.mark.parametrize("lock", SECTIONS)
def test_a_lock_holds_what_is_pinned_each_with_hashes(lock: str) -> None:
    found = locked((LOCKS / f"{lock}.txt").read_text())
    pinned = {f"{pin.name}{pin.specifier}" for pin in CONSTRAINTS[SECTIONS[lock]] if pin.name not in UNHASHED}
    assert found.keys() == pinned, "run `make lock`"
    assert all(hashes for hashes in found.values())
    assert {len(one) for hashes in found.values() for one in hashes} == {len("sha256:") + 64}


def test_a_lock_keeps_the_markers_of_the_project() -> None:
    (simdjson,) = [pin for pin in pins_of("service") if pin.name == "pysimdjson"]
    assert simdjson.marker
    assert not simdjson.marker.evaluate({"python_version": "3.14", "python_full_version": "3.14.0"})


def test_images_install_by_hash_all_but_torch() -> None:
    assert len(INSTALLS) == 4
    (torch,) = [line for line in INSTALLS if "--require-hashes" not in line]
    assert re.findall(r"-r (\S+)", torch) == ["requirements/torch.txt"]
    (line,) = [one for one in (LOCKS / "torch.txt").read_text().splitlines() if not one.startswith("#")]
    assert line == str(next(pin for pin in CONSTRAINTS["[train]"] if pin.name == "torch"))
    by_hash = {name for line in INSTALLS if line != torch for name in re.findall(r"requirements/([\w$]+)\.txt", line)}
    assert by_hash == {"service", "grpc", "trainer", "evaluate", "$extra"}


def test_what_images_copy_is_sent_to_the_builder() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for copy in copies for source in copy.split()}
    assert sources
    assert {s for s in sources if not any(s == one or s.startswith(f"{one}/") for one in allowed)} == set()
