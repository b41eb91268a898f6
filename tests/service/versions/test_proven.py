"""Files checked by another process: same answers and refusals, no harm by what ends it."""

import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import ArtifactError
from service.inference.features import Batch
from service.inference.predictor import Predictor
from service.versions.checker import CheckLimits
from service.versions.checks import BeingChecked
from service.versions.proven import ProvenFiles
from tests.support.checker_targets import be_killed, crash, end_silently, say_nothing
from tests.support.hostile_model import write_endless, write_hungry

HandModel = Callable[..., Path]
Make = Callable[..., ProvenFiles]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make one as a further worker would: `make(target=crash)`."""
    with contextlib.ExitStack() as stack:

        def made(**options: Any) -> ProvenFiles:
            return stack.enter_context(contextlib.closing(ProvenFiles(tmp_path, 64, **options)))

        yield made


@pytest.fixture
def proven(make: Make) -> ProvenFiles:
    return make()


@contextlib.contextmanager
def limited(limit: int, most: int) -> Iterator[None]:
    before = resource.getrlimit(limit)
    resource.setrlimit(limit, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(limit, before)


def test_what_was_checked_answers_as_what_was_loaded(
    proven: ProvenFiles, tmp_path: Path, hand_model: HandModel, hand_weights: Any, hand_rows: Any
) -> None:
    path = hand_model(tmp_path / "models", "hand", 1)
    checked, loaded = proven.load(path, "hand"), Predictor.load(path, "hand")
    numeric, categorical = hand_rows(hand_weights(), 50)
    whole = Batch(np.nan_to_num(numeric), categorical, 50, complete=True)
    for batch in (Batch(numeric, categorical, 50), whole):
        for one, other in zip(checked.run(batch).arrays(), loaded.run(batch).arrays(), strict=True):
            np.testing.assert_array_equal(one, other)
    first, second = checked.contributions(whole).contributions, loaded.contributions(whole).contributions
    np.testing.assert_array_equal(first, second)


def test_a_file_is_checked_once_for_all_workers(
    proven: ProvenFiles, make: Make, tmp_path: Path, hand_model: HandModel
) -> None:
    path = hand_model(tmp_path / "models", "hand", 1)
    proven.load(path, "hand")
    assert make(target=crash).load(path, "hand").manifest.name == "hand"


def test_refusals_are_those_of_loading_and_are_remembered_until_the_file_changes(
    proven: ProvenFiles, make: Make, tmp_path: Path, hand_model: HandModel
) -> None:
    models = tmp_path / "models"
    for version, fault in enumerate(["wrong_golden", "no_manifest", "truncated", "external_data"], start=1):
        path = hand_model(models, "hand", version, fault=fault)
        with pytest.raises(ArtifactError) as direct:
            Predictor.load(path, "hand")
        with pytest.raises(ArtifactError) as checked:
            proven.load(path, "hand")
        assert str(checked.value) == str(direct.value)
        with pytest.raises(ArtifactError) as again:
            make(target=crash).load(path, "hand")
        assert str(again.value) == str(direct.value)
    good = hand_model(models, "other", 1)
    path.write_bytes(good.read_bytes())
    assert proven.load(path, "hand").manifest.name == "other"


def test_a_file_that_ends_the_process_is_refused_and_the_next_is_not(
    make: Make, tmp_path: Path, hand_model: HandModel
) -> None:
    path = hand_model(tmp_path / "models", "hand", 1)
    with pytest.raises(ArtifactError, match="ended the process that checked it, with SIGSEGV"):
        make(target=crash).load(path, "hand")
    with pytest.raises(ArtifactError, match="SIGSEGV"):
        make().load(path, "hand")
    next_one = hand_model(tmp_path / "models", "hand", 2)
    with pytest.raises(ArtifactError, match="ended the process that checked it, with status 1"):
        make(target=end_silently).load(next_one, "hand")
    assert make().load(hand_model(tmp_path / "models", "hand", 3), "hand").manifest.name == "hand"


def test_what_the_system_is_to_blame_for_is_not_held_against_the_file(
    make: Make, tmp_path: Path, hand_model: HandModel
) -> None:
    path = hand_model(tmp_path / "models", "hand", 1)
    with pytest.raises(OSError, match="ended from outside, by SIGKILL"):
        make(target=be_killed).load(path, "hand")
    with pytest.raises(OSError, match="for want of processor time"):
        make(target=say_nothing, limits=CheckLimits(timeout_s=0.2)).load(path, "hand")
    with limited(resource.RLIMIT_NOFILE, 3), pytest.raises(OSError, match="Too many open files"):
        make().load(path, "hand")
    assert make().load(path, "hand").manifest.name == "hand"


def test_without_room_for_a_copy_files_are_checked_all_the_same(
    make: Make, tmp_path: Path, hand_model: HandModel
) -> None:
    good = hand_model(tmp_path / "models", "hand", 1)
    bad = hand_model(tmp_path / "models", "hand", 2, fault="wrong_golden")
    proven = make()
    with limited(resource.RLIMIT_FSIZE, 1000):
        assert proven.load(good, "hand").manifest.name == "hand"
        assert make(target=crash).load(good, "hand").manifest.name == "hand", "it was checked"
        with pytest.raises(ArtifactError, match="Golden row"):
            proven.load(bad, "hand")


def test_a_service_that_ends_does_not_wait_for_a_check(make: Make, tmp_path: Path, hand_model: HandModel) -> None:
    path = hand_model(tmp_path / "models", "hand", 1)
    proven = make(target=say_nothing)
    with ThreadPoolExecutor(1) as thread:
        loading = thread.submit(proven.load, path, "hand")
        while not proven.busy:
            time.sleep(0.01)
        proven.close()
        with pytest.raises(OSError, match="the service ends"):
            loading.result(60)
    assert make().load(path, "hand").manifest.name == "hand", "nothing was noted against the file"


def test_a_check_that_does_not_end_holds_up_no_other_and_is_given_up(
    make: Make, tmp_path: Path, hand_model: HandModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.versions.checker.SLOW_S", 0.5)
    monkeypatch.setattr("service.versions.checks.SLOW_S", 0.5)
    endless = write_endless(tmp_path / "models", "endless", 1)
    proven = make(limits=CheckLimits(timeout_s=600))
    with pytest.raises(BeingChecked):
        proven.load_checked(endless, "endless")
    while not proven.busy:  # until its check has begun, so that the good file comes second
        time.sleep(0.01)
    good = hand_model(tmp_path / "models", "hand", 1)
    assert proven.load(good, "hand").manifest.name == "hand"
    with pytest.raises(BeingChecked) as going_on:
        proven.load_checked(endless, "endless")
    assert going_on.value.slow
    other = make()
    with pytest.raises(BeingChecked) as seen_by_another:  # which waits for the lock, and knows how long it is held
        other.load_checked(endless, "endless")
    while not seen_by_another.value.job.slow:
        time.sleep(0.01)
    other.close()  # before the lock is free, or it would check the file itself, within its own limits
    proven.close()
    # Where others use the machine too, processor time alone decides.
    monkeypatch.setattr("service.versions.checker.PATIENCE", 600)
    with pytest.raises(ArtifactError, match=r"takes longer than 1 s.*MMOE_CHECK_TIMEOUT_S"):
        make(limits=CheckLimits(timeout_s=1)).load(endless, "endless")


def test_a_model_beyond_the_budget_of_memory_is_refused(make: Make, tmp_path: Path, hand_model: HandModel) -> None:
    limits = CheckLimits(memory_bytes=200 << 20)
    proven = make(limits=limits)
    for version, floats in enumerate((1 << 31, 64 << 20), start=1):  # 8 GB cannot be had; 256 MB can, and is too much
        with pytest.raises(ArtifactError, match=r"takes more than 209715200 bytes.*MMOE_MODEL_MEMORY_BYTES"):
            proven.load(write_hungry(tmp_path / "models", "hungry", version, floats), "hungry")
        assert proven.load(hand_model(tmp_path / "models", "hand", version), "hand").manifest.name == "hand"


def test_what_is_in_use_can_be_loaded_after_its_file_is_gone(
    make: Make, tmp_path: Path, hand_model: HandModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.versions.proven.KEPT_S", 0.0)
    worker, janitor = make(), make(limits=CheckLimits(timeout_s=1e-9))
    files = [hand_model(tmp_path / "models", "hand", version, seed=version) for version in (1, 2)]
    in_use = [worker.load(file, "hand") for file in files]
    for file in files:
        file.unlink()
    for _ in range(3):
        worker.tidy()
        janitor.tidy()
    found = dict(janitor.kept("hand"))
    assert list(found) == [2, 1]
    assert not list(janitor.kept("other"))
    taken_over = found[2]()
    assert taken_over.manifest == in_use[1].manifest
    in_use.clear()
    for _ in range(3):
        worker.tidy()
        janitor.tidy()
    assert [version for version, _ in worker.kept("hand")] == [2], "another worker has it in use now"
