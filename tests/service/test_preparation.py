"""Files checked by another process: the same answers, the same refusals, and no harm from a file that ends it."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import ArtifactError
from service.features import Batch
from service.predictor import Predictor
from service.preparation import Preparation

HandModel = Callable[..., Path]
CRASHES = (sys.executable, "-c", "import os, signal; input(); os.kill(os.getpid(), signal.SIGSEGV)")
SILENT = (sys.executable, "-c", "raise SystemExit(input() and 'an answer is never given')")


@pytest.fixture
def preparation(tmp_path: Path) -> Iterator[Preparation]:
    made = Preparation(tmp_path, 64)
    yield made
    made.close()


def test_what_was_checked_answers_as_what_was_loaded(
    preparation: Preparation, tmp_path: Path, hand_model: HandModel, hand_weights: Any, hand_rows: Any
) -> None:
    path = hand_model(tmp_path / "models", "hand", 1)
    checked, loaded = preparation.load(path, "hand"), Predictor.load(path, "hand")
    numeric, categorical = hand_rows(hand_weights(), 50)
    whole = Batch(np.nan_to_num(numeric), categorical, 50, complete=True)
    for batch in (Batch(numeric, categorical, 50), whole):
        for one, other in zip(checked.run(batch).arrays(), loaded.run(batch).arrays(), strict=True):
            np.testing.assert_array_equal(one, other)
    first, second = checked.contributions(whole).contributions, loaded.contributions(whole).contributions
    np.testing.assert_array_equal(first, second)


def test_a_file_is_checked_once_for_all_workers(
    preparation: Preparation, tmp_path: Path, hand_model: HandModel
) -> None:
    path = hand_model(tmp_path / "models", "hand", 1)
    preparation.load(path, "hand")
    other = Preparation(tmp_path, 64, CRASHES)
    assert other.load(path, "hand").manifest.name == "hand"


def test_refusals_are_those_of_loading_and_are_remembered_until_the_file_changes(
    preparation: Preparation, tmp_path: Path, hand_model: HandModel
) -> None:
    models = tmp_path / "models"
    for version, fault in enumerate(["wrong_golden", "no_manifest", "truncated", "external_data"], start=1):
        path = hand_model(models, "hand", version, fault=fault)
        with pytest.raises(ArtifactError) as direct:
            Predictor.load(path, "hand")
        with pytest.raises(ArtifactError) as checked:
            preparation.load(path, "hand")
        assert str(checked.value) == str(direct.value)
        other = Preparation(tmp_path, 64, CRASHES)
        for load in (other.load, other.load_at_once):
            with pytest.raises(ArtifactError) as again:
                load(path, "hand")
            assert str(again.value) == str(direct.value)
    good = hand_model(models, "other", 1)
    path.write_bytes(good.read_bytes())
    assert preparation.load(path, "hand").manifest.name == "other"


def test_a_file_that_ends_the_process_is_refused_and_the_next_is_not(tmp_path: Path, hand_model: HandModel) -> None:
    path = hand_model(tmp_path / "models", "hand", 1)
    with pytest.raises(ArtifactError, match="ended the process that checked it, with SIGSEGV"):
        Preparation(tmp_path, 64, CRASHES).load(path, "hand")
    with pytest.raises(ArtifactError, match="SIGSEGV"):
        Preparation(tmp_path, 64).load_at_once(path, "hand")
    next_one = hand_model(tmp_path / "models", "hand", 2)
    preparation = Preparation(tmp_path, 64, SILENT)
    with pytest.raises(ArtifactError, match="ended the process that checked it, with status 1"):
        preparation.load(next_one, "hand")
    last = Preparation(tmp_path, 64)
    assert last.load(hand_model(tmp_path / "models", "hand", 3), "hand").manifest.name == "hand"
    last.close()


def test_without_a_process_or_room_files_are_loaded_all_the_same(tmp_path: Path, hand_model: HandModel) -> None:
    good = hand_model(tmp_path / "models", "hand", 1)
    bad = hand_model(tmp_path / "models", "hand", 2, fault="wrong_golden")
    preparation = Preparation(tmp_path, 64, ["/there/is/no/such/program"])
    assert preparation.load(good, "hand").manifest.name == "hand"
    with pytest.raises(ArtifactError, match="Golden row"):
        preparation.load(bad, "hand")


def test_a_service_that_ends_does_not_wait_for_a_check(tmp_path: Path, hand_model: HandModel) -> None:
    path = hand_model(tmp_path / "models", "hand", 1)
    preparation = Preparation(tmp_path, 64, (sys.executable, "-c", "input(); input()"))
    with ThreadPoolExecutor(1) as thread:
        loading = thread.submit(preparation.load, path, "hand")
        while not preparation.busy:
            pass
        preparation.close()
        assert loading.result(60).manifest.name == "hand"
    Preparation(tmp_path, 64).load_at_once(path, "hand")  # nothing was noted against the file
