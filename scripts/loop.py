"""Train, compare and promote the next version, or roll it back: python -m scripts.loop CONFIG."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from loop.config import LoopConfig, read_config
from loop.cycle import Cycle, model_name
from loop.journal import Journal, sentences
from loop.state import alone
from scripts.command import INTERRUPTED, fail, interrupt_on_sigterm, minutes, say
from tables.errors import UserError

AGAIN_MINUTES = 5.0
"""Longest pause after a cycle that an error, or a rule that holds, has left under way."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns its exit code: 0 after a cycle, whatever was decided; 2 for what the user can mend, 130
    when interrupted.
    """
    options = parse(arguments)
    try:
        config = read_config(options.config, options.set, os.environ)
        model = model_name(config)
        directory = Path(config.directory) / model
        if options.journal:
            for record in Journal(directory).records():
                print(*sentences(record), sep="\n")
            return 0
        if options.dry_run:
            Cycle(config, directory, model, print, dry=True).rehearse()
            return 0
        with alone(directory):
            if not options.every:
                Cycle(config, directory, model, say).run()
                return 0
            while True:
                time.sleep(60 * _repeated(config, directory, model, options.every))
    except (UserError, OSError) as error:
        return fail(error)
    except KeyboardInterrupt:
        return INTERRUPTED


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m scripts.loop", description=__doc__)
    parser.add_argument("config", type=Path, help="TOML file; docs/loop-config.md lists its keys")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="replace a key of the file"
    )
    parser.add_argument(
        "--every", type=minutes, default=0.0, metavar="MINUTES", help="begin again so long after the end"
    )
    parser.add_argument("--dry-run", action="store_true", help="judge what there is, say what a run would do, and end")
    parser.add_argument("--journal", action="store_true", help="tell the journal in sentences, and end")
    return parser.parse_args(arguments)


def _repeated(config: LoopConfig, directory: Path, model: str, every: float) -> float:
    """Go through a cycle; an error is told. Return the minutes until the next, few in a trial."""
    cycle = Cycle(config, directory, model, say)
    try:
        cycle.run()
    except (UserError, OSError) as error:
        fail(error)
    return every if cycle.state.stage == "idle" else min(every, AGAIN_MINUTES)


if __name__ == "__main__":
    interrupt_on_sigterm()
    sys.exit(main())
