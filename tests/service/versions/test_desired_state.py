from pathlib import Path

from service.versions.desired_state import DesiredState, DesiredStateStore
from service.versions.disk import ModelFiles
from service.versions.serving_file import Serving, VersionShare
from service.versions.serving_files import Followed


def unload(name: str):  # type: ignore[no-untyped-def]
    return lambda desired: {"unloaded": desired.unloaded | {name}}


def test_a_change_by_one_is_seen_by_all(tmp_path: Path) -> None:
    one, other = DesiredStateStore(tmp_path), DesiredStateStore(tmp_path)
    assert not one.changed()
    assert not other.changed()
    one.change(unload("census"))
    assert other.changed()
    assert other.read().unloaded == {"census"}
    assert not other.changed()
    other.change(unload("hotel"))
    assert one.read().unloaded == other.read().unloaded == {"census", "hotel"}
    one.change(lambda desired: {"unloaded": desired.unloaded - {"census"}})
    assert other.read().unloaded == {"hotel"}
    assert DesiredStateStore(tmp_path).read() == other.last, "a restarted worker finds it"
    assert other.last.change == 3


def test_what_was_found_on_disk_is_told_as_it_was(tmp_path: Path) -> None:
    disk = {"census": ModelFiles({10: (1, 2, 3), 2: None}), "hotel": ModelFiles({}, "cannot be read")}
    said = Serving(schema_version=1, pinned=2, canary=VersionShare(version=3, share=1.0))
    serving = {"census": Followed(serving=said, stamp=(1, 2, 3)), "hotel": Followed(problem="broken", stamp=("etag",))}
    DesiredStateStore(tmp_path).change(lambda desired: {"disk": disk, "serving": serving})
    found = DesiredStateStore(tmp_path).read()
    assert found.disk == disk
    assert list(found.disk["census"].versions) == [10, 2]
    assert found.serving == serving


def test_a_change_of_nothing_is_none(tmp_path: Path) -> None:
    one, other = DesiredStateStore(tmp_path), DesiredStateStore(tmp_path)
    one.change(lambda desired: {})
    assert not other.changed()
    assert one.last == DesiredState()


def test_a_change_to_the_same_is_seen_too(tmp_path: Path) -> None:
    one, other = DesiredStateStore(tmp_path), DesiredStateStore(tmp_path)
    for change in (1, 2, 3):
        one.change(lambda desired: {"unloaded": desired.unloaded})
        assert other.changed()
        assert other.read().change == change


def test_without_a_directory_the_wishes_are_ones_own() -> None:
    store = DesiredStateStore()
    store.change(unload("census"))
    assert store.read().unloaded == store.last.unloaded == {"census"}
    assert not store.changed()
