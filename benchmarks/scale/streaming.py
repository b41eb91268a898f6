"""Training on a table that is not held in memory, within a limit; the CPU time of reading it."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bars import Verdict
from benchmarks.scale.limit import limited
from benchmarks.scale.setting import Setting, at_most, say
from benchmarks.scale.watched import Each, Watched, watch

FEW = 4
"""The smaller table has so many times fewer rows."""

SETTINGS = ("data.stream_above_rows=0", "train.epochs=1", "train.batch_size=4096", "train.device=cpu")
READ = r"Pass 2 of 2, writing the cache: [\d,]+ rows in "
"""Line that says that all rows are in the cache."""


@dataclass(frozen=True)
class Job:
    """Training run, reading included, that can be started again after it was killed.

    Attributes:
        settings: of the configuration, as `--set` takes them.
        limit: bytes of memory.
    """

    config: Path
    models: Path
    settings: Sequence[str] = SETTINGS
    limit: int = Setting.limit

    @property
    def work(self) -> Path:
        """Return the folder of its cache and checkpoint."""
        return self.models / ".training" / "clicks"

    def start(self, each: Each | None = None) -> Watched:
        """Run the command to its end, or until `each` ends it.

        Raises:
            RuntimeError: it ended by itself, and not well.
        """
        arguments = [str(self.config), "--models", str(self.models), "--keep-cache", "--set", *self.settings]
        with limited(self.limit) as limit:
            course = watch("scripts.train", arguments, limit, each)
        said = f"status {course.status} after {course.seconds:,.0f} s, {course.cpu_s:,.0f} CPU s"
        say(f"  {said}; peak {course.peak_mb:,.0f} MB; {limit.said}")
        if course.status and not course.killed:
            raise RuntimeError(f"training within a {limit.said}: {said}; its last words: {course.last_words}")
        return course


def reading(setting: Setting) -> Iterator[Verdict]:
    """Read and encode the smaller table; training is not waited for."""
    rows = setting.rows // FEW
    job = Job(setting.log(rows), setting.scratch / "models-read", SETTINGS, setting.limit)
    shutil.rmtree(job.models, ignore_errors=True)
    course = job.start(lambda course: course.line(READ) is not None)
    shutil.rmtree(job.models)
    yield read_time(course, rows)


def read_time(course: Watched, rows: int) -> Verdict:
    """Judge the CPU time from a command's start, imports included, until all rows are encoded."""
    line = course.line(READ)
    assert line is not None
    return at_most("reading and encoding: CPU s per million rows", 4.0, line.cpu_s / rows * 1e6, f"of {rows:,} rows")
