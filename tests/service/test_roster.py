from pathlib import Path

from service.roster import Roster


def test_a_change_by_one_is_seen_by_all(tmp_path: Path) -> None:
    one, other = Roster(tmp_path), Roster(tmp_path)
    assert not one.changed()
    assert not other.changed()
    one.change("census", unload=True)
    assert other.changed()
    assert other.read() == {"census"}
    assert not other.changed()
    other.change("hotel", unload=True)
    assert one.read() == other.read() == {"census", "hotel"}
    one.change("census", unload=False)
    assert other.read() == {"hotel"}
    assert Roster(tmp_path).read() == {"hotel"}, "a restarted worker finds it"


def test_a_change_that_changes_no_name_is_seen_too(tmp_path: Path) -> None:
    one, other = Roster(tmp_path), Roster(tmp_path)
    for _ in range(3):
        one.change("census", unload=False)  # there may be another version on disk
        assert other.changed()
        assert other.read() == frozenset()


def test_without_a_directory_the_names_are_ones_own() -> None:
    roster = Roster()
    roster.change("census", unload=True)
    assert roster.read() == roster.unloaded == {"census"}
    assert not roster.changed()
    roster.change("census", unload=False)
    assert roster.read() == frozenset()
