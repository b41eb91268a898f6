"""Search by trials: each trains one configuration and is judged by its validation rows.

Trials lie in a SQLite file, so that a search goes on after an interruption and several processes
share one. Test rows are never looked at.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import optuna

from model.config.defaults import settle
from model.config.run import Config, config_text
from model.errors import TrainError
from model.network.model import build_model
from model.schema import Dataset
from model.training.metrics import baselines
from model.training.progress import EpochRecord, Watcher
from model.training.train import fit
from model.tuning.space import suggest

Load = Callable[[list[str]], Config]
Read = Callable[[Config], Dataset]


OUT_OF_TIME = "out_of_time"
"""Attribute of a trial that the budget ended, however good it was."""


@dataclass(frozen=True)
class Budget:
    """Bounds of a search.

    Attributes:
        trials: finished ones, of all processes and earlier searches together; 0: no bound.
        minutes: from now on; infinite: no bound.
    """

    trials: int
    minutes: float


class Tuner:
    """Search for one configuration.

    Args:
        load: makes a configuration of assignments beside the file's own keys.
        read: reads the table of a configuration.
        storage: SQLite file; made if it is not there.
        say: is told a line for each finished trial.
    """

    def __init__(self, load: Load, read: Read, storage: Path, say: Callable[[str], None]) -> None:
        self._load, self._say = load, say
        self._base = load([])
        self._read = lru_cache(maxsize=1)(lambda text: read(load(text.split("\n") if text else [])))
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(
            storage=f"sqlite:///{storage}",
            study_name=hashlib.sha256(config_text(self._base).encode()).hexdigest()[:16],
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3),
        )

    def run(self, budget: Budget) -> None:
        """Run trials until the budget is spent.

        Raises:
            DataError: the table cannot be read, or does not fit the configuration.
            TrainError: not one trial could finish.
        """
        deadline = time.monotonic() + 60.0 * budget.minutes
        states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
        while time.monotonic() < deadline:
            if budget.trials and len(self.study.get_trials(deepcopy=False, states=states)) >= budget.trials:
                break
            self.study.optimize(lambda trial: self._try(trial, deadline), n_trials=1, catch=(TrainError,))
            self._tell(self.study.get_trials(deepcopy=False))
        if not self.study.get_trials(deepcopy=False, states=states[:1]):
            raise TrainError(
                "not one trial has finished; give the search more minutes, or a smaller table to search on"
            )

    def best(self) -> tuple[Config, optuna.trial.FrozenTrial]:
        """Return the best configuration, and its trial."""
        best = self.study.best_trial
        return self._load(best.user_attrs["assignments"]), best

    def _try(self, trial: optuna.Trial, deadline: float) -> float:
        """Train one configuration; returns its mean relative loss on validation rows."""
        changed = [] if trial.number == 0 else suggest(trial, self._base)  # the first is the file as it is
        config = self._load(changed)
        encoding = [text for text in changed if text.startswith(("model.numeric_encoding", "model.bins"))]
        dataset = self._read("\n".join(encoding))
        config = settle(config, dataset).config
        trial.set_user_attr("assignments", changed)
        judge = _Judge(trial, dataset, deadline)
        model = build_model(dataset.features, dataset.tasks, config.model, config.train.seed)
        history = fit(model, dataset, config.train, watcher=judge)
        record = history.epochs[history.best_epoch - 1]
        trial.set_user_attr("metrics", record.metrics)
        trial.set_user_attr("epoch", history.best_epoch)
        return relative_loss(record.metrics, judge.constant)

    def _tell(self, trials: list[optuna.trial.FrozenTrial]) -> None:
        last = max((trial for trial in trials if trial.state.is_finished()), key=lambda trial: trial.number)
        value = "" if last.value is None else f"  relative loss {last.value:.4f}"
        done = [trial.value for trial in trials if trial.state is optuna.trial.TrialState.COMPLETE]
        best = f"  best {min(value for value in done if value is not None):.4f}" if done else ""
        state = "out of time" if OUT_OF_TIME in last.user_attrs else last.state.name.lower()
        self._say(f"trial {last.number}  {state}{value}{best}")


class _Judge(Watcher):
    """Judge of a trial: ends one that is worse than most or runs out of time."""

    def __init__(self, trial: optuna.Trial, dataset: Dataset, deadline: float) -> None:
        self._trial, self._deadline = trial, deadline
        found = baselines(dataset.train, dataset.validation, dataset.tasks)
        self.constant = {task: baseline.metrics for task, baseline in found.items()}

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Report the epoch's relative loss."""
        self._trial.report(relative_loss(record.metrics, self.constant), record.epoch)
        if time.monotonic() > self._deadline:
            self._trial.set_user_attr(OUT_OF_TIME, True)
            raise optuna.TrialPruned
        if self._trial.should_prune():
            raise optuna.TrialPruned


def relative_loss(found: Mapping[str, Mapping[str, float]], constant: Mapping[str, Mapping[str, float]]) -> float:
    """Average over tasks the loss in shares of that of the best constant answer.

    Log-loss, or mean squared error for a regression task: 1 is as good as a constant, and
    tasks of any scale count alike.

    Args:
        found: metrics by task.
        constant: those of the constant answers on the same rows.

    Raises:
        TrainError: the rows define no task's loss.
    """
    shares = []
    for task, metrics in found.items():
        for name, power in (("log_loss", 1), ("rmse", 2)):
            if name in metrics and constant.get(task, {}).get(name, 0.0) > 0.0:
                shares.append((metrics[name] / constant[task][name]) ** power)
    if not shares:
        raise TrainError("the validation rows define no task's loss; give validation more rows (data.split.validation)")
    return float(np.mean(shares))
