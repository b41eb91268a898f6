"""Keys in a file: found, followed through its changes, and never shown."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.keys import MARKER, Key, Keys, Role, check_guarded, line_of, new_key
from service.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def write(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def test_a_key_is_found_among_others_and_nothing_else_is(path: Path) -> None:
    mine, others = new_key(), new_key()
    write(path, "# comment", "", line_of("predict", "web", others), f"  {line_of('admin', 'ops', mine)}  # mine")
    keys = Keys(path)
    assert keys.find(mine.encode()) == Key("admin", "ops")
    assert keys.find(others.encode()) == Key("predict", "web")
    for wrong in ("", mine[:-1], mine + " ", mine.upper(), new_key(), path.read_text().split()[-1]):
        assert keys.find(wrong.encode()) is None


def test_without_a_file_there_are_no_keys() -> None:
    assert Keys.of(None) is None


def test_keys_are_long_random_and_not_in_their_line() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(key.startswith("mmoe_") and len(key) == 5 + 43 for key in made)
    key = made.pop()
    assert key[5:] not in line_of("predict", "web", key)


HASH = line_of("predict", "web", "x").split()[-1]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "names no key"),
        (b"# nobody\n", "names no key"),
        (b"predict web\n", "line 1 has 2 words"),
        (b"\npredict web mmoe_pasted-by-mistake\n", "line 2 ends with no hash"),
        (f"predict web {HASH[:-1]}".encode(), "line 1 ends with no hash"),
        (f"predict web {HASH[7:]}".encode(), "line 1 ends with no hash"),
        (f"root web {HASH}".encode(), "line 1 begins with no role; the roles are predict and admin"),
        (f"predict a {HASH}\nadmin b {HASH}".encode(), "line 2 has a hash that an earlier line has"),
        (f"predict a {HASH}\nadmin a {HASH[:-1]}0".encode(), "line 2 has a name that an earlier line has"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * (2 << 20), "more than 1048576 bytes"),
    ],
)
def test_a_wrong_file_ends_the_start_with_a_sentence_that_repeats_nothing_of_it(
    path: Path, content: bytes, sentence: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="MMOE_KEYS_FILE") as caught:
        Keys(path)
    assert sentence in str(caught.value)
    assert "pasted-by-mistake" not in str(caught.value)
    assert HASH[7:20] not in str(caught.value)


def test_a_missing_file_ends_the_start(path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        Keys(path)


UNREADABLE = """
import os, sys
from pathlib import Path
from service.keys import Keys
os.geteuid() or os.seteuid(65534)  # what root must not read there is nothing of
Keys(Path(sys.argv[1]))
"""


def test_a_file_that_its_user_may_not_read_ends_the_start_and_says_what_to_do(path: Path) -> None:
    path.touch(0)
    run = subprocess.run(
        [sys.executable, "-c", UNREADABLE, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    *_, last = run.stderr.splitlines()
    assert "SettingsError" in last
    assert "may not read it; `chmod go+r` lets all read the hashes" in last


def test_no_service_starts_open_where_its_settings_or_its_models_require_keys(path: Path) -> None:
    models = path.parent / "models"
    check_guarded(Settings(models=models))
    with pytest.raises(SettingsError, match=r"MMOE_KEYS_FILE is 'unset'; expected a file.* MMOE_REQUIRE_KEYS is set"):
        check_guarded(Settings(models=models, require_keys=True))
    models.mkdir()
    check_guarded(Settings(models=models))
    (models / MARKER).touch()
    with pytest.raises(SettingsError, match=rf"MMOE_KEYS_FILE is 'unset'; expected a file.*{MARKER} is there"):
        check_guarded(Settings(models=models))
    with pytest.raises(SettingsError, match="No such file"):
        check_guarded(Settings(models=models, require_keys=True, keys_file=path))
    write(path, line_of("predict", "web", new_key()))
    check_guarded(Settings(models=models, require_keys=True, keys_file=path))


def test_changes_are_followed_and_a_broken_file_keeps_the_keys(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = new_key(), new_key()
    write(path, line_of("predict", "web", first))
    keys = Keys(path)
    with caplog.at_level(logging.INFO, "service"):
        keys.reload()
        assert caplog.records == []
        write(path, line_of("admin", "web", second))
        keys.reload()
        assert keys.find(first.encode()) is None
        assert keys.find(second.encode()) == Key("admin", "web")
        write(path, line_of("admin", "web", second), f"predict new {first}")
        for _ in range(3):
            keys.reload()
        path.unlink()
        keys.reload()
        keys.reload()
        assert keys.find(second.encode()) == Key("admin", "web")
        write(path, line_of("predict", "web", first), line_of("admin", "ops", second))
        keys.reload()
    assert keys.find(first.encode()) == Key("predict", "web")
    changed, broken, gone, mended = (record.getMessage() for record in caplog.records)
    assert "names 1 keys now" in changed
    assert "keeps its keys as they were: line 2 ends with no hash" in broken
    assert "keeps its keys as they were: No such file" in gone
    assert "names 2 keys now" in mended
    assert first not in caplog.text
    assert second not in caplog.text


def test_a_fifo_in_the_place_of_the_file_keeps_the_keys_and_holds_up_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = new_key(), new_key()
    write(path, line_of("predict", "web", first))
    keys = Keys(path)
    path.unlink()
    os.mkfifo(path)
    keys.reload()  # nobody writes to it, so a reader would wait for ever
    assert keys.find(first.encode()) == Key("predict", "web")
    assert "expected a regular file" in caplog.text
    with pytest.raises(SettingsError, match="expected a regular file"):
        Keys(path)
    path.unlink()
    write(path, line_of("predict", "web", second))
    keys.reload()
    assert keys.find(second.encode()) == Key("predict", "web")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.keys", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("role", ["predict", "admin"])
def test_the_command_prints_a_line_to_keep_and_the_key_to_send(path: Path, role: Role) -> None:
    made = run("new", "--role", role, "--name", "web")
    assert made.returncode == 0
    path.write_text(made.stdout)
    (key,) = [line for line in made.stderr.splitlines() if line.startswith("mmoe_")]
    assert Keys(path).find(key.encode()) == Key(role, "web")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "required"),
        (["new"], "--role"),
        (["new", "--role", "root", "--name", "x"], "'predict'"),
        (["new", "--role", "admin", "--name", "two words"], "one word"),
        (["new", "--role", "admin", "--name", "a#b"], "one word"),
    ],
)
def test_the_command_says_what_it_takes(arguments: list[str], sentence: str) -> None:
    made = run(*arguments)
    assert made.returncode == 2
    assert sentence in made.stderr
    assert made.stdout == ""
