"""Command line of the trainer."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from model.artifact.stored import Models, StoredModels
from stores.address import FORMS, is_stored, names_a_scheme
from stores.address import parse as parse_address
from stores.errors import StoreError

DESCRIPTION = "Train a model and publish it: python -m scripts.train CONFIG [--set train.epochs=3]."


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m scripts.train", description=DESCRIPTION)
    parser.add_argument("config", type=Path, help="TOML file; docs/config.md lists its keys")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="replace a key of the file"
    )
    parser.add_argument(
        "--models",
        type=_models,
        default=Path("models"),
        help=f"where to publish: a directory, or {FORMS} (default: models)",
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="where a run keeps its checkpoint and rows until it ends (default: .training in the directory of models; "
        "with a store, in ./models)",
    )
    parser.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="go on from an interrupted run, if any"
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="VERSION",
        help="go on from a published version, a number or 'latest': its weights, its statistics, and new rows for new "
        "values (docs/versions.md)",
    )
    parser.add_argument(
        "--refit", action="store_true", help="with --from: take the statistics of this table's training rows"
    )
    parser.add_argument(
        "--write-splits", type=Path, metavar="FILE", help="write a CSV of each row's number in the table and its split"
    )
    parser.add_argument(
        "--keep-cache",
        action="store_true",
        help="keep the rows of a large table as training reads them, for the next run",
    )
    parser.add_argument(
        "--unless-worse",
        action="append",
        default=[],
        metavar="TASK.METRIC=MARGIN",
        help="publish unless the metric is worse than the published version's on the same test rows by more than that; "
        "may be given several times; exit code 3 if it is",
    )
    parser.add_argument(
        "--serving-directory",
        type=Path,
        default=os.environ.get("MMOE_SERVING_DIRECTORY") or None,
        metavar="DIR",
        help="of serving files that do not lie beside the models, which say what --unless-worse compares with "
        "(default: MMOE_SERVING_DIRECTORY)",
    )
    parser.add_argument("--check", action="store_true", help="read the table, say what was understood, and stop there")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="end before training where a column of the table needs a word (docs/values.md)",
    )
    options = parser.parse_args(arguments)
    if options.refit and options.start is None:
        parser.error("--refit goes with --from; a run that starts afresh takes its own statistics anyway")
    return options


def work_of(options: argparse.Namespace) -> Path:
    """Return the directory for what runs keep until they end."""
    if options.work is not None:
        return Path(options.work)
    return (options.models if isinstance(options.models, Path) else Path("models")) / ".training"


def _models(text: str) -> Models:
    """Read the place of the models.

    Raises:
        argparse.ArgumentTypeError: it is an address, and not one of a store's folder.
    """
    if is_stored(text):
        try:
            parse_address(text)
        except StoreError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return StoredModels(text.rstrip("/"))
    if names_a_scheme(text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a directory nor {FORMS}")
    return Path(text)
