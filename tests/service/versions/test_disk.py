"""Looking at the directory of models: what counts as a version, what as a change."""

import os
from pathlib import Path

import pytest

from service.errors import ArtifactError
from service.versions.desired_state import DesiredState
from service.versions.disk import ModelFiles, check_place, fingerprint, look, model_file


def publish(root: Path, name: str, version: int, text: str = "x") -> Path:
    path = model_file(root, name, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_versions_are_listed_highest_first_each_with_its_file(tmp_path: Path) -> None:
    path = publish(tmp_path, "census", 2)
    publish(tmp_path, "census", 10)
    (tmp_path / "census" / "7").mkdir()
    (tmp_path / "empty").mkdir()
    disk = look(tmp_path)
    assert list(disk) == ["census"]
    assert list(disk["census"].versions) == [10, 7, 2]
    assert disk["census"].versions[7] is None
    assert disk["census"].versions[2] == fingerprint(path)
    assert look(tmp_path) == disk


def test_whatever_may_change_what_is_served_is_a_change(tmp_path: Path) -> None:
    path = publish(tmp_path, "census", 1)
    seen = [fingerprint(path)]
    path.chmod(0o600)
    seen.append(fingerprint(path))
    status = path.stat()
    path.write_text("y")  # the same size, and a clock that somebody has set back
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    seen.append(fingerprint(path))
    other = publish(tmp_path, "census", 2, "y")
    other.replace(path)
    seen.append(fingerprint(path))
    assert len(set(seen)) == len(seen)


def test_a_directory_that_cannot_be_read_is_no_directory_without_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, "census", 1)
    publish(tmp_path, "hotel", 1)
    if os.geteuid() == 0:  # whom no mode keeps out
        listed = Path.iterdir

        def iterdir(path: Path) -> object:
            if path.name == "hotel":
                raise PermissionError(13, "Permission denied", str(path))
            return listed(path)

        monkeypatch.setattr(Path, "iterdir", iterdir)
    else:
        (tmp_path / "hotel").chmod(0o100)
    disk = look(tmp_path)
    (tmp_path / "hotel").chmod(0o700)
    assert list(disk["census"].versions) == [1]
    assert disk["hotel"] == ModelFiles({}, disk["hotel"].problem)
    assert "Permission denied" in (disk["hotel"].problem or "")


def test_a_name_that_is_not_utf8_is_the_same_at_every_look(tmp_path: Path) -> None:
    published = publish(tmp_path, "census", 1)
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    published.parent.rename(tmp_path / os.fsdecode(b"caf\xe9") / "1")
    disk = look(tmp_path)
    assert list(disk) == ["caf\\xe9"]
    assert list(disk["caf\\xe9"].versions.values()) != [None], "its file is found"
    kept = DesiredState.model_validate_json(DesiredState(disk=disk).model_dump_json())
    assert kept.disk == look(tmp_path)
    with pytest.raises(ArtifactError, match="cannot stand in a URL"):
        check_place(tmp_path, "caf\\xe9", model_file(tmp_path, "caf\\xe9", 1))


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    path = model_file(tmp_path, "census", 1)
    path.parent.mkdir(parents=True)
    path.symlink_to(path)
    assert fingerprint(path) is None
    with pytest.raises(ArtifactError):
        check_place(tmp_path, "census", path)
