"""The mirror of an object store, look by look: a real server on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.versions.store_copies import Copies
from service.versions.store_mirror import Mirror, Wants
from stores.store import Store
from tests.support.object_store import Answer, ObjectStore, object_store


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with object_store() as one:
        yield one


@pytest.fixture
def store(server: ObjectStore) -> Iterator[ObjectStore]:
    yield server
    server.proxy.fault = None
    for path in server.paths():
        server.delete(path)


def mirror(store: ObjectStore, root: Path, budget: int = 1 << 20, forbidden_by: str | None = None) -> Mirror:
    return Mirror(Store(store.url), Copies(root), budget, forbidden_by=forbidden_by)


def files(root: Path) -> list[str]:
    hidden = (".partial", "origin.json")
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".") and not any(part in hidden for part in path.parts)
    )


def put(store: ObjectStore, version: int, content: bytes = b"model", name: str = "demo") -> None:
    store.put(f"{name}/{version}/model.onnx", content)


def test_whole_versions_alone_are_copied_the_two_highest_of_each_model(store: ObjectStore, tmp_path: Path) -> None:
    for version in (1, 2, 10):
        put(store, version)
        store.put(f"demo/{version}/report.md", b"report")
    store.put("demo/11/claim.json", b"{}")
    store.put("demo/11/report.md", b"report")
    put(store, 1, name="other")
    for path in ("demo/x/model.onnx", ".hidden/1/model.onnx", "demo/1/old/model.onnx", "model.onnx"):
        store.put(path, b"model")
    assert mirror(store, tmp_path).look(Wants()) == []
    assert files(tmp_path) == ["demo/10/model.onnx", "demo/2/model.onnx", "other/1/model.onnx"]


def test_one_more_is_copied_while_none_is_served_and_what_is_named_in_any_case(
    store: ObjectStore, tmp_path: Path
) -> None:
    for version in range(1, 8):
        put(store, version)
    one = mirror(store, tmp_path)
    one.look(Wants(named=frozenset({("demo", 2)})))
    assert files(tmp_path) == [f"demo/{version}/model.onnx" for version in (2, 6, 7)]
    one.look(Wants())
    one.look(Wants(unloaded=frozenset({"demo"})))
    one.look(Wants(served=frozenset({("demo", 5)})))
    assert files(tmp_path) == [f"demo/{version}/model.onnx" for version in (2, 5, 6, 7)]


def test_a_replaced_version_is_copied_again_and_an_old_list_does_not_count(store: ObjectStore, tmp_path: Path) -> None:
    put(store, 1, b"before")
    one = mirror(store, tmp_path)
    one.look(Wants())
    old, changes = dict(store.proxy.lists), list[None]()
    put(store, 1, b"behind")
    one.look(Wants())
    assert (tmp_path / "demo/1/model.onnx").read_bytes() == b"behind"
    store.proxy.fault = lambda method, path, answer: old.get(path, answer)
    one.changed = lambda: changes.append(None)
    assert one.look(Wants()) == []
    assert not changes


def test_after_a_crash_a_copy_that_is_not_whole_is_made_anew(store: ObjectStore, tmp_path: Path) -> None:
    put(store, 1)
    mirror(store, tmp_path).look(Wants())
    (tmp_path / "demo/1/model.onnx").write_bytes(b"")
    mirror(store, tmp_path).look(Wants())
    assert (tmp_path / "demo/1/model.onnx").read_bytes() == b"model"


def test_what_is_gone_goes_and_a_store_that_does_not_answer_takes_nothing_away(
    store: ObjectStore, tmp_path: Path
) -> None:
    put(store, 1)
    put(store, 2)
    one = mirror(store, tmp_path)
    one.look(Wants())
    store.delete("demo/2/model.onnx")
    store.proxy.fault = lambda method, path, answer: Answer(403, [], b"") if method == "HEAD" else answer
    (problem,) = one.look(Wants())
    assert "refuses these credentials" in problem
    assert files(tmp_path) == ["demo/1/model.onnx", "demo/2/model.onnx"]
    store.proxy.fault = None
    one.look(Wants())
    assert files(tmp_path) == ["demo/1/model.onnx"]
    store.delete("demo/1/model.onnx")
    one.look(Wants())
    assert not (tmp_path / "demo").exists()


def test_the_serving_file_comes_first_and_nothing_new_without_it(store: ObjectStore, tmp_path: Path) -> None:
    for version in range(1, 5):
        put(store, version)
    store.put("demo/serving.json", b'{"pinned": 1, "canary": {"version": 2}}')
    seen: list[list[str]] = []
    one = mirror(store, tmp_path)
    one.changed = lambda: seen.append(files(tmp_path))
    store.proxy.fault = lambda method, path, answer: Answer(403, [], b"") if path.endswith(".json") else answer
    assert len(one.look(Wants())) == 1
    assert files(tmp_path) == []
    store.proxy.fault = None
    one.look(Wants())
    assert seen[:2] == [["demo/serving.json"], ["demo/1/model.onnx", "demo/serving.json"]]
    assert files(tmp_path) == [*(f"demo/{version}/model.onnx" for version in range(1, 5)), "demo/serving.json"]
    store.delete("demo/serving.json")
    one.look(Wants())
    assert not (tmp_path / "demo/serving.json").exists()


def test_a_serving_file_that_is_too_large_is_followed_again_when_it_is_mended(
    store: ObjectStore, tmp_path: Path
) -> None:
    put(store, 1)
    one = mirror(store, tmp_path)
    for content in (bytes(70_000), bytes(80_000), b"{}"):
        store.put("demo/serving.json", content)
        assert one.look(Wants()) == []
        assert (tmp_path / "demo/serving.json").read_bytes() == content


def test_a_version_without_room_is_told_and_what_is_served_stays(store: ObjectStore, tmp_path: Path) -> None:
    served = Wants(frozenset({("demo", 1)}))
    for version in (1, 2, 3):
        put(store, version, bytes(400))
    one = mirror(store, tmp_path, budget=1000)
    one.look(Wants(named=frozenset({("demo", 1)})))
    put(store, 4, bytes(601))
    (problem,) = one.look(served)
    assert "demo/4/model.onnx: there is no room for 601 bytes within MMOE_MODELS_CACHE_BYTES, 1000" in problem
    assert "demo/1/model.onnx" in files(tmp_path)
    put(store, 5, bytes(500))
    one.look(served)
    assert files(tmp_path) == ["demo/1/model.onnx", "demo/5/model.onnx"]


def test_a_store_that_requires_keys_is_not_served_without(store: ObjectStore, tmp_path: Path) -> None:
    put(store, 1)
    store.put("require-keys", b"")
    one = mirror(store, tmp_path, forbidden_by="require-keys")
    (problem,) = one.look(Wants())
    assert problem.endswith("require-keys is there; serve its models with MMOE_KEYS_FILE set")
    assert files(tmp_path) == ["require-keys"]
    store.delete("require-keys")
    assert one.look(Wants()) == []
    assert files(tmp_path) == ["demo/1/model.onnx"]
