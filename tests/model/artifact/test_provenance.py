import re
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from model.artifact import provenance


def test_versions_name_what_shapes_a_model() -> None:
    assert {"python", "torch", "onnx", "onnxruntime", "numpy"} <= set(provenance.versions())


def test_time_is_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", provenance.now())


def commit_seen_from(copy: Path) -> str | None:
    spec = spec_from_file_location("copied_provenance", copy)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.commit()
    assert found is None or isinstance(found, str)
    return found


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(directory), *identity, *arguments], capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


def test_commit_is_that_of_the_source_and_says_when_it_was_changed(tmp_path: Path) -> None:
    copy = tmp_path / "provenance.py"
    copy.write_text(Path(provenance.__file__).read_text())
    assert commit_seen_from(copy) is None  # no repository
    git(tmp_path, "init", "-q")
    assert commit_seen_from(copy) is None  # a repository that does not hold the source
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit_seen_from(copy) == head
    copy.write_text(copy.read_text() + "\n")
    assert commit_seen_from(copy) == f"{head}-dirty"
