"""Page of a search: the best configuration, its trials, and how the best value fell."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from matplotlib.figure import Figure

from model.config.run import Config
from model.markdown import table, wrap
from model.plots import ACCENT, MAIN, SOFT, save_png
from model.tuning.search import OUT_OF_TIME

SHOWN = 20
"""Trials on the page, the best first."""

SHOWN_METRICS = ("auc", "r2", "rmse", "accuracy", "log_loss")


def write_page(directory: Path, config: Config, study: optuna.Study) -> Path:
    """Write trials.md and its picture; returns the page."""
    trials = [t for t in study.get_trials(deepcopy=False) if t.state is optuna.trial.TrialState.COMPLETE]
    save_png(lambda: draw(trials), directory / "trials.png")
    ranked = sorted(trials, key=lambda trial: (trial.value, trial.number))
    ended = [t for t in study.get_trials(deepcopy=False) if t.state is optuna.trial.TrialState.PRUNED]
    cut_off = sum(OUT_OF_TIME in trial.user_attrs for trial in ended)
    head = f"""# Search: {config.name}

{_counts(len(trials), len(ended) - cut_off, cut_off)}

![Relative loss by trial](trials.png)

Trial 0 is the configuration as it was given. {_verdict(ranked)}
"""
    page = directory / "trials.md"
    page.write_text(wrap(head) + "\n" + _table(ranked[:SHOWN]) + "\n", encoding="utf-8")
    return page


def draw(trials: Sequence[optuna.trial.FrozenTrial]) -> Figure:
    """Draw each finished trial's value, and the best so far."""
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    axes = figure.subplots()
    numbers, values = [t.number for t in trials], np.array([t.value for t in trials], np.float64)
    axes.scatter(numbers, values, s=16, color=SOFT, label="a trial")
    axes.step(numbers, np.minimum.accumulate(values), where="post", color=MAIN, label="the best so far")
    if trials and trials[0].number == 0:
        axes.axhline(values[0], color=ACCENT, linewidth=0.8, label="as given")
    axes.set_xlabel("trial")
    axes.set_ylabel("relative loss, validation rows")
    axes.set_ylim(top=float(np.quantile(values, 0.9)) * 1.05)
    axes.legend()
    return figure


def _counts(finished: int, ended: int, cut_off: int) -> str:
    return (
        f"{finished} trials finished, {ended} were ended early as worse than most, and the end of the time cut off "
        f"{cut_off}, which may have been better. A trial is judged by its validation rows alone: the "
        "mean over tasks of its loss in shares of the loss of the best constant answer (log-loss, or squared error for "
        "regression; 1 is as good as a constant). Test rows were never looked at: train with `tuned.toml` to see "
        "what they say."
    )


def _verdict(ranked: Sequence[optuna.trial.FrozenTrial]) -> str:
    given = next((trial for trial in ranked if trial.number == 0), None)
    best = ranked[0]
    if given is None or given.value is None or best.value is None:
        return "It did not finish."
    if best.number == 0:
        return f"No finished trial was better than its {given.value:.4f}."
    return f"It has {given.value:.4f}, the best trial {best.value:.4f}."


def _table(ranked: Sequence[optuna.trial.FrozenTrial]) -> str:
    lines = []
    for trial in ranked:
        metrics = {
            task: next((f"{name} {found[name]:.4f}" for name in SHOWN_METRICS if name in found), "-")
            for task, found in trial.user_attrs.get("metrics", {}).items()
        }
        changes = ", ".join(f"`{text}`" for text in trial.user_attrs.get("assignments", [])) or "as given"
        tasks = "; ".join(f"{task} {shown}" for task, shown in metrics.items())
        lines.append([str(trial.number), f"{trial.value:.4f}", tasks, str(trial.user_attrs.get("epoch", "-")), changes])
    return table(["trial", "relative loss", "validation metrics", "epoch", "configuration"], lines)
