"""Files of bounded size and number, that survive whatever happens to the disk under them."""

import json
import os
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.logs.rotated_files import RotatedFiles

LINE = b"x" * 99 + b"\n"


def content(directory: Path) -> list[str]:
    return [path.read_text() for path in sorted(directory.glob("*.jsonl"))]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_old_files_are_deleted_and_none_grows_too_large(tmp_path: Path) -> None:
    files = RotatedFiles(tmp_path / "made" / "new", 1000, 3)
    for number in range(200):
        files.write(b"%099d\n" % number)
    files.close()
    paths = sorted((tmp_path / "made" / "new").glob("*.jsonl"))
    assert len(paths) == 3
    assert all(path.stat().st_size <= 1000 for path in paths)
    kept = [int(line) for path in paths for line in path.read_text().splitlines()]
    assert kept == list(range(200 - len(kept), 200))
    assert len(kept) > 20


def test_a_restarted_writer_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        files = RotatedFiles(tmp_path, 1000, 3)
        files.write(text)
        files.close()
    assert content(tmp_path) == ["one\ntwo\n"]


def test_a_line_that_a_killed_writer_left_unfinished_is_cut_off(tmp_path: Path) -> None:
    files = RotatedFiles(tmp_path, 1000, 3)
    files.write(b"one\n")
    files.close()
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(b'one\n{"half')
    again = RotatedFiles(tmp_path, 1000, 3)
    again.write(b"two\n")
    again.close()
    assert content(tmp_path) == ["one\ntwo\n"]


def test_writers_at_the_same_time_have_files_of_their_own(tmp_path: Path) -> None:
    first, second = RotatedFiles(tmp_path, 1000, 2), RotatedFiles(tmp_path, 1000, 2)
    for _ in range(30):
        first.write(b"1" * 99 + b"\n")
        second.write(b"2" * 99 + b"\n")
    assert len(content(tmp_path)) == 4
    assert all(len(set(text)) == 2 for text in content(tmp_path))
    first.close()
    third = RotatedFiles(tmp_path, 1000, 2)
    third.write(b"3\n")
    second.close()
    third.close()
    assert {path.name[:6] for path in tmp_path.glob("*.jsonl")} == {"rows-0", "rows-1"}, "the free place is taken"


def test_a_write_that_fails_leaves_whole_lines_and_the_next_goes_on(tmp_path: Path) -> None:
    files = RotatedFiles(tmp_path, 10_000, 3)
    files.write(LINE)
    with largest_file(250):
        for _ in range(3):
            with pytest.raises(OSError, match="File too large"):
                files.write(LINE * 3)
    assert content(tmp_path) == [LINE.decode()]
    files.write(LINE)
    files.close()
    assert content(tmp_path) == [LINE.decode() * 2]


def test_a_directory_that_is_removed_is_made_again(tmp_path: Path) -> None:
    files = RotatedFiles(tmp_path / "log", 1000, 3)
    files.write(b"lost\n")
    shutil.rmtree(tmp_path / "log")
    files.write(b"kept\n")
    (path,) = (tmp_path / "log").glob("*.jsonl")
    path.unlink()
    files.write(b"also kept\n")
    files.close()
    assert content(tmp_path / "log") == ["also kept\n"]


def test_what_is_no_directory_is_an_error_until_it_is_one(tmp_path: Path) -> None:
    place = tmp_path / "log"
    place.symlink_to("/dev/full")
    files = RotatedFiles(place, 1000, 3)
    with pytest.raises(OSError, match=str(place)):
        files.write(b"lost\n")
    place.unlink()
    files.write(b"kept\n")
    files.close()
    assert content(place) == ["kept\n"]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    strangers = [tmp_path / name for name in ("rows-0-1.txt", "rows-7-00000001.jsonl", "notes.jsonl")]
    for stranger in strangers:
        stranger.write_text("mine\n")
    files = RotatedFiles(tmp_path, 100, 2)
    for _ in range(20):
        files.write(LINE)
    files.close()
    assert all(stranger.read_text() == "mine\n" for stranger in strangers)


def test_files_are_for_the_owner_and_the_group(tmp_path: Path) -> None:
    files = RotatedFiles(tmp_path, 1000, 2)
    files.write(LINE)
    files.close()
    assert all(os.stat(path).st_mode & 0o007 == 0 for path in tmp_path.iterdir())


def test_files_are_deleted_after_their_days_whoever_wrote_them(tmp_path: Path) -> None:
    day, now = 86_400.0, [1_790_000_000.0]

    def record(number: int) -> bytes:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now[0]))
        return b'{"time_utc":"%b.000000","number":%d}\n' % (at.encode(), number)

    def numbers() -> list[int]:
        return [json.loads(line)["number"] for text in content(tmp_path) for line in text.splitlines()]

    gone = RotatedFiles(tmp_path, 10_000, 9, 8, lambda: now[0])
    files = RotatedFiles(tmp_path, 10_000, 9, 8, lambda: now[0])
    gone.write(record(-1))
    gone.close()
    for number in range(40):
        files.write(record(number))
        for path in tmp_path.glob("*.jsonl"):
            if path.stat().st_mtime > now[0]:  # it was written to now, by the clock of the test
                os.utime(path, (now[0], now[0]))
        now[0] += day
        assert min(numbers()) > number - 12
    assert -1 not in numbers()
    assert numbers()[-1] == 39
    files.close()
    again = RotatedFiles(tmp_path, 10_000, 9, 8, lambda: now[0])  # takes the first writer's place
    again.write(record(40))
    again.close()
    assert sorted(numbers())[-3:] == [38, 39, 40]
