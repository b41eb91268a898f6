import errno
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import ArtifactError, ModelNotFound, NotReady
from service.inference.predictor import Predictor
from service.versions.checks import BeingChecked, Job
from service.versions.disk import look
from service.versions.repository import Repository
from service.versions.states import Canary, Candidate, ModelState, VersionState, Wanted

HandModel = Callable[..., Path]


class Loader:
    """Serve a file's text; refuse "bad" ones, fail on "worse" ones, and remember what was read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, path: Path, name: str) -> str:
        self.read.append(f"{name}/{path.parent.name}")
        try:
            text = path.read_text()
        except OSError as error:
            raise ArtifactError(f"the file cannot be read: {error.strerror}") from None
        if text == "bad":
            raise ArtifactError("the file is bad")
        if text == "worse":
            raise RuntimeError("nobody thought of this")
        return f"{name}: {text}"


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def write(root: Path, name: str, version: int | str, text: str) -> Path:
    path = root / name / str(version) / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)
    return path


def states(repository: Repository[str], name: str = "census") -> dict[int, str]:
    (model,) = (model for model in repository.models() if model.name == name)
    return {version.version: version.state for version in model.versions}


def test_an_unloaded_model_is_listed_but_not_served(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "v1")
    write(root, "hotel", 1, "h1")
    repository = Repository(root, loader)
    repository.scan(Wanted(unloaded={"census", "nobody"}))
    assert loader.read == ["hotel/1"]
    with pytest.raises(NotReady, match="census/load brings it back"):
        repository.get("census")
    with pytest.raises(ModelNotFound, match="unloaded by a call"):
        repository.get("census", 1)
    assert (repository.models()[0].ready, states(repository)) == (False, {1: "available"})
    repository.scan()
    assert repository.get("census") == "census: v1"
    repository.scan(Wanted(unloaded={"census", "hotel"}))
    assert not repository.ready
    with pytest.raises(NotReady, match="unloaded by a call"):
        repository.get("census")


def test_the_highest_version_is_served_by_number(root: Path, loader: Loader) -> None:
    for version in (1, 2, 10):
        write(root, "census", version, f"v{version}")
    repository = Repository(root, loader)
    repository.scan()
    assert repository.get("census") == repository.get() == repository.get("census", 10) == "census: v10"
    assert loader.read == ["census/10"]
    assert repository.ready
    versions = VersionState(10, "loaded"), VersionState(2, "available"), VersionState(1, "available")
    assert repository.models() == (ModelState("census", 10, versions),)


def test_the_next_lower_version_is_served_where_the_highest_are_invalid(root: Path, loader: Loader) -> None:
    for version, text in ((1, "v1"), (2, "v2"), (3, "worse"), (4, "bad")):
        write(root, "census", version, text)
    repository = Repository(root, loader)
    repository.scan()
    assert repository.get("census") == "census: v2"
    assert states(repository) == {4: "refused", 3: "refused", 2: "loaded", 1: "available"}
    four, three = repository.models()[0].versions[:2]
    assert four.reason == "The file is bad. Export the model again."
    assert three.reason == "Loading failed unexpectedly: RuntimeError: nobody thought of this"


def test_a_pinned_version_is_served_and_no_other_in_its_place(root: Path, loader: Loader) -> None:
    for version, text in ((1, "v1"), (2, "v2"), (3, "bad")):
        write(root, "census", version, text)
    pinned = Repository(root, loader)
    pinned.scan(Wanted(pinned={"census": 1}))
    assert pinned.get("census") == "census: v1"
    assert loader.read == ["census/1"]
    broken = Repository(root, loader)
    broken.scan(Wanted(pinned={"census": 3}))
    with pytest.raises(NotReady, match="census 3: The file is bad"):
        broken.get("census")
    assert not broken.ready


def test_a_version_beside_is_answered_by_number_alone_and_named_only_while_it_is_beside(
    root: Path, loader: Loader
) -> None:
    for version, text in ((1, "v1"), (2, "v2"), (3, "bad")):
        write(root, "census", version, text)
    repository = Repository(root, loader)
    for beside, pinned, served, named in (
        (2, {}, 1, 2),
        (2, {"census": 2}, 2, None),
        (3, {}, 2, None),
        (9, {}, 2, None),
    ):
        repository.scan(Wanted(pinned=pinned, candidates={"census": Candidate(beside, shadow=0.5)}))
        (model,) = repository.models()
        assert (model.served, model.shadow) == (served, named)
        assert repository.get("census") == f"census: v{served}"
        assert repository.get("census", 2) == "census: v2"


def test_a_canary_gets_requests_while_it_can_answer_them(root: Path, loader: Loader) -> None:
    for version, text in ((1, "v1"), (2, "v2"), (3, "bad"), (4, "odd")):
        write(root, "census", version, text)
    repository = Repository(root, loader, unfit=lambda served, canary: "it is odd." if "odd" in canary else None)
    for version, pinned, expected, reason in (
        (2, 1, Canary(2, 0.5), None),
        (3, 1, None, "version 3 is the canary and gets no request: The file is bad"),
        (4, 1, None, "version 4 is the canary and gets no request: it is odd"),
        (9, 1, None, "version 9 is the canary and gets no request: it is not on disk"),
        (2, 2, None, "version 2 is the canary and gets no request: it is the one that is served"),
        (2, 3, None, "version 3 is pinned and cannot be served: The file is bad"),
        (2, 1, Canary(2, 0.5), None),
    ):
        wanted = Wanted(pinned={"census": pinned}, candidates={"census": Candidate(version, canary=0.5)})
        staged = repository.stage(look(root), wanted)
        moved = repository.models() and repository.models()[0].canary != staged.models["census"].canary
        assert repository.swaps(staged) or not moved
        repository.commit(staged)
        (model,) = repository.models()
        assert (model.canary, model.shadow) == (expected, None)
        assert reason is None or reason in (model.note or "")
    shutil.rmtree(root / "census" / "2")
    repository.scan(Wanted(pinned={"census": 1}, candidates={"census": Candidate(2, canary=0.5)}))
    (model,) = repository.models()
    assert (model.served, model.canary) == (1, None), "one that has vanished gets none, though it is loaded"


def test_several_versions_may_be_kept_loaded(root: Path, loader: Loader) -> None:
    for version, text in ((1, "v1"), (2, "v2"), (3, "bad"), (4, "v4"), (5, "v5")):
        write(root, "census", version, text)
    repository = Repository(root, loader, loaded_versions=3)
    repository.scan(Wanted(pinned={"census": 1}))
    assert states(repository) == {5: "loaded", 4: "loaded", 3: "available", 2: "available", 1: "loaded"}
    assert repository.get("census") == "census: v1"
    assert repository.get("census", 5) == "census: v5"
    unpinned = Repository(root, loader, loaded_versions=3)
    unpinned.scan()
    assert states(unpinned) == {5: "loaded", 4: "loaded", 3: "refused", 2: "loaded", 1: "available"}


def test_what_is_not_loaded_is_named_with_the_choice(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "v1")
    write(root, "census", 2, "bad")
    write(root, "hotel", 1, "v1")
    repository = Repository(root, loader)
    repository.scan()
    with pytest.raises(ModelNotFound, match=r"There is no model 'sensus'\. Available: census, hotel\."):
        repository.get("sensus")
    with pytest.raises(
        ModelNotFound, match=r"Version 2 of model 'census' is not loaded \(The file is bad.*Available: 1"
    ):
        repository.get("census", 2)
    with pytest.raises(ModelNotFound, match=r"Version 7 .* \(there is no such version\)\. Available: 1\."):
        repository.get("census", 7)
    with pytest.raises(ModelNotFound, match="No model was named"):
        repository.get()


def test_the_default_model_is_the_one_named_or_the_only_one(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "v1")
    write(root, "hotel", 1, "v1")
    repository = Repository(root, loader, default="hotel")
    repository.scan()
    assert repository.get() == "hotel: v1"
    assert repository.ready
    absent = Repository(root, loader, default="mail")
    absent.scan()
    assert not absent.ready
    with pytest.raises(ModelNotFound, match="no model 'mail'"):
        absent.get()


def test_a_broken_model_keeps_no_other_from_being_served(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "v1")
    write(root, "hotel", 1, "bad")
    repository = Repository(root, loader)
    repository.scan()
    assert repository.ready
    assert repository.get() == "census: v1"
    with pytest.raises(NotReady, match="no version of model 'hotel' can be served: version 1: The file is bad"):
        repository.get("hotel")


def test_before_a_scan_and_without_models_nothing_is_ready(root: Path, loader: Loader) -> None:
    repository = Repository(root, loader)
    with pytest.raises(NotReady, match="there is no model in"):
        repository.get("census")
    with pytest.raises(ArtifactError, match=r"cannot be read: No such file.*MMOE_MODELS"):
        repository.scan()
    root.mkdir()
    repository.scan()
    assert not repository.ready
    assert repository.models() == ()


def test_a_second_scan_reads_only_what_is_new(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "v1")
    write(root, "census", 2, "bad")
    repository = Repository(root, loader)
    repository.scan()
    before = repository.get()
    repository.scan()
    assert loader.read == ["census/2", "census/1"]
    assert repository.get() is before
    write(root, "census", 3, "v3")
    repository.scan()
    assert loader.read[2:] == ["census/3"]
    assert repository.get() == "census: v3"
    assert states(repository) == {3: "loaded", 2: "available", 1: "available"} | {2: "refused"}


def test_a_refused_file_is_tried_again_when_it_was_replaced(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "bad")
    repository = Repository(root, loader)
    repository.scan()
    write(root, "census", 1, "v1")
    repository.scan()
    assert repository.get() == "census: v1"
    assert repository.models()[0].versions == (VersionState(1, "loaded"),)


def test_an_invalid_replacement_never_replaces_what_works(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "v1")
    repository = Repository(root, loader)
    repository.scan()
    write(root, "census", 1, "bad")
    for _ in range(2):
        repository.scan()
        assert repository.get() == "census: v1"
        assert repository.models()[0].versions == (
            VersionState(1, "loaded", "The file is bad. Export the model again."),
        )
    assert loader.read == ["census/1", "census/1"]


def test_a_version_that_was_removed_is_let_go(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "v1")
    write(root, "census", 2, "v2")
    repository = Repository(root, loader)
    repository.scan()
    shutil.rmtree(root / "census" / "2")
    repository.scan()
    assert repository.get() == "census: v1"
    shutil.rmtree(root / "census")
    repository.scan()
    assert repository.models() == ()


def test_what_is_served_is_kept_until_another_version_is_loaded(root: Path, loader: Loader) -> None:
    write(root, "census", 2, "v2")
    repository = Repository(root, loader)
    repository.scan()
    shutil.rmtree(root / "census" / "2")
    for version, text in ((3, "bad"), (4, "worse")):
        write(root, "census", version, text)
    (root / "census" / "5").mkdir()
    repository.scan()
    assert repository.get() == "census: v2"
    (model,) = repository.models()
    assert (model.served, states(repository)) == (2, {5: "refused", 4: "refused", 3: "refused", 2: "loaded"})
    assert model.note == "version 2 is no longer on disk; it is served on until another version can be loaded"
    for version in (3, 4, 5):
        shutil.rmtree(root / "census" / str(version))
    repository.scan()
    assert repository.get() == "census: v2", "its directory is there, only its versions are gone"
    write(root, "census", 1, "v1")
    repository.scan()
    assert (repository.get(), states(repository)) == ("census: v1", {1: "loaded"})


def test_files_that_vanish_after_the_look_leave_what_is_served_and_ask_for_another_look(
    root: Path, loader: Loader
) -> None:
    write(root, "census", 1, "v1")
    repository = Repository(root, loader)
    repository.scan()
    write(root, "census", 2, "v2")
    disk = look(root)
    shutil.rmtree(root / "census")
    write(root, "census", 3, "v3")
    staged = repository.stage(disk, Wanted())
    assert staged.moved
    repository.commit(staged)
    assert repository.get() == "census: v1"
    repository.scan()
    assert (repository.get(), states(repository)) == ("census: v3", {3: "loaded"})


@pytest.mark.parametrize("gone", [False, True])
def test_a_pin_that_cannot_be_met_leaves_what_is_served(root: Path, loader: Loader, gone: bool) -> None:
    write(root, "census", 1, "bad")
    write(root, "census", 2, "v2")
    repository = Repository(root, loader)
    repository.scan()
    if gone:
        shutil.rmtree(root / "census" / "2")
    repository.scan(Wanted(pinned={"census": 1}))
    assert repository.get() == "census: v2"
    assert (repository.models()[0].served, repository.models()[0].pinned) == (2, 1)


def test_a_pinned_version_stays_loaded_when_its_file_is_gone(root: Path, loader: Loader) -> None:
    for version in (1, 2):
        write(root, "census", version, f"v{version}")
    repository = Repository(root, loader)
    repository.scan()
    repository.preload("census", 1)
    shutil.rmtree(root / "census" / "1")
    for _ in range(2):
        repository.scan(Wanted(pinned={"census": 1}))
        assert repository.get() == "census: v1"
    assert loader.read == ["census/2", "census/1"]


def test_what_the_system_could_not_do_is_tried_again_later_and_later(root: Path, loader: Loader) -> None:
    now, room = 0.0, False

    def load(path: Path, name: str) -> str:
        if not room:
            raise MemoryError if now else OSError(errno.ENOSPC, "No space left on device")
        return loader(path, name)

    write(root, "census", 1, "v1")
    repository = Repository(root, load, clock=lambda: now)
    repository.scan()
    with pytest.raises(NotReady, match=r"census 1: .*No space left on device"):
        repository.get("census")
    assert states(repository) == {1: "available"}
    assert "No space left" in repository.delayed()["census", 1]
    waited = []
    for _ in range(8):
        since = now
        while not repository.due():
            now += 0.5
        waited.append(now - since)
        repository.scan()
    assert waited == [1, 2, 4, 8, 16, 32, 60, 60]
    room, now = True, now + 60
    repository.scan()
    assert (repository.get(), repository.delayed(), repository.due()) == ("census: v1", {}, False)


def test_a_check_that_goes_on_is_waited_for_before_a_lower_version_is_loaded(root: Path, loader: Loader) -> None:
    jobs = {"2": Job(), "3": Job()}

    def load(path: Path, name: str) -> str:
        job = jobs.get(path.parent.name)
        if job is not None and not job.done:
            raise BeingChecked(job)
        return loader(path, name)

    write(root, "census", 1, "v1")
    write(root, "census", 2, "v2")
    repository = Repository(root, load)
    repository.scan()
    assert (loader.read, repository.awaited(), repository.due()) == ([], {"census"}, False)
    jobs["2"].since = -math.inf
    assert repository.due(), "it has become slow"
    repository.scan()
    assert (repository.get(), repository.awaited(), repository.due()) == ("census: v1", set(), False)
    write(root, "census", 3, "v3")
    jobs["2"].future.set_result(None)
    repository.scan()
    assert repository.get() == "census: v2", "it was proven, and the next is not yet"
    jobs["3"].future.set_result(None)
    assert repository.due()
    repository.scan()
    assert (repository.get(), states(repository)) == ("census: v3", {3: "loaded", 2: "available", 1: "available"})


def test_a_worker_that_starts_takes_over_what_others_serve_where_it_can_load_nothing(
    root: Path, loader: Loader
) -> None:
    def kept(name: str) -> list[tuple[int, Callable[[], str]]]:
        def gone() -> str:
            raise FileNotFoundError

        return [(5, gone), (4, lambda: "kept 4"), (3, lambda: "kept 3")] if name == "census" else []

    for versions in ([], [6]):
        (root / "census").mkdir(parents=True, exist_ok=True)
        for version in versions:
            write(root, "census", version, "bad")
        repository = Repository(root, loader, kept=kept)
        repository.scan()
        assert repository.get() == "kept 4"
        pinned = Repository(root, loader, kept=kept)
        pinned.scan(Wanted(pinned={"census": 3}))
        assert pinned.get() == "kept 3"
    write(root, "census", 1, "v1")
    repository = Repository(root, loader, kept=kept)
    repository.scan()
    assert repository.get() == "census: v1"


def test_a_directory_that_cannot_be_read_leaves_what_is_loaded(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "v1")
    repository = Repository(root, loader)
    repository.scan()
    root.rename(root.with_name("elsewhere"))
    with pytest.raises(ArtifactError):
        repository.scan()
    assert repository.get() == "census: v1"


def test_other_directories_are_no_versions(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "v1")
    for other in ("0", "01", "-2", "3.0", "v4", ".5", "latest", "٣"):
        write(root, "census", other, "no version")
    write(root, ".hidden", 1, "unfinished")
    write(root, "lost+found", "x", "nothing")
    (root / "README").write_text("")
    repository = Repository(root, loader)
    repository.scan()
    assert [(m.name, [v.version for v in m.versions]) for m in repository.models()] == [("census", [1])]


def test_a_version_without_its_file_is_refused(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "v1")
    (root / "census" / "2").mkdir()
    repository = Repository(root, loader)
    repository.scan()
    assert repository.get() == "census: v1"
    assert "No such file" in (repository.models()[0].versions[0].reason or "")


@pytest.mark.parametrize("level", ["model", "version", "file"])
def test_a_link_out_of_the_directory_is_refused(root: Path, loader: Loader, tmp_path: Path, level: str) -> None:
    outside = write(tmp_path / "outside", "census", 1, "secret")
    target, link = {
        "model": (outside.parent.parent, root / "census"),
        "version": (outside.parent, root / "census" / "1"),
        "file": (outside, root / "census" / "1" / "model.onnx"),
    }[level]
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    repository = Repository(root, loader)
    repository.scan()
    assert states(repository) == {1: "refused"}
    assert "outside of the directory of models" in (repository.models()[0].versions[0].reason or "")
    assert loader.read == []


def test_links_within_the_directory_and_to_it_are_followed(root: Path, loader: Loader, tmp_path: Path) -> None:
    write(root, ".store", 7, "v1")
    (root / "census").mkdir()
    (root / "census" / "1").symlink_to(root / ".store" / "7")
    (tmp_path / "link").symlink_to(root)
    repository = Repository(tmp_path / "link", loader)
    repository.scan()
    assert repository.get("census") == "census: v1"


def test_a_name_that_cannot_stand_in_a_url_is_refused(root: Path, loader: Loader) -> None:
    write(root, "census:predict", 1, "v1")
    repository = Repository(root, loader)
    repository.scan()
    assert states(repository, "census:predict") == {1: "refused"}
    assert "cannot stand in a URL" in (repository.models()[0].versions[0].reason or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any directory")
def test_a_model_without_permission_is_no_obstacle(root: Path, loader: Loader) -> None:
    write(root, "census", 1, "v1")
    write(root, "hotel", 1, "v1").parent.chmod(0)
    repository = Repository(root, loader)
    repository.scan()
    assert repository.get("census") == "census: v1"
    assert states(repository, "hotel") == {1: "refused"}
    (root / "hotel" / "1").chmod(0o700)


def test_real_files_are_served_and_broken_ones_named(hand_model: HandModel, root: Path) -> None:
    hand_model(root, "hand", 1)
    faults = ["wrong_golden", "no_manifest", "unknown_schema", "zero_bytes", "truncated", "not_onnx", "external_data"]
    for version, fault in enumerate(faults, start=2):
        hand_model(root, "hand", version, fault=fault)
    repository = Repository(root, lambda path, name: Predictor.load(path, name))
    repository.scan()
    (model,) = repository.models()
    assert model.served == 1
    assert {version.state for version in model.versions} == {"loaded", "refused"}
    assert len({version.reason for version in model.versions}) == 1 + len(faults)
    assert repository.get().name == "hand"
