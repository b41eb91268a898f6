"""Search for a better configuration: python -m scripts.tune CONFIG [--minutes 30]."""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model.config.run import Config, config_text, load_config
from scripts.command import INTERRUPTED, fail, interrupt_on_sigterm, minutes
from tables.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns its exit code: 0, 2 for what the user can mend, 130 when interrupted.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's idle threads sleep, and leave the cores to others
    options = parse(arguments)
    try:
        config = load_config(options.config, options.set)
        directory = options.out or Path("build/tune") / config.name
        directory.mkdir(parents=True, exist_ok=True)
        tune(options, config, directory)
    except (UserError, OSError) as error:
        return fail(error)
    except KeyboardInterrupt:
        print("\nInterrupted; finished trials are kept, and the same command goes on.", file=sys.stderr)
        return INTERRUPTED
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m scripts.tune", description=__doc__)
    parser.add_argument("config", type=Path, help="TOML file; docs/config.md lists its keys")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="replace a key of the file"
    )
    parser.add_argument("--minutes", type=minutes, default=math.inf, help="stop after so many minutes")
    parser.add_argument(
        "--trials", type=int, default=0, help="stop when so many trials have finished, those of earlier runs included"
    )
    parser.add_argument("--out", type=Path, help="where the result goes (default: build/tune/<name>)")
    parser.add_argument(
        "--storage", type=Path, help="SQLite file of the trials, which processes may share (default: <out>/trials.db)"
    )
    options = parser.parse_args(arguments)
    if options.trials <= 0 and math.isinf(options.minutes):
        options.minutes = 30.0
    return options


def tune(options: argparse.Namespace, config: Config, directory: Path) -> None:
    """Search, then write tuned.toml and the page."""
    try:
        import optuna  # noqa: F401 - an extra
    except ImportError:
        raise UserError("tuning needs Optuna; install the extra: pip install -c constraints.txt -e '.[tune]'") from None
    from model.data.table import read_dataset
    from model.tuning.page import write_page
    from model.tuning.search import Budget, Tuner

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    given = directory / "given.toml"  # tasks and defaults written out, so that each has a key to set
    given.write_text(config_text(config), encoding="utf-8")
    tuner = Tuner(
        lambda changes: load_config(given, changes),
        read_dataset,
        options.storage or directory / "trials.db",
        say,
    )
    interrupted = False
    try:
        tuner.run(Budget(options.trials, options.minutes))
    except KeyboardInterrupt:
        interrupted = True
        if not any(trial.value is not None for trial in tuner.study.get_trials(deepcopy=False)):
            raise
    best, trial = tuner.best()
    (directory / "tuned.toml").write_text(config_text(best), encoding="utf-8")
    page = write_page(directory, config, tuner.study)
    print(f"Best of the trials: {trial.number}, relative loss {trial.value:.4f} on validation rows; all: {page}")
    print(f"Train it:  python -m scripts.train {directory / 'tuned.toml'}")
    if interrupted:
        raise KeyboardInterrupt


if __name__ == "__main__":
    interrupt_on_sigterm()
    sys.exit(main())
