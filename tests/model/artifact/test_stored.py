"""Versions that are published to an object store: a real server on loopback."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.artifact.stored import StoredModels
from model.errors import ExportError
from tests.support.object_store import Answer, ObjectStore, object_store


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with object_store() as one:
        yield one


@pytest.fixture
def models(server: ObjectStore) -> Iterator[StoredModels]:
    yield StoredModels(server.url)
    server.proxy.fault = None
    for path in server.paths():
        server.delete(path)


def write(directory: Path) -> None:
    (directory / "model.onnx").write_bytes(b"weights")
    (directory / "report.md").write_bytes(b"report")
    (directory / "pictures").mkdir()
    (directory / "pictures" / "a.png").write_bytes(b"a")


def test_publishers_at_the_same_time_take_different_numbers(models: StoredModels, tmp_path: Path) -> None:
    taken: list[str] = []
    threads = [threading.Thread(target=lambda: taken.append(models.publish("demo", write, tmp_path))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [f"{models}/demo/{number}" for number in range(1, 6)]
    assert models.versions("demo") == [1, 2, 3, 4, 5]
    assert not list(tmp_path.iterdir())


def test_the_model_comes_last_and_an_old_list_takes_no_number(
    models: StoredModels, server: ObjectStore, tmp_path: Path
) -> None:
    models.publish("demo", write, tmp_path)
    old, order = dict(server.proxy.lists), list[str]()

    def watch(method: str, path: str, answer: Answer) -> Answer:
        if method == "PUT":
            order.append(path.partition("/demo/")[2])
        return old.get(path, answer)

    server.proxy.fault = watch
    assert models.publish("demo", write, tmp_path) == f"{models}/demo/2"
    assert order[:2] == ["1/claim.json", "2/claim.json"]
    assert order[-1] == "2/model.onnx"
    assert sorted(order[2:-1]) == ["2/pictures/a.png", "2/report.md"]


def test_a_claim_without_a_model_is_no_version_and_keeps_its_number(
    models: StoredModels, server: ObjectStore, tmp_path: Path
) -> None:
    models.publish("demo", write, tmp_path)
    server.put("demo/2/claim.json", b"{}")
    server.put("demo/2/report.md", b"report")
    assert models.versions("demo") == [1]
    assert models.publish("demo", write, tmp_path) == f"{models}/demo/3"


def test_what_cannot_be_published_leaves_nothing(models: StoredModels, server: ObjectStore, tmp_path: Path) -> None:
    def refuse(method: str, path: str, answer: Answer) -> Answer:
        if method == "PUT" and path.endswith("model.onnx"):
            server.delete("demo/1/model.onnx")
            return Answer(403, [], b"")
        return answer

    server.proxy.fault = refuse
    with pytest.raises(ExportError, match=r"refuses these credentials.*; nothing was published"):
        models.publish("demo", write, tmp_path)
    assert server.paths() == []
    server.proxy.fault = None
    with pytest.raises(ZeroDivisionError):
        models.publish("demo", lambda directory: print(1 / 0), tmp_path)
    assert server.paths() == []
