"""The serving file: read, changed by several writers, broken by hand."""

import json
import multiprocessing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.errors import VersionConflict
from service.versions import serving_edits as edits
from service.versions.serving_file import NO_CHOICE, Edit, Serving, ServingFile, VersionShare, changed

CHANGES = 40


def add(models: Path, writer: int) -> None:
    """Count in a field of the file, one change after the other."""
    file = ServingFile.of(models, "census")
    for _ in range(CHANGES):
        file.change(lambda now: {"previous": (now.previous or 0) + 1}, f"writer {writer}")


def test_writers_at_once_lose_no_change_and_readers_see_no_half(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("spawn")
    writers = [processes.Process(target=add, args=(tmp_path, number)) for number in range(3)]
    file, seen = ServingFile.of(tmp_path, "census"), [0]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen.append(file.read().change)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    after = file.read()
    assert (after.change, after.previous) == (3 * CHANGES, 3 * CHANGES)
    assert seen == sorted(seen)
    assert {path.name for path in (tmp_path / "census").iterdir()} == {"serving.json", ".serving.lock"}


def test_a_file_says_who_changed_what_and_why(tmp_path: Path) -> None:
    file = ServingFile.of(tmp_path / "models", "census", tmp_path / "aside")
    assert (file.read(), file.stamp()) == (NO_CHOICE, None)
    file.change(edits.pin(3, served=2), "scripts.promote", "better on sold")
    first = file.stamp()
    assert file.change(edits.pin(3), "somebody else").by == "scripts.promote", "nothing differs, nothing is written"
    assert file.stamp() == first
    found = json.loads((tmp_path / "aside" / "census" / "serving.json").read_text())
    assert len(found.pop("time_utc")) == len("2026-11-28 20:15:37")
    assert found == {
        "schema_version": 1, "change": 1, "by": "scripts.promote", "reason": "better on sold",
        "pinned": 3, "canary": None, "shadow": None, "previous": 2,
    }  # fmt: skip
    file.change(edits.pin(None), "call")
    assert file.stamp() != first
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "EOF while parsing"),
        (b'{"schema_version": 1, "pinned": 2', "EOF while parsing"),
        (b'{"pinned": 2}', "schema_version: Field required"),
        (b'{"schema_version": 2, "pinned": 2}', "schema_version: Input should be 1"),
        (b'{"schema_version": 1, "pined": 2}', "pined: Extra inputs are not permitted"),
        (b'{"schema_version": 1, "pinned": "2"}', "pinned: Input should be a valid integer"),
        (b'{"schema_version": 1, "pinned": 0}', "pinned: Input should be greater than or equal to 1"),
        (b'{"schema_version": 1, "canary": {"version": 2, "share": 1.5}}', "canary.share: Input should be less than"),
        (b'{"schema_version": 1, "canary": {"version": 2, "share": NaN}}', "canary.share: Input should be a finite"),
        (b'{"schema_version": 1, "pinned": 2, "canary": {"version": 2, "share": 0.5}}', "version 2 is pinned, and"),
        (b'{"schema_version": 1, "reason": "%s"}' % (b"x" * 70_000), "it has more than 65536 bytes"),
    ],
)
def test_a_broken_file_is_neither_used_nor_replaced(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "census").mkdir()
    (tmp_path / "census" / "serving.json").write_bytes(content)
    file = ServingFile.of(tmp_path, "census")
    for use in (file.read, lambda: file.change(edits.pin(1), "call")):
        with pytest.raises(VersionConflict, match=r"serving.json cannot be used: ") as refused:
            use()
        assert reason in str(refused.value)
        assert str(refused.value).endswith("Mend the file, or remove it.")
    assert (tmp_path / "census" / "serving.json").read_bytes() == content


def test_a_file_that_cannot_be_read_is_to_be_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "census" / "serving.json").mkdir(parents=True)
    with pytest.raises(VersionConflict, match=r"serving\.json cannot be read: .* leave the file as it is\.$"):
        ServingFile.of(tmp_path, "census").read()


def of(**fields: Any) -> Serving:
    return Serving(schema_version=1, **fields)


SHARE = VersionShare(version=3, share=0.05)


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        (of(), edits.pin(2, served=3), {"pinned": 2}),
        (of(pinned=2), edits.pin(3, served=2), {"pinned": 3, "previous": 2}),
        (of(pinned=3, previous=2), edits.pin(3, served=3), {"pinned": 3, "previous": 2}),
        (of(pinned=2, canary=SHARE, shadow=SHARE), edits.pin(3, served=2), {"pinned": 3, "previous": 2}),
        (of(pinned=2, canary=SHARE), edits.pin(1, served=2), {"pinned": 1, "canary": SHARE}),
        (of(pinned=2, previous=1, canary=SHARE), edits.pin(None), {}),
        (of(pinned=3, previous=2), edits.roll_back(2, 3), {"pinned": 2}),
        (of(pinned=2, canary=SHARE, shadow=SHARE), edits.roll_back(1, 2), {"pinned": 1, "shadow": SHARE}),
        (of(pinned=2), edits.roll_back(2, 3), {"pinned": 2}),
        (of(pinned=2, previous=1, canary=SHARE), edits.roll_back(2, 2), {"pinned": 2, "previous": 1}),
        (of(canary=SHARE), edits.roll_back(2, None), {"pinned": 2}),
        (of(), edits.canary(3, 0.05, served=2), {"pinned": 2, "canary": SHARE}),
        (of(pinned=1, shadow=SHARE), edits.canary(3, 0.05), {"pinned": 1, "canary": SHARE, "shadow": SHARE}),
        (of(pinned=1, canary=SHARE), edits.canary(None), {"pinned": 1}),
        (of(pinned=1, canary=SHARE), edits.shadow(3, 0.05), {"pinned": 1, "canary": SHARE, "shadow": SHARE}),
        (of(shadow=SHARE), edits.shadow(None), {}),
    ],
)
def test_edits(before: Serving, edit: Edit, after: Mapping[str, Any]) -> None:
    found = changed(before, edit(before), "test")
    facts = {"change": found.change, "time_utc": found.time_utc, "by": found.by}
    assert found == of(**after, **facts)


@pytest.mark.parametrize(
    ("before", "edit", "reason"),
    [
        (of(pinned=3), edits.canary(3, 0.5), "Version 3 is the one that is served. Pin the other one first."),
        (of(), edits.canary(3, 0.5, served=3), "Version 3 is the one that is served"),
        (of(pinned=3), edits.shadow(3, 0.5), "Version 3 is pinned, and canary or shadow too"),
        (of(shadow=SHARE), edits.canary(4, 0.5), "Version 3 is the shadow; .* version 4 was asked for. End the shadow"),
        (of(canary=SHARE), edits.shadow(4, 0.5), "Version 3 is the canary; .* End the canary first."),
        (of(pinned=4, by="loop"), edits.roll_back(2, 3), "Version 4 was pinned meanwhile, at  UTC by loop"),
    ],
)
def test_what_cannot_be_is_refused(before: Serving, edit: Edit, reason: str) -> None:
    with pytest.raises(VersionConflict, match=reason):
        changed(before, edit(before), "test")


def test_versions_to_go_back_to() -> None:
    assert edits.versions_before(of(), 3, [1, 2, 3, 4]) == [2, 1]
    assert edits.versions_before(of(pinned=5, previous=2), 5, [1, 2, 3, 5]) == [2, 3, 1]
    assert edits.versions_before(of(pinned=5, previous=4), 5, [1, 5]) == [1], "4 is gone"
    assert edits.versions_before(of(pinned=5, previous=4), 3, [1, 2, 3, 4]) == [2, 1], "a setting pins another"
    assert edits.versions_before(of(pinned=2, previous=1, canary=SHARE), 2, [1, 2, 3]) == [2, 1], "a canary ends"
    assert edits.versions_before(of(canary=SHARE), 3, [2, 3]) == [2], "the canary is what is left to be served"
