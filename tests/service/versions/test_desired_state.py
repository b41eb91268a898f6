from pathlib import Path

from service.versions.desired_state import Roster, Wishes
from service.versions.disk import Shelf


def unload(name: str):  # type: ignore[no-untyped-def]
    return lambda wishes: {"unloaded": wishes.unloaded | {name}}


def test_a_change_by_one_is_seen_by_all(tmp_path: Path) -> None:
    one, other = Roster(tmp_path), Roster(tmp_path)
    assert not one.changed()
    assert not other.changed()
    one.change(unload("census"))
    assert other.changed()
    assert other.read().unloaded == {"census"}
    assert not other.changed()
    other.change(unload("hotel"))
    assert one.read().unloaded == other.read().unloaded == {"census", "hotel"}
    one.change(lambda wishes: {"unloaded": wishes.unloaded - {"census"}})
    assert other.read().unloaded == {"hotel"}
    assert Roster(tmp_path).read() == other.wishes, "a restarted worker finds it"
    assert other.wishes.change == 3


def test_what_was_found_on_disk_is_told_as_it_was(tmp_path: Path) -> None:
    disk = {"census": Shelf({10: (1, 2, 3), 2: None}), "hotel": Shelf({}, "cannot be read")}
    Roster(tmp_path).change(lambda wishes: {"disk": disk, "shadows": {"census": (2, 0.5), "hotel": None}})
    found = Roster(tmp_path).read()
    assert found.disk == disk
    assert list(found.disk["census"].versions) == [10, 2]
    assert found.shadows == {"census": (2, 0.5), "hotel": None}


def test_a_change_of_nothing_is_none(tmp_path: Path) -> None:
    one, other = Roster(tmp_path), Roster(tmp_path)
    one.change(lambda wishes: {})
    assert not other.changed()
    assert one.wishes == Wishes()


def test_a_change_to_the_same_is_seen_too(tmp_path: Path) -> None:
    one, other = Roster(tmp_path), Roster(tmp_path)
    for change in (1, 2, 3):
        one.change(lambda wishes: {"unloaded": wishes.unloaded})
        assert other.changed()
        assert other.read().change == change


def test_without_a_directory_the_wishes_are_ones_own() -> None:
    roster = Roster()
    roster.change(unload("census"))
    assert roster.read().unloaded == roster.wishes.unloaded == {"census"}
    assert not roster.changed()
