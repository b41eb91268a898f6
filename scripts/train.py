"""Train a model as a TOML file says, and publish it: python -m scripts.train CONFIG [--set train.epochs=3]."""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from model.config import Config, load_config
from model.errors import UserError
from model.schema import Dataset

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for what the user can mend, 130 when interrupted."""
    options = parse(arguments)
    checkpoint: Path | None = None
    try:
        config = load_config(options.config, options.set)
        checkpoint = options.models / ".training" / config.name / "checkpoint.pt"
        train(config, options.models, checkpoint, options.resume)
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        kept = checkpoint is not None and checkpoint.exists()
        what = "the same command goes on from the last checkpoint" if kept else "nothing was written"
        print(f"\nInterrupted; {what}.", file=sys.stderr)
        return INTERRUPTED
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m scripts.train", description=__doc__)
    parser.add_argument("config", type=Path, help="TOML file; docs/config.md lists its keys")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="replace a key of the file"
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="where to publish (default: models)")
    parser.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="go on from an interrupted run, if any"
    )
    return parser.parse_args(arguments)


def train(config: Config, models: Path, checkpoint: Path, resume: bool) -> None:
    """Read the table, train, publish, and say what came of it."""
    from model.export import export  # heavy: a mistyped key is refused without waiting for them
    from model.metrics import evaluate
    from model.table import read_dataset
    from model.train import build_model, fit, predict

    _check_writable(models)
    dataset = read_dataset(config)
    print(describe(config, dataset), file=sys.stderr)
    if checkpoint.exists() and not resume:
        checkpoint.unlink()
    if checkpoint.exists():
        print(f"Going on from {checkpoint}; --no-resume starts afresh.", file=sys.stderr)
    model = build_model(dataset.features, dataset.tasks, config.model, config.train.seed)
    history = fit(model, dataset, config.train, checkpoint)
    version = export(model, dataset, config, history, models)
    _remove(checkpoint.parent)
    metrics = evaluate(predict(model, dataset.test), dataset.test, dataset.tasks)
    print(f"\nTest metrics ({len(dataset.test):,} rows):\n{tabulate(metrics)}\n")
    print(f"Published {version} (report: {version / 'report.md'})")
    print(f"Serve it:  MMOE_MODELS={models} python -m service")


def describe(config: Config, dataset: Dataset) -> str:
    """Say in a few lines what is about to be trained on what."""
    features = dataset.features
    tasks = ", ".join(f"{task.name} ({task.kind})" for task in dataset.tasks)
    head = f"{config.name}: {config.model.architecture} on {dataset.source}; tasks: {tasks}"
    kinds = f"{len(features.numeric)} numeric and {len(features.categorical)} categorical features"
    return "\n".join([head, kinds, *dataset.notes])


def tabulate(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Lay out a line per task and a column per metric that any task has."""
    names = list(dict.fromkeys(name for found in metrics.values() for name in found))
    lines = [["task", *names]]
    lines += [[task, *(f"{found[n]:.4f}" if n in found else "-" for n in names)] for task, found in metrics.items()]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names) + 1)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def _check_writable(models: Path) -> None:
    """Refuse a place that nothing can be published in, before hours of training rather than after."""
    place = next(path for path in (models, *models.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{models}: no version can be written there; choose another directory with --models")


def _remove(work: Path) -> None:
    """Clear away the directory of a finished run's checkpoint, and the one above it if no other run uses it."""
    shutil.rmtree(work, ignore_errors=True)
    if work.parent.is_dir() and not any(work.parent.iterdir()):
        work.parent.rmdir()


def _fail(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 2


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # a stopped container resumes as after Ctrl-C
    sys.exit(main())
