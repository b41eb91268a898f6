"""Rows mapped from files train as those in memory do, and labels batch by batch as at once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.network.model import build_model
from model.schema import Dataset, Rows
from model.training.batches import Batches
from model.training.losses import TaskLosses
from model.training.order import RowOrder
from model.training.train import fit
from model.training.validation import measure
from tests.support.training import PLAIN, SMALL, InterruptAt, facts, same, settings, trained

CPU = torch.device("cpu")


def mapped(rows: Rows, directory: Path) -> Rows:
    """Write rows as a cache does, codes int32, and map them for reading alone."""
    directory.mkdir()

    def kept(name: str, array: NDArray[Any]) -> NDArray[Any]:
        np.save(directory / f"{name}.npy", array)
        read: NDArray[Any] = np.load(directory / f"{name}.npy", mmap_mode="r")
        assert not read.flags.writeable
        return read

    numeric, labels = kept("numeric", rows.numeric), kept("labels", rows.labels)
    return Rows(numeric, kept("codes", rows.codes.astype(np.int32)), labels, rows.text[:0])


def test_mapped_rows_train_bit_for_bit_as_those_in_memory(dataset: Dataset, tmp_path: Path) -> None:
    train, validation = mapped(dataset.train, tmp_path / "train"), mapped(dataset.validation, tmp_path / "validation")
    files = replace(dataset, train=train, validation=validation)
    (one, first), (two, second) = trained(files, settings()), trained(dataset, settings())
    assert same(one, two)
    assert facts(first) == facts(second)


@pytest.mark.parametrize("labelled", ["everywhere", "in part", "nowhere"])
def test_labels_standardised_batch_by_batch_are_those_of_the_split(dataset: Dataset, labelled: str) -> None:
    labels = dataset.train.labels.copy()
    if labelled == "everywhere":
        labels = np.nan_to_num(labels)
    if labelled == "nowhere":
        labels[:, 1] = np.nan
    rows = replace(dataset.train, labels=labels)
    whole, piecewise = (Batches(rows, dataset.tasks, CPU, whole_rows=limit) for limit in (len(rows), 0))
    assert piecewise.targets is None
    index = torch.tensor([250, 3, 3, 299, 0])
    for one, two in zip(whole.take(index).targets, piecewise.take(index).targets, strict=True):
        assert (one is None and two is None) or torch.equal(*(torch.ones(5, 3) if t is None else t for t in (one, two)))
    model, losses = build_model(dataset.features, dataset.tasks, PLAIN, 0), TaskLosses(dataset.tasks)
    first, second = (measure(model, losses, batches, answered_rows=70) for batches in (whole, piecewise))
    torch.testing.assert_close(first.per_task, second.per_task)
    for one, two in zip(first.outputs, second.outputs, strict=True):
        assert torch.equal(one, two)


def test_the_buffer_decides_the_order_unless_it_holds_all_rows(dataset: Dataset) -> None:
    def run(buffer_rows: int | None) -> torch.nn.Module:
        model = build_model(dataset.features, dataset.tasks, SMALL, 0)
        fit(model, dataset, settings(epochs=1), watcher=InterruptAt(-1), buffer_rows=buffer_rows)
        return model

    whole, large, small = (run(buffer_rows) for buffer_rows in (None, 2_000_000, 100))
    states = [{name: value.numpy() for name, value in model.state_dict().items()} for model in (whole, large, small)]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(np.array_equal(states[0][name], states[2][name]) for name in states[0])


def test_a_run_with_a_buffer_resumes_bit_for_bit(dataset: Dataset, tmp_path: Path) -> None:
    def run(checkpoint: Path | None, stop: int) -> torch.nn.Module:
        model = build_model(dataset.features, dataset.tasks, SMALL, 0)
        fit(model, dataset, settings(checkpoint_every_s=0.0), checkpoint, InterruptAt(stop), buffer_rows=100)
        return model

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run.pt", 8)
    pairs = zip(run(tmp_path / "run.pt", -1).parameters(), run(None, -1).parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)


def test_an_epoch_reads_every_row_once(dataset: Dataset) -> None:
    batches = Batches(dataset.train, dataset.tasks, CPU)
    read = [batches.take(index) for index in RowOrder(len(batches), 100, 0, 0).batches(64)]
    for column in (0, 1):
        found = torch.cat([batch.inputs.codes[:, column] for batch in read]).bincount()
        assert found.tolist() == np.bincount(dataset.train.codes[:, column]).tolist()
