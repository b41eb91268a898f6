"""Files that change while they are opened: nothing waits, and nothing from outside is read."""

import os
import threading
from collections.abc import Callable
from pathlib import Path, PurePath

import pytest

from service.system.files import OutsideError, open_beneath, parts_of_descriptor, read_descriptor, read_file


def read_beneath(root: Path, relative: str) -> bytes:
    return read_descriptor(open_beneath(root, PurePath(relative)), 100)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a directory with the file `model/1/file`, and a secret beside it."""
    (tmp_path / "secrets" / "1").mkdir(parents=True)
    (tmp_path / "secrets" / "1" / "file").write_bytes(b"secret")
    (tmp_path / "root" / "model" / "1").mkdir(parents=True)
    (tmp_path / "root" / "model" / "1" / "file").write_bytes(b"model")
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("other", "model"),
        ("other", "./model/../model/."),
        ("model/2", "1"),
        ("model/2", "../model/1"),
        ("model/1/link", "file"),
        ("model/1/link", "../../model/1/file"),
        ("model/1/link", "{root}/model/1/file"),
        ("other", "{root}/model"),
    ],
)
def test_links_that_stay_inside_are_followed(root: Path, link: str, target: str) -> None:
    (root / link).symlink_to(target.format(root=root))
    assert read_beneath(root, {"other": "other/1/file", "model/2": "model/2/file"}.get(link, link)) == b"model"


def test_the_directory_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    (root / "absolute").symlink_to(root / "model")
    assert read_beneath(tmp_path / "alias", "model/1/file") == b"model"
    assert read_beneath(tmp_path / "alias", "absolute/1/file") == b"model"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("out", "../secrets"),
        ("out", "{root}/../secrets"),
        ("out", "model/../../secrets"),
        ("out", "/etc/.."),
        ("model/2", "../../secrets/1"),
        ("model/1/link", "../../../secrets/1/file"),
        ("model/1/link", "{root}-else/file"),
    ],
)
def test_links_out_of_the_directory_are_not(root: Path, link: str, target: str) -> None:
    (root / link).symlink_to(target.format(root=root))
    with pytest.raises(OutsideError):
        read_beneath(root, {"out": "out/1/file", "model/2": "model/2/file"}.get(link, link))


def test_links_in_a_circle_end(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        read_beneath(root, "a/1/file")


def test_no_descriptor_stays_open(root: Path) -> None:
    (root / "out").symlink_to("../secrets")
    (root / "link").symlink_to("model/1/file")
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        read_beneath(root, "link")
        for path in ("out/1/file", "model", "model/1/absent", "model/1/file/below", ".."):
            with pytest.raises(OSError, match=r"lies outside|regular file|No such file|Not a directory|Is a dir"):
                read_beneath(root, path)
        with pytest.raises(ValueError, match="more than 2 bytes"):
            read_descriptor(open_beneath(root, PurePath("link")), 2)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("level", ["model", "model/1", "model/1/file"])
def test_a_link_that_is_flipped_all_the_time_never_leads_outside(root: Path, level: str) -> None:
    inside, ended = root / level, threading.Event()
    outside = root.parent / level.replace("model", "secrets")
    moved = root / f".{inside.name}"
    inside.rename(moved)
    inside.symlink_to(moved)

    def flip() -> None:
        fresh, targets = root / ".fresh", [outside, moved]
        while not ended.is_set():
            fresh.symlink_to(targets[0])
            fresh.replace(inside)
            targets.reverse()

    flipping = threading.Thread(target=flip)
    flipping.start()
    found: set[bytes] = set()
    try:
        for _ in range(3000):
            try:
                found.add(read_beneath(root, "model/1/file"))
            except OutsideError:
                found.add(b"")
    finally:
        ended.set()
        flipping.join()
    assert found == {b"model", b""}


def fifo(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [fifo, directory, device])
def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "file")
    with pytest.raises(OSError, match="expected a regular file"):
        read_file(tmp_path / "file", 100)


def test_a_file_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_file(tmp_path / "file", 100) == b"x" * 100
    with pytest.raises(ValueError, match="more than 99 bytes"):
        read_file(tmp_path / "file", 99)
    (tmp_path / "file").write_bytes(b"")
    assert read_file(tmp_path / "file", 99) == b""


def test_a_file_that_is_longer_than_it_says_is_read_whole() -> None:
    assert read_file(Path("/proc/self/status"), 1 << 20).startswith(b"Name:"), "it says 0 bytes"
    with pytest.raises(ValueError, match="more than 10 bytes"):
        read_file(Path("/proc/self/status"), 10)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_parts_are_those_of_the_file(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)

    def parts(most: int) -> list[bytes]:
        return list(parts_of_descriptor(os.open(tmp_path / "file", os.O_RDONLY), most))

    assert b"".join(parts(size)) == content
    assert all(len(part) <= 1 << 20 for part in parts(size))
    if size:
        with pytest.raises(ValueError, match=f"more than {size - 1} bytes"):
            parts(size - 1)
    with pytest.raises(OSError, match="It is a directory; expected a regular file"):
        list(parts_of_descriptor(os.open(tmp_path, os.O_RDONLY), 1))


def test_a_file_that_grows_while_it_is_read_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    parts = parts_of_descriptor(os.open(tmp_path / "file", os.O_RDONLY), 15)
    assert next(parts) == b"x" * 10
    with (tmp_path / "file").open("ab") as file:
        file.write(b"x" * 10)
    with pytest.raises(ValueError, match="more than 15 bytes"):
        next(parts)
