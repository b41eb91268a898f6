"""First pass: which columns are features, and what the training rows say about each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.config.defaults import bins_for
from model.config.run import Config
from model.data.earlier import Earlier
from model.data.features import read_numbers
from model.data.funnels import notes_on_funnels
from model.data.groupings import Groupings
from model.data.kinds import choose_kinds
from model.data.labels import coarse_answers
from model.data.remarks import on_not_available, on_precision, on_totals
from model.data.splits import SPLITS, TEST, TRAIN, Assignment, note_on_split
from model.data.streaming.cache import RowNumberWriter
from model.data.streaming.coder import Coder
from model.data.streaming.columns import Column, column_of
from model.data.streaming.describe import describe
from model.data.streaming.joining import join_counts, join_tables
from model.data.streaming.labels import label_reader
from model.data.streaming.progress import PassProgress
from model.data.streaming.samples import SAMPLE_SALT, LowestRows, NumberSample
from model.data.streaming.selection import Selection
from model.data.streaming.splits import Plan
from model.data.streaming.text_columns import BagColumn
from model.data.weights import Weights, note_on_weights, read_weights
from model.schema import Task
from tables.blocks import Files
from tables.config import TableData
from tables.source import Table

HEAD_ROWS = 1_000_000
"""Rows from which, and the rest of their block, kinds of undeclared columns are decided."""

SAMPLE_ROWS = 2_000
"""Test rows that are kept with their text."""


@dataclass(frozen=True)
class Survey:
    """Result of the first pass.

    Attributes:
        coder: reads blocks in the second pass.
        tasks: of the configuration.
        counts: (3,) rows of each split.
        bag_values: values of all bags.
        sample: row numbers of test rows that are kept with their text, rising.
        notes: as of a dataset.
        remarks: as of a dataset.
    """

    coder: Coder
    tasks: tuple[Task, ...]
    counts: NDArray[np.int64]
    bag_values: int
    sample: NDArray[np.int64]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]


class _Counter:
    """Statistics of the blocks so far."""

    def __init__(self, head: Table, config: Config, plan: Plan, earlier: Earlier | None) -> None:
        assert isinstance(config.data, TableData)
        self.config, self.data, self.plan, self.earlier = config, config.data, plan, earlier
        Groupings(config).check(head)
        self.kinds, self.said, self.notes = choose_kinds(head, config)
        self.kinds = self.kinds if earlier is None else earlier.kinds(self.kinds, config, self.said)
        self.columns: dict[str, Column] = {name: column_of(name, kind, config) for name, kind in self.kinds.items()}
        self.labels = tuple(label_reader(task) for task in config.tasks)
        self.counts: NDArray[np.int64] = np.zeros(len(SPLITS), np.int64)
        self.sample = LowestRows(SAMPLE_ROWS, SAMPLE_SALT)
        self.numbers = [name for name, kind in self.kinds.items() if kind == "numeric"]
        wanted = self.numbers and bins_for(config.model, HEAD_ROWS, len(self.numbers))
        self.quantiles = NumberSample(len(self.numbers)) if wanted else None
        self.not_available: dict[str, tuple[int, int]] = {}
        self.weights = _WeightRange()

    def add(self, table: Table) -> Assignment:
        """Count a block's rows; returns the split of each."""
        self.not_available = join_counts([self.not_available, table.not_available])
        chosen = self.plan.assign(table)
        self.counts += np.bincount(chosen, minlength=len(SPLITS))
        self.sample.add(table.row_numbers[chosen == TEST])
        weights = None if self.data.weight is None else read_weights(table, self.data.weight)[0]
        self.weights.add(weights)
        training = chosen == TRAIN
        for label in self.labels:
            label.add(table, chosen, weights)
        read = {name: column.add(table, training, weights) for name, column in self.columns.items()}
        if self.quantiles is not None:
            values = np.stack([np.asarray(read[name]) for name in self.numbers], axis=1)
            times = None if weights is None else weights[training]
            self.quantiles.add(table.row_numbers[training], values.compress(training, axis=0), times)
        return chosen


class _WeightRange:
    """Range and mean of the weights so far."""

    def __init__(self) -> None:
        self.low, self.high, self.total, self.rows = np.inf, 0.0, 0.0, 0

    def add(self, weights: Weights | None) -> None:
        if weights is not None and len(weights):
            self.low, self.high = min(self.low, float(weights.min())), max(self.high, float(weights.max()))
            self.total, self.rows = self.total + float(weights.sum(dtype=np.float64)), self.rows + len(weights)


def survey(
    files: Files, config: Config, plan: Plan, numbers: Path | None = None, earlier: Earlier | None = None
) -> Survey:
    """Read the whole table once.

    Args:
        files: of the table.
        config: names columns and tasks.
        plan: how to split.
        numbers: folder for files of the row numbers of each split, if somebody wants them.
        earlier: the version that a run goes on from, if it does.

    Raises:
        DataError: for a table that does not fit the configuration.
    """
    selection, progress = Selection(config), PassProgress("Pass 1 of 2, counting", files.rows)
    blocks = _kept(files, selection, progress)
    first = list(_head(blocks, config))
    head = join_tables(first)
    counter = _Counter(head, config, plan, earlier)
    precision = _on_precision(head, counter)
    last = head
    writer = None if numbers is None else RowNumberWriter(numbers)
    for block in chain(first, blocks):
        chosen = counter.add(block)
        if writer is not None:
            writer.add(block.row_numbers, chosen)
        last = block
    if writer is not None:
        writer.close()
    progress.end()
    if last is not head and len(head) < files.rows:
        counter.said.add_all(on_totals(last))
    return _concluded(counter, files, selection, head, precision)


def _kept(files: Files, selection: Selection, progress: PassProgress) -> Iterator[Table]:
    for block in files.blocks():
        yield selection.keep(block)
        progress.add(len(block))


def _head(blocks: Iterator[Table], config: Config) -> Iterator[Table]:
    """Take the blocks that decide kinds: one, where the configuration names all kinds."""
    wanted, rows = HEAD_ROWS if config.features.rest == "infer" else 1, 0
    for block in blocks:
        yield block
        rows += len(block)
        if rows >= wanted:
            return


def _on_precision(head: Table, counter: _Counter) -> dict[str, list[str]]:
    """Remark on columns of numbers by their first rows."""
    return {
        name: [*on_precision(head.frame[name], read_numbers(head, name, counter.config)[0])] for name in counter.numbers
    }


def _concluded(
    counter: _Counter, files: Files, selection: Selection, head: Table, precision: dict[str, list[str]]
) -> Survey:
    """Describe features and tasks by what was counted."""
    kept = selection.notes()
    how = note_on_split(counter.plan.how, counter.counts.tolist())
    tasks = tuple(label.task() for label in counter.labels)
    features, columns, notes = describe(counter, head, precision)
    classes = [task.column for task in counter.config.tasks if task.kind != "regression"]
    texts = [name for name, kind in counter.kinds.items() if kind not in ("numeric", "datetime")]
    whole = replace(head, not_available=counter.not_available)
    notes = [*counter.notes, *notes, *on_not_available(whole, dict.fromkeys(texts + classes))]
    remarks = tuple(counter.said.lines())
    bags = sum(column.values for column in columns.values() if isinstance(column, BagColumn))
    return Survey(
        Coder(features, columns, counter.labels, counter.config.tasks, counter.data.weight),
        tasks,
        counter.counts,
        bags,
        counter.sample.rows(),
        (
            *files.notes,
            *kept,
            how,
            *_weighed(counter),
            *notes,
            *notes_on_funnels(counter.config.tasks),
            *remarks,
            *coarse_answers(tasks),
        ),
        remarks,
    )


def _weighed(counter: _Counter) -> list[str]:
    if counter.data.weight is None:
        return []
    found = counter.weights
    mean = found.total / max(found.rows, 1)
    return [note_on_weights(counter.data.weight, found.low, found.high, mean)]
