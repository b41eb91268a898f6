import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from model.artifact.publish import WORK_PREFIX, publish, versions


def write(directory: Path) -> None:
    (directory / "model.onnx").write_bytes(b"weights")


def everything_below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_versions_count_up_and_hold_what_was_written(tmp_path: Path) -> None:
    paths = [publish(tmp_path / "models", "census", write) for _ in range(3)]
    assert [path.name for path in paths] == ["1", "2", "3"]
    assert all((path / "model.onnx").read_bytes() == b"weights" for path in paths)
    assert everything_below(tmp_path / "models" / "census") == [
        "1", "1/model.onnx", "2", "2/model.onnx", "3", "3/model.onnx",
    ]  # fmt: skip


def test_next_version_follows_the_highest_and_ignores_other_names(tmp_path: Path) -> None:
    home = tmp_path / "census"
    for name in ("2", "10", "notes", ".hidden", "1a", "²"):
        (home / name).mkdir(parents=True)
        (home / name / "file").touch()
    assert versions(home) == [2, 10]
    assert publish(tmp_path, "census", write).name == "11"


def test_version_can_be_read_by_another_user(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        version = publish(tmp_path, "census", write)
    finally:
        os.umask(old)
    assert version.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), SystemExit(1)])
def test_failure_while_writing_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail(directory: Path) -> None:
        write(directory)
        raise error

    with pytest.raises(type(error)):
        publish(tmp_path / "models", "census", fail)
    assert everything_below(tmp_path) == []


def test_failure_leaves_older_versions_as_they_are(tmp_path: Path) -> None:
    publish(tmp_path, "census", write)

    def fail(directory: Path) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        publish(tmp_path, "census", fail)
    assert everything_below(tmp_path) == ["census", "census/1", "census/1/model.onnx"]


def test_file_in_place_of_the_models_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("not a directory")
    with pytest.raises(OSError, match="models"):
        publish(tmp_path / "models", "census", write)
    assert everything_below(tmp_path) == ["models"]


def in_another_process(code: str, directory: Path) -> int:
    """Run code that knows `directory`.

    Returns the exit code, or minus the signal that ended it.
    """
    start = (
        "import sys; from pathlib import Path; from model.artifact.publish import publish\n"
        "directory = Path(sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", start + code, str(directory)], capture_output=True, check=False)
    return done.returncode


def test_disk_that_takes_no_more_leaves_nothing(tmp_path: Path) -> None:
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    publish(directory / "models", "census", lambda place: (place / "model.onnx").write_bytes(bytes(2000)))
except OSError:
    sys.exit(77)
"""
    assert in_another_process(code, tmp_path) == 77
    assert everything_below(tmp_path) == []


def test_killed_publisher_leaves_no_version_and_is_swept_up_later(tmp_path: Path) -> None:
    code = """
import os, signal
publish(directory, "census", lambda place: ((place / "model.onnx").touch(), os.kill(os.getpid(), signal.SIGKILL)))
"""
    assert in_another_process(code, tmp_path) == -signal.SIGKILL
    home = tmp_path / "census"
    assert versions(home) == []
    (left,) = home.iterdir()
    assert left.name.startswith(WORK_PREFIX)
    long_ago = time.time() - 1e6
    os.utime(left, (long_ago, long_ago))
    assert publish(tmp_path, "census", write).name == "1"
    assert everything_below(home) == ["1", "1/model.onnx"]


def test_publishers_at_the_same_time_get_versions_of_their_own(tmp_path: Path) -> None:
    count = 12
    together = threading.Barrier(count)

    def one(number: int) -> None:
        def fill(directory: Path) -> None:
            (directory / "model.onnx").write_text(str(number))
            together.wait()

        publish(tmp_path, "census", fill)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    home = tmp_path / "census"
    assert versions(home) == list(range(1, count + 1))
    written = {(home / str(v) / "model.onnx").read_text() for v in versions(home)}
    assert written == {str(number) for number in range(count)}
    assert len(list(home.iterdir())) == count


def test_publishing_needs_no_torch() -> None:
    code = "import sys, model.artifact.publish; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
