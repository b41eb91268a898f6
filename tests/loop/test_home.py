"""Versions and the serving file of a model, in a directory and in a real store on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loop.errors import LoopError
from loop.home import Home
from loop.serving import ChangedByOther, LoopServing
from loop.state import Held
from service.versions.serving_file import VersionShare
from tests.support.hand_model import write_model
from tests.support.object_store import object_store


@pytest.fixture(params=["directory", "store"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """Publish versions 2 and 10, and begin one that has no file yet."""
    for version in (2, 10):
        write_model(tmp_path, "hand", version)
    (tmp_path / "hand/11").mkdir()
    if request.param == "directory":
        yield Home(str(tmp_path), "hand", None)
        return
    with object_store() as store:
        for path in tmp_path.glob("hand/*/model.onnx"):
            store.put(str(path.relative_to(tmp_path)), path.read_bytes())
        store.put("hand/11/claim.json", b"{}")
        yield Home(f"{store.url}/", "hand", None)


def test_versions_are_whole_ones_and_the_file_says_what_it_is(home: Home) -> None:
    assert home.versions() == [2, 10]
    assert home.manifest(10).task_names == ("price", "sold", "grade")
    with pytest.raises(LoopError, match=r"hand/11/model\.onnx cannot be read"):
        home.manifest(11)


def test_the_serving_file_is_changed_unless_somebody_else_did(home: Home) -> None:
    serving, trial = LoopServing(home.serving_file()), Held(pinned=2, canary=VersionShare(version=10, share=0.05))
    assert serving.read() == Held()
    serving.set(Held(), Held(pinned=2), "why")
    serving.set(Held(pinned=2), trial, "why")
    serving.set(Held(pinned=2), trial, "again, after a crash")
    assert serving.read() == trial
    assert home.serving_file().read().change == 2
    with pytest.raises(ChangedByOther, match="it says version 2 pinned, version 10 as canary of 5%"):
        serving.set(Held(pinned=2), Held(pinned=10), "why", previous=2)
    assert serving.read() == trial
