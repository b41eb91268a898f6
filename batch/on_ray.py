"""Scoring as a Ray Data job: Ray reads parts of the table, hands them to actors, and retries.

A row of the dataset is a part: its number and its rows, as an Arrow file. So no block that Ray
cuts or joins can tear a part, and parts are those of one machine, written by the same code.
"""

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from batch.errors import ScoringError
from batch.job import Job
from batch.rows import BLOCK_ROWS, Block, RowReader, is_seekable
from batch.scorer import Done, Scorer
from tables.errors import UserError

LOCAL = "local"
"""Address of a Ray that lives in this machine's processes, as long as the run."""

READER_CPUS = 0.5
"""Of a core: reading a part takes a fifth of the time of scoring it."""

ROW_BYTES = 500
"""Estimate of a row in memory, for Ray's first guess."""

CELL = pa.large_binary()


class _Parts(Datasource):  # type: ignore[misc]  # Ray's classes have no types
    """Rows of a job's parts."""

    def __init__(self, job: Job, parts: Sequence[int]) -> None:
        super().__init__()
        self._job, self._parts = job, parts

    def estimate_inmemory_data_size(self) -> int:
        return self._bytes(self._parts)

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
        """Make a task of each part; of text, of all parts that begin in a file."""
        files = self._job.files
        ends = np.cumsum([look.rows for look in files.looks])

        def together(part: int) -> int:
            return part if is_seekable(files) else int(np.searchsorted(ends, self._job.span(part)[0], side="right"))

        groups = [list(parts) for _, parts in groupby(self._parts, together)]
        return [ReadTask(partial(_read, self._job, group), self._described(group)) for group in groups]

    def _described(self, parts: Sequence[int]) -> Any:
        return BlockMetadata(len(parts), self._bytes(parts), None, None)

    def _bytes(self, parts: Sequence[int]) -> int:
        return ROW_BYTES * sum(self._job.span(part)[1] for part in parts)


def _read(job: Job, parts: Sequence[int]) -> Iterator[Any]:
    """Read parts, each into a table of one row."""
    reader = RowReader(job.files, job.read)
    for part in parts:
        rows, content = pl.concat([block.frame for block in reader.blocks(*job.span(part))]), io.BytesIO()
        rows.write_ipc(content)
        yield pa.table({"part": [part], "rows": pa.array([content.getvalue()], CELL)})


class _Actor:
    """Actor with a session of its own.

    Args:
        job: whose parts it scores.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._scorer = job, Scorer(job)

    def __call__(self, table: Any) -> Any:
        """Score parts and write them; says of each how many rows it has, or what is wrong."""
        done = [self._done(part.as_py(), rows.as_buffer()) for part, rows in zip(*table.columns, strict=True)]
        rows, aside, errors = zip(*done, strict=True)
        return pa.table({"rows": rows, "aside": aside, "error": pa.array(errors, pa.string())})

    def _done(self, part: int, rows: Any) -> tuple[int, int, str | None]:
        try:
            return *self._scorer.write(part, _blocks(pl.read_ipc(io.BytesIO(rows)), self._job.span(part)[0])), None
        except UserError as error:
            return 0, 0, str(error)


def _blocks(frame: pl.DataFrame, start: int) -> Iterator[Block]:
    for place in range(0, frame.height, BLOCK_ROWS):
        rows = frame.slice(place, BLOCK_ROWS)
        yield Block(rows, np.arange(start + place + 1, start + place + 1 + rows.height))


def score_on_ray(job: Job, parts: Sequence[int], address: str, actors: int) -> Iterable[Done]:
    """Score parts and write them by a Ray Data job.

    Args:
        job: whose parts these are; model and output have the same paths on all nodes.
        parts: to score, rising.
        address: of a cluster, or LOCAL.
        actors: a core each; 0 for all cores but those that read.

    Yields:
        Each part that is done.

    Raises:
        UserError: a part cannot be scored, or no such cluster answers.
    """
    if not parts:
        return
    cores = _start(address, actors)
    actors = min(actors or max(1, cores - max(1, cores // 8)), len(parts))
    fitting = max(1, min(actors, cores - 1))
    try:
        source = _Parts(job, parts)
        blocks = len(source.get_read_tasks(0))  # else Ray makes more of them, of which most are empty
        rows = ray.data.read_datasource(source, num_cpus=READER_CPUS, override_num_blocks=blocks)
        answers = rows.map_batches(
            _Actor,
            fn_constructor_args=(job,),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=1 if cores > 1 else 1 - READER_CPUS,  # an actor on the only core would leave none to readers
            compute=ActorPoolStrategy(min_size=fitting, max_size=actors),
        )
        for table in answers.iter_batches(batch_size=None, batch_format="pyarrow"):
            for answer in table.to_pylist():
                if answer["error"] is not None:
                    raise ScoringError(answer["error"])
                yield answer["rows"], answer["aside"]
    except ray.exceptions.RayError as error:
        raise ScoringError(f"Ray gave the job up: {str(error).strip().splitlines()[-1]}") from error
    finally:
        ray.shutdown()


def _start(address: str, actors: int) -> int:
    """Connect to a cluster, or start one here; returns its cores."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # of a Ray that is started here; by itself it yields to all else
    cores = (actors or len(os.sched_getaffinity(0))) + 1  # one to read
    local: dict[str, Any] = {"num_cpus": cores, "include_dashboard": False} if address == LOCAL else {}
    environment = {"env_vars": {"POLARS_MAX_THREADS": "1"}}
    try:
        ray.init(address, runtime_env=environment, log_to_driver=False, logging_level="warning", **local)
    except Exception as error:  # Ray raises that itself where it does not start in time
        raise ScoringError(f"--ray {address}: no Ray answers there: {str(error).strip().splitlines()[0]}") from None
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    return int(ray.cluster_resources().get("CPU", 1))
