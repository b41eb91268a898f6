"""The client of object stores against a real server of S3's interface on loopback."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stores import store as module
from stores.errors import Changed, NotStored, StoreError
from stores.store import DIGEST, Store
from tests.support.object_store import Answer, ObjectStore, object_store


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with object_store() as one:
        yield one


@pytest.fixture
def store(server: ObjectStore) -> Iterator[Store]:
    yield Store(server.url)
    server.proxy.fault = None
    for path in server.paths():
        server.delete(path)


def test_what_is_written_is_read_listed_and_removed(store: Store, server: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(6 << 20))  # in several parts
    store.write("demo/1/large", tmp_path / "large")
    store.write("demo/1/small", b"few")
    assert [file.path for file in store.files("demo/1")] == ["demo/1/large", "demo/1/small"]
    assert store.download("demo/1/large", tmp_path / "copy") == store.head("demo/1/large")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "large").read_bytes()
    read = store.read("demo/1/small")
    assert read is not None
    assert read[0] == b"few"
    store.delete("demo/1/small")
    assert store.head("demo/1/small") is None
    assert store.read("demo/1/small") is None
    with pytest.raises(NotStored, match="/models/demo/1/small: the store has no such"):
        store.download("demo/1/small", tmp_path / "copy")


def test_one_of_many_creates_a_file(store: Store) -> None:
    outcomes: list[bool] = []

    def create(number: int) -> None:
        try:
            Store(store.url).write("claim", b"%d" % number, create=True)
            outcomes.append(True)
        except Changed:
            outcomes.append(False)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]


def test_a_revision_is_replaced_once(store: Store) -> None:
    store.write("pins", b"1")
    read = store.read("pins")
    assert read is not None
    store.write("pins", b"2", replaces=read[2])
    with pytest.raises(Changed, match="somebody else has written it meanwhile"):
        store.write("pins", b"3", replaces=read[2])
    store.write("pins", b"2", replaces=read[2])  # the answer to a try before was lost


def test_a_write_whose_answer_was_lost_is_written(store: Store, server: ObjectStore) -> None:
    lost: list[str] = []

    def lose_one(method: str, path: str, answer: Answer) -> Answer:
        if method == "PUT" and not lost:
            lost.append(path)
            return Answer(500, [], b"")
        return answer

    server.proxy.fault = lose_one
    store.write("claim", b"mine", create=True)
    assert lost
    with pytest.raises(Changed):
        store.write("claim", b"another's", create=True)


FAULTS: dict[str, Callable[[Answer], Answer]] = {
    "/models/file": lambda answer: Answer(answer.status, answer.headers, answer.body[:500], 5000),
    "500 bytes came, and 5000 were announced": lambda answer: Answer(answer.status, answer.headers, answer.body[:500]),
    f"the copy's {DIGEST} is": lambda answer: Answer(answer.status, answer.headers, bytes(5000)),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_torn_copy_is_no_copy(store: Store, server: ObjectStore, tmp_path: Path, sentence: str) -> None:
    store.write("file", os.urandom(5000))
    server.proxy.fault = lambda method, path, answer: FAULTS[sentence](answer) if method == "GET" else answer
    with pytest.raises(StoreError, match=sentence):
        store.download("file", tmp_path / "copy")


def test_a_file_that_is_replaced_while_it_is_copied_is_no_mixture(
    store: Store, server: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 1 << 10)
    server.put("file", b"a" * 3000)
    gets = []

    def replace(method: str, path: str, answer: Answer) -> Answer:
        gets.append(method)
        if gets.count("GET") == 1:
            server.put("file", b"b" * 3000)
        return answer

    server.proxy.fault = replace
    with pytest.raises(Changed):
        store.download("file", tmp_path / "copy")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"pip install '\.\[stores\]'"):
        Store("gs://shelf/models")
