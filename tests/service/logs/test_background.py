"""A bounded queue to a thread: in order, never waiting, and nothing lost that was taken."""

import logging
import threading

import pytest

from service.logs.background import Background


def test_what_is_put_is_worked_on_in_order_and_all_of_it_before_the_end() -> None:
    done: list[int] = []
    background = Background("test", done.extend, room=10_000)
    assert all(background.put(number) for number in range(5000))
    assert background.close()
    assert done == list(range(5000))


def test_without_work_there_is_no_thread() -> None:
    before = threading.active_count()
    assert Background("test", print, room=1).close()
    assert threading.active_count() == before


def test_what_finds_no_room_is_refused_at_once_while_the_work_hangs() -> None:
    going, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work(items: list[str]) -> None:
        going.set()
        go_on.wait(30)
        done.extend(items)

    background = Background("test", work, room=3)
    assert background.put("first")
    going.wait(30)
    assert background.put("second", size=2), "the first still counts"
    assert not background.put("third")
    go_on.set()
    assert background.close()
    assert done == ["first", "second"]


def test_what_is_larger_than_the_room_passes_alone() -> None:
    done: list[str] = []
    background = Background("test", done.extend, room=3)
    assert background.put("large", size=100)
    assert background.close()
    assert done == ["large"]


def test_a_failure_costs_its_items_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()
    done: list[str] = []

    def work(items: list[str]) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError("no luck")
        done.extend(items)

    background = Background("test", work, room=2)
    background.put("lost", size=2)
    failed.wait(30)
    while not background.put("kept"):
        pass
    assert background.close()
    assert done == ["kept"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_an_end_does_not_wait_for_work_that_hangs() -> None:
    go_on = threading.Event()
    background: Background[str] = Background("test", lambda items: go_on.wait(30), room=3)
    background.put("first")
    assert not background.close(timeout_s=0.01)
    go_on.set()
    assert background.close()
