"""Train a model and publish it: python -m scripts.train CONFIG [--set train.epochs=3]."""

import argparse
import csv
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.artifact.stored import StoredModels, home_of
from model.config.defaults import settle
from model.config.run import Config, load_config
from model.data.streaming.place import CACHE, is_whole
from model.schema import Dataset
from scripts.command import INTERRUPTED, MENDABLE, fail, interrupt_on_sigterm
from scripts.train_options import parse, work_of
from scripts.train_text import beside, describe, test_metrics
from tables.config import TableData
from tables.errors import UserError

if TYPE_CHECKING:
    from model.artifact.earlier import Start
    from model.network.model import Model
    from model.training.progress import History
    from model.training.ranks import Ranks


WORSE = 3
"""Exit code where a model was trained and not published, by `--unless-worse`."""

WRITTEN_ROWS = 1_000_000
"""Rows of the table whose splits are written together."""

GIVEN = ("train", "validation", "test")
"""Splits as `--write-splits` names them: the defaults of `data.split.train_value` and its like."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, as one of several processes where `torchrun` has started it.

    Returns its exit code: 0, 2 for what the user can mend, 3 for a model that is worse than the
    published one by more than `--unless-worse` allows, 130 when interrupted.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's idle threads sleep, and leave the cores to others
    options = parse(arguments)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return run(options)
    from model.training.ranks import joined

    try:
        with joined() as ranks:
            return run(options, ranks)
    except UserError as error:
        return fail(error)


def run(options: argparse.Namespace, ranks: "Ranks | None" = None) -> int:
    """Run the command by itself or together with other ranks, one of which tells of an error."""
    checkpoint: Path | None = None
    first = ranks is None or ranks.first
    try:
        config = load_config(options.config, options.set)
        start = None if options.start is None else find_start(config, options, ranks)
        config = config if start is None else start.config
        if options.check:
            if first:
                prepare(config, options, start)
            return 0
        checkpoint = work_of(options) / config.name / "checkpoint.pt"
        _check_writable(checkpoint.parent)
        if not isinstance(options.models, StoredModels):
            _check_writable(options.models / config.name)
        elif first:
            options.models.check_writable(config.name)
        with _alone(checkpoint.parent) if first else nullcontext():
            return 0 if run_to_the_end(config, options, checkpoint, ranks, start) else WORSE
    except (UserError, OSError) as error:
        return fail(error) if ranks is None or ranks.speaks() else MENDABLE
    except KeyboardInterrupt:
        if ranks is None or ranks.speaks():
            print(f"\nInterrupted; {_what_is_left(checkpoint)}.", file=sys.stderr)
        return INTERRUPTED


def run_to_the_end(
    config: Config, options: argparse.Namespace, checkpoint: Path, ranks: "Ranks | None", start: "Start | None"
) -> bool:
    """Read, train and publish; other ranks than the first read and train.

    Returns whether the model was good enough to be published, by `--unless-worse`.
    """
    from model.data.table import read_dataset

    work, published = checkpoint.parent, True
    if ranks is None:
        published = train(*prepare(config, options, start, work), options, checkpoint, None, start)
    elif ranks.first:
        settled, dataset = ranks.in_turn(lambda: prepare(config, options, start, work))
        published = train(settled, dataset, options, checkpoint, ranks, start)
    else:
        dataset = ranks.in_turn(lambda: read_dataset(config, work, earlier=start and start.earlier))
        fit_model(settle(config, dataset).config, dataset, None, ranks, start)
    if ranks is not None:
        ranks.agree(0)  # the first one has published
    if not options.keep_cache and (ranks is None or ranks.local == 0):
        shutil.rmtree(work / CACHE, ignore_errors=True)
    return published


def _what_is_left(checkpoint: Path | None) -> str:
    if checkpoint is not None and checkpoint.exists():
        return "the same command goes on from the last checkpoint"
    if checkpoint is not None and is_whole(checkpoint.parent / CACHE):
        return "the same command trains from the rows that were read"
    return "nothing was written"


def find_start(config: Config, options: argparse.Namespace, ranks: "Ranks | None") -> "Start":
    """Load the version that the run goes on from, the same on all ranks."""
    from model.artifact.earlier import CHECKPOINT, CONFIG, find_version, load_earlier

    version = find_version(options.models, config.name, options.start) if ranks is None or ranks.first else 0
    version = version if ranks is None else ranks.agree(version)
    with home_of(options.models, config.name, version, (CONFIG, CHECKPOINT)) as home:
        return load_earlier(home, version, config, options.refit)


def prepare(
    config: Config, options: argparse.Namespace, start: "Start | None" = None, work: Path | None = None
) -> tuple[Config, Dataset]:
    """Read the table, choose what was left open and say both; write the splits, if asked to.

    Args:
        config: of the run.
        options: of the command line.
        start: the version that the run goes on from, if it does.
        work: folder of the run; without one, rows that do not fit into memory are left out.

    Returns:
        The configuration with what was chosen, and the rows.

    Raises:
        UserError: also, if strict, where a remark is made on a column of the table; see
            docs/values.md.
    """
    from model.data.table import read_dataset

    dataset = read_dataset(config, work, rows=work is not None, earlier=start and start.earlier)
    if options.strict and dataset.remarks:
        raise UserError(*dataset.remarks, "--strict, and columns of the table need a word, see docs/values.md")
    config, chosen = settle(config, dataset)
    dataset = replace(dataset, notes=(*dataset.notes, *chosen))
    print(describe(config, dataset), file=sys.stderr)
    if options.write_splits is not None:
        write_splits(options.write_splits, dataset)
    return config, dataset


def write_splits(path: Path, dataset: Dataset) -> None:
    """Write a CSV of two columns, in the order of the table: `row`, from 1, and `split`.

    Rows that the configuration left out are not in it. The words are those that a split of kind
    `given` takes.
    """
    last = max((int(numbers[-1]) for numbers in dataset.row_numbers if len(numbers)), default=0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "split"])
        for first in range(0, last + 1, WRITTEN_ROWS):
            rows = []
            for split, numbers in zip(GIVEN, dataset.row_numbers, strict=True):
                start, end = np.searchsorted(numbers, [first, first + WRITTEN_ROWS])
                rows += [(number, split) for number in numbers[start:end].tolist()]
            writer.writerows(sorted(rows))


def train(
    config: Config,
    dataset: Dataset,
    options: argparse.Namespace,
    checkpoint: Path,
    ranks: "Ranks | None",
    start: "Start | None",
) -> bool:
    """Train, publish, and say what came of it.

    Returns whether the model was published: not where it is worse than the published one by more
    than the margins of `--unless-worse`.
    """
    from model.artifact.comparison import compare, read_bar
    from model.artifact.export import export, version_writer
    from model.artifact.judgement import judge
    from model.artifact.published import check_comparable, read_published
    from model.artifact.size import refuse_too_large
    from model.training.calibration import calibrate

    bars = [read_bar(text, config) for text in options.unless_worse]
    models = options.models
    published = read_published(models, config.name, options.serving_directory) if bars else None
    if published is not None:
        check_comparable(published, dataset, [bar.task for bar in bars])
    refuse_too_large(dataset.features, config.model, dataset.tasks)
    if checkpoint.exists() and not options.resume:
        checkpoint.unlink()
    if checkpoint.exists():
        print(f"Going on from {checkpoint}; --no-resume starts afresh.", file=sys.stderr)
    model, history = fit_model(config, dataset, checkpoint, ranks, start)
    known = len(dataset.notes)
    if history.epochs or options.refit:
        dataset = calibrate(model, dataset, [task.name for task in config.tasks if task.calibrate])
    print(*dataset.notes[known:], sep="\n", end="", file=sys.stderr)
    published = (
        read_published(models, config.name, options.serving_directory) if bars else None
    )  # perhaps another one by now
    comparison = None if published is None else compare(published, model, dataset, config, bars)
    judgement = judge(model, dataset, config, history, comparison)
    print(f"\nTest metrics ({len(dataset.test):,} rows):\n{test_metrics(judgement, dataset.tasks)}\n")
    for said in judgement.advice:
        print(f"Warning: {said}", file=sys.stderr)
    if comparison is not None:
        print(f"{beside(comparison)}\n")
        if failures := comparison.failures:
            checkpoint.unlink(missing_ok=True)
            print("Not published: ", "; ".join(failures), ".", sep="", file=sys.stderr)
            return False
    if isinstance(models, StoredModels):
        write = version_writer(model, dataset, config, history, judgement)
        version = models.publish(config.name, write, checkpoint.parent)
    else:
        version = str(export(model, dataset, config, history, models, judgement))
    checkpoint.unlink(missing_ok=True)
    print(f"Published {version} (report: {version}/report.md)")
    print(f"Serve it:  MMOE_MODELS={models} {_python()} -m service")
    return True


def fit_model(
    config: Config, dataset: Dataset, checkpoint: Path | None, ranks: "Ranks | None", start: "Start | None"
) -> "tuple[Model, History]":
    """Build a model, fresh or from the version that the run goes on from, and train it."""
    from model.artifact.earlier import go_on
    from model.network.model import build_model
    from model.training.train import fit

    if start is None:
        model, origin = build_model(dataset.features, dataset.tasks, config.model, config.train.seed), None
    else:
        model, origin = go_on(start, dataset), start.earlier.origin
    buffer_rows = config.data.buffer_rows if isinstance(config.data, TableData) else None
    return model, fit(model, dataset, config.train, checkpoint, buffer_rows=buffer_rows, ranks=ranks, origin=origin)


def _python() -> Path:
    """Return this interpreter as the caller would type it."""
    running = Path(sys.executable)
    return running.relative_to(Path.cwd()) if running.is_relative_to(Path.cwd()) else running


def _check_writable(directory: Path) -> None:
    """Refuse a place that cannot be written in, before hours of training."""
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{directory}: no version can be written there; choose another directory with --models")


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Lock the directory of a model's checkpoint, and remove it once nothing is to be kept there.

    Kept are a checkpoint and a whole cache of rows. Other runs of the same model are kept out
    meanwhile.

    Raises:
        UserError: another process is training there.
    """
    places = [work.parent, *(place for place in work.parents[1:] if not place.exists())]
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{work}: another process is training this model; wait for it, or choose another name by "
                "--set name=... or another directory by --models"
            ) from None
        try:
            yield
        finally:
            if not (work / "checkpoint.pt").exists() and not is_whole(work / CACHE):
                shutil.rmtree(work, ignore_errors=True)
                with suppress(OSError):  # not empty: published models, or others in training
                    for place in places:
                        place.rmdir()


if __name__ == "__main__":
    interrupt_on_sigterm()
    sys.exit(main())
