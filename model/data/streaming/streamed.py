"""Datasets of tables that are not held in memory: count, write a cache, map it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from model.config.run import Config
from model.data.cells import cells_of
from model.data.earlier import Earlier
from model.data.groupings import Groupings
from model.data.labels import AbsentError
from model.data.splits import SPLITS, TEST, TRAIN, Assignment
from model.data.streaming.budget import check_space
from model.data.streaming.cache import PARTS, CacheWriter, map_row_numbers, map_rows, read_manifest
from model.data.streaming.joining import join_tables
from model.data.streaming.packing import pack, pack_schema, unpack_cells, unpack_rows, unpack_schema
from model.data.streaming.progress import PassProgress
from model.data.streaming.selection import Selection
from model.data.streaming.splits import Plan, plan_of
from model.data.streaming.strata import stratified
from model.data.streaming.survey import Survey, survey
from model.data.weights import check_sampling
from model.schema import Bags, Cells, Dataset, Rows, Segments
from tables.blocks import Files
from tables.config import TableData
from tables.errors import DataError
from tables.source import Table

FORMAT = 1
"""Of the cache; one of another format is written anew."""


def stream_dataset(files: Files, config: Config, folder: Path, earlier: Earlier | None = None) -> Dataset:
    """Read a table in two passes, or take the cache that is there.

    Args:
        files: of the table.
        config: names columns and tasks.
        folder: of the cache; nobody else writes there meanwhile.
        earlier: the version that a run goes on from, if it does.

    Raises:
        DataError: for a table that does not fit the configuration, or a disk too small.
    """
    digest = files.digest()
    key = cache_key(config, digest, earlier)
    manifest = read_manifest(folder, key)
    if manifest is None:
        plan, found = _surveyed(files, config, earlier)
        check_space(found, folder, config)
        _write(files, config, plan, found, folder, {"key": key, "digest": digest})
        manifest = read_manifest(folder, key)
        assert manifest is not None
    return _dataset(folder, manifest, config, files.source)


def inspect_table(files: Files, config: Config, folder: Path, earlier: Earlier | None = None) -> Dataset:
    """Read a table once: its features, tasks and row numbers, without any rows.

    The row numbers are mapped from files in `folder`.

    Raises:
        DataError: as `stream_dataset`.
    """
    _, found = _surveyed(files, config, earlier, folder)
    schema = found.coder.features
    none = Rows(
        np.zeros((0, len(schema.numeric)), np.float32),
        np.zeros((0, len(schema.single)), np.int32),
        np.zeros((0, len(found.tasks))),
        np.zeros((0, len(schema.texts)), np.object_),
        tuple(Bags(np.zeros(0, np.int32), np.zeros(1, np.int64)) for _ in schema.bags),
    )
    return Dataset(
        *(schema, found.tasks, none, none, none, files.source, files.digest(), found.notes, found.remarks),
        row_numbers=map_row_numbers(folder, found.counts.tolist()),
    )


def _surveyed(
    files: Files, config: Config, earlier: Earlier | None, numbers: Path | None = None
) -> tuple[Plan, Survey]:
    """Make the first pass; once more, stratified, where a random split lacks a class otherwise.

    Row numbers of each split are written to the folder `numbers`, if there is one.
    """
    assert isinstance(config.data, TableData)
    split = config.data.split
    by_row = split.kind == "random" and not split.keys
    plan = stratified(files, config) if by_row and split.stratify else plan_of(files, config)
    try:
        return plan, survey(files, config, plan, numbers, earlier)
    except AbsentError:
        if not by_row or split.stratify is not None:
            raise
    plan = stratified(files, config)
    return plan, survey(files, config, plan, numbers, earlier)


def cache_key(config: Config, digest: str, earlier: Earlier | None = None) -> str:
    """Digest all that the cache depends on."""
    free = {"path", "stream_above_rows", "buffer_rows", "cache_gib"}
    settings = {
        "format": FORMAT,
        "table": digest,
        "data": config.data.model_dump(mode="json", exclude=free),
        "features": config.features.model_dump(mode="json"),
        "tasks": [task.model_dump(mode="json", exclude={"weight"}) for task in config.tasks],
        "by": config.report.by,
        "edges": config.model.model_dump(include={"numeric_encoding", "bins"}, exclude_unset=True),
    }
    if earlier is not None:
        settings["earlier"] = earlier.digest
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _write(files: Files, config: Config, plan: Plan, found: Survey, folder: Path, facts: dict[str, Any]) -> None:
    """Read the table again, and write the codes of all rows."""
    selection, progress = Selection(config), PassProgress("Pass 2 of 2, writing the cache", files.rows)
    writer, groupings = CacheWriter(folder), Groupings(config)
    try:
        kept, counts = _Kept(), np.zeros(len(SPLITS), np.int64)
        for block in files.blocks():
            rows, table = len(block), selection.keep(block)
            chosen = plan.assign(table)
            counts += np.bincount(chosen, minlength=len(SPLITS))
            _add(writer, table, chosen, found, groupings)
            kept.add(table, chosen, found)
            progress.add(rows)
        if (counts != found.counts).any():
            raise DataError("the table has changed while it was read; start again")
        facts |= pack_schema(found.coder.features, found.tasks)
        facts |= {"notes": list(found.notes), "remarks": list(found.remarks)}
        facts |= {"segments": [[segments.name, segments.values] for segments in groupings.segments()]}
        facts |= {"sample": pack(kept.rows(found, Groupings(config))), "cells": pack(kept.cells(found, config))}
        writer.finish(facts)
        progress.end()
    finally:
        writer.close()


def _add(writer: CacheWriter, table: Table, chosen: Assignment, found: Survey, groupings: Groupings) -> None:
    coded = found.coder.encode(table)
    labels, weights = found.coder.read_labels(table), found.coder.read_weights(table)
    check_sampling(found.coder.tasks, labels, weights)
    for number, part in enumerate(PARTS):
        here = chosen == number
        rows = coded.rows(here, labels, weights)
        rows = rows if number == TRAIN else groupings.judged(rows, table, here, test=number == TEST)
        writer.add(part, rows, table.row_numbers[here])


class _Kept:
    """Rows that are kept with their text, and those of the table's sample."""

    def __init__(self) -> None:
        self._tests: list[Table] = []
        self._samples: list[Table] = []
        self._chosen: list[Assignment] = []

    def add(self, table: Table, chosen: Assignment, found: Survey) -> None:
        """Take what is wanted of a block."""
        self._tests.append(table.copy(np.isin(table.row_numbers, found.sample)))
        here = np.isin(table.row_numbers, table.sample_rows)
        self._samples.append(table.copy(here))
        self._chosen.append(chosen[here])

    def rows(self, found: Survey, groupings: Groupings) -> Rows:
        """Encode the test rows, with their text."""
        table, coder = join_tables(self._tests), found.coder
        every = np.ones(len(table), bool)
        rows = coder.encode(table, text=True).rows(every, coder.read_labels(table), coder.read_weights(table))
        return groupings.judged(rows, table, every, test=False)

    def cells(self, found: Survey, config: Config) -> Cells:
        """Take the cells of the table's sample, those of test rows if there are any."""
        assert isinstance(config.data, TableData)
        table, test = join_tables(self._samples), np.concatenate(self._chosen) == TEST
        return cells_of(table, found.coder.encode(table, text=True), test, config.data.strip)


def _dataset(folder: Path, manifest: dict[str, Any], config: Config, source: str) -> Dataset:
    features, tasks = unpack_schema(manifest)
    weights = {task.name: task.weight for task in config.tasks}
    splits = [map_rows(folder, manifest, part, len(features.texts)) for part in PARTS]
    (train, first), (validation, second), (test, third) = splits
    return Dataset(
        features=features,
        tasks=tuple(replace(task, weight=weights[task.name]) for task in tasks),
        train=train,
        validation=validation,
        test=test,
        source=source,
        digest=manifest["digest"],
        notes=tuple(manifest["notes"]),
        remarks=tuple(manifest["remarks"]),
        cells=unpack_cells(manifest["cells"]),
        row_numbers=(first, second, third),
        sample=unpack_rows(manifest["sample"]),
        segments=tuple(Segments(name, tuple(values)) for name, values in manifest["segments"]),
    )
