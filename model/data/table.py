"""From a configuration to a dataset: read or generate rows, split them, code features and labels.

Statistics and vocabularies come from the training split alone, and every other row is only looked
up in them; the kind of a column is decided by all rows.
"""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from weakref import finalize

import numpy as np
import polars as pl

from model.config.data import SyntheticData
from model.config.run import Config
from model.data.cells import cells_of
from model.data.earlier import Earlier
from model.data.features import code_features
from model.data.funnels import notes_on_funnels
from model.data.groupings import Groupings
from model.data.labels import coarse_answers, labelled_rows, read_labels, read_strata
from model.data.splits import TEST, TRAIN, VALIDATION, assign
from model.data.streaming.place import CACHE
from model.data.streaming.streamed import inspect_table, stream_dataset
from model.data.synthetic import generate
from model.data.weights import Weights, read_weights
from model.schema import Dataset
from tables.blocks import Files, large_table
from tables.columns import keep_rows
from tables.config import Split, TableData
from tables.source import Table, read_table


def read_dataset(
    config: Config, work: Path | None = None, rows: bool = True, earlier: Earlier | None = None
) -> Dataset:
    """Read the rows that the configuration names and make them ready to train on.

    A table of more than `data.stream_above_rows` rows is not held in memory; see
    `model.data.streaming`.

    Args:
        config: names columns and tasks.
        work: folder of the run, below which such a table's rows are cached; without one they are
            written to a temporary folder, which goes with the dataset.
        rows: whether the rows of such a table are wanted, beside features, tasks and row numbers.
        earlier: the version that a run goes on from, if it does.

    Raises:
        DataError: one sentence, for a table that cannot be read or does not fit the configuration.
    """
    config = config if earlier is None else earlier.configured(config)
    data = config.data
    if isinstance(data, SyntheticData):
        return dataset_of(*_generate(data), "synthetic", config, earlier)
    files = large_table(data)
    if files is not None:
        return _streamed(files, config, work, rows, earlier)
    return dataset_of(*read_table(data), data.source, config, earlier)


def _streamed(files: Files, config: Config, work: Path | None, rows: bool, earlier: Earlier | None) -> Dataset:
    if rows and work is not None:
        return _settled(stream_dataset(files, config, work / CACHE, earlier), config, earlier)
    folder = TemporaryDirectory(prefix="mmoe-rows-")
    try:
        dataset = (stream_dataset if rows else inspect_table)(files, config, Path(folder.name), earlier)
    except BaseException:
        folder.cleanup()
        raise
    dataset = _settled(dataset, config, earlier)
    finalize(dataset, folder.cleanup)
    return dataset


def _settled(dataset: Dataset, config: Config, earlier: Earlier | None) -> Dataset:
    return dataset if earlier is None else earlier.settle(dataset, config)


def dataset_of(table: Table, digest: str, source: str, config: Config, earlier: Earlier | None = None) -> Dataset:
    """Make the rows of a table ready to train on; digest and source are for the record.

    `earlier` is the version that a run goes on from, with whose classes it is configured.

    Raises:
        DataError: one sentence, for a table that does not fit the configuration.
    """
    data = config.data
    notes: list[str] = []
    if isinstance(data, SyntheticData):
        split = Split(validation=data.validation, test=data.test, seed=data.seed)
    else:
        split = data.split
        table, notes = keep_rows(table, data.keep)
    table, dropped = labelled_rows(table, config.tasks)
    strata = read_strata(table, config.tasks) if split.kind in ("random", "given") else {}
    chosen, how = assign(table, split, strata)
    weights, weighed = _weights(table, data)
    labels, tasks = read_labels(table, config.tasks, chosen, weights)
    coded, said, kinds = code_features(table, config, chosen == TRAIN, weights, earlier)
    remarks = tuple(said.lines())
    train, validation, test = (coded.rows(chosen == part, labels, weights) for part in (TRAIN, VALIDATION, TEST))
    groupings = Groupings(config)
    dataset = Dataset(
        features=coded.features,
        tasks=tasks,
        train=train,
        validation=groupings.judged(validation, table, chosen == VALIDATION, test=False),
        test=groupings.judged(test, table, chosen == TEST, test=True),
        segments=groupings.segments(),
        source=source,
        digest=digest,
        row_numbers=tuple(table.row_numbers[chosen == part] for part in (TRAIN, VALIDATION, TEST)),
        notes=(
            *table.notes,
            *notes,
            *dropped,
            *how,
            *weighed,
            *kinds,
            *notes_on_funnels(config.tasks),
            *remarks,
            *coarse_answers(tasks),
        ),
        remarks=remarks,
        cells=cells_of(table, coded, chosen == TEST, data.strip) if isinstance(data, TableData) else None,
    )
    return _settled(dataset, config, earlier)


def _generate(data: SyntheticData) -> tuple[Table, str]:
    x, y = generate(data)
    columns = {f"x_{i}": x[:, i - 1] for i in range(1, x.shape[1] + 1)}
    columns |= {f"y_{k}": y[:, k - 1] for k in range(1, y.shape[1] + 1)}
    digest = hashlib.sha256(data.model_dump_json().encode()).hexdigest()
    return Table(pl.DataFrame(columns), np.arange(1, len(x) + 1)), f"sha256:{digest}"


def _weights(table: Table, data: SyntheticData | TableData) -> tuple[Weights | None, list[str]]:
    if isinstance(data, SyntheticData) or data.weight is None:
        return None, []
    return read_weights(table, data.weight)
