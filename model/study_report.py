"""The study's page: `study.md` and its pictures, written from the results alone."""

import os
import platform
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from model import study_plots
from model.claims import bootstrap, overall
from model.mmoe import matching_shared_bottom
from model.paper import END_LOSSES, LABEL_PEARSON, NAMES
from model.plots import save_png
from model.provenance import commit, now
from model.study import COMPARED, COSINES, DIMS, EXPERT_HIDDEN, EXPERTS, LEARNING_RATES, TOWER_HIDDEN, Curves
from model.study_plan import FIG3_HIDDEN, FIG3_LEARNING_RATE, Results, root_mean_square

PICTURES = "study"
"""Directory of the pictures, beside the page."""


def write_study(directory: Path, results: Results, command: str, device: str) -> Path:
    """Write `study.md` into a directory and its pictures into one below; returns the page's path.

    Args:
        directory: created if it is not there.
        results: what to report.
        command: that makes this page again.
        device: that it was made on.
    """
    pictures = directory / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    for name, draw in {
        "fig2.png": partial(study_plots.label_correlation, results.pearson),
        "fig3.png": partial(study_plots.shared_bottom_curves, results.fig3),
        "fig4.png": partial(study_plots.compared_curves, results.cells),
        "fig5.png": partial(study_plots.lowest_losses, results.cells),
        "gates.png": partial(study_plots.gate_similarity, results.gates),
    }.items():
        save_png(draw, pictures / name)
    sections = [
        _head(results, command),
        _claims(results),
        _fig2(results),
        _fig3(results),
        _fig4(results),
        _fig5(results),
        _gates(results),
        _recipe(results),
        _made(results, command, device),
    ]
    page = directory / "study.md"
    page.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return page


MMOE_SHARE = "MMoE's runs once below .1, p = 0.5"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table."""
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])


def _head(results: Results, command: str) -> str:
    return (
        "# The paper's synthetic study, repeated\n\n"
        'Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", KDD 2018, '
        "§3 and §5.1. "
        f"This page is written by `{command}`: {results.size.runs} independent runs in each cell, every run with "
        "data and initial weights of its own. All losses are mean squared errors over both tasks on fresh rows, labels "
        "scaled to unit variance."
    )


def _claims(results: Results) -> str:
    findings = results.findings()
    parts = [(claim, list(group)) for claim, group in groupby(findings, key=lambda finding: finding.claim)]
    summary = table(["claim of the paper", "here"], [[claim, f"**{overall(group)}**"] for claim, group in parts])
    details = table(
        ["claim", "effect", "value and 95 % interval", "verdict"],
        [[f.claim, f.measure, str(f.interval), f.verdict] for f in findings],
    )
    return (
        f"## Claims and verdicts\n\n{summary}\n\n"
        "The evidence, part by part. Intervals are bootstraps over runs, paired where runs share their data; a part "
        '"holds" or "does not hold" when its whole interval says so, and is "open" when the interval allows both. '
        f"No correction is made for looking at {len(findings)} intervals: about one in twenty misses.\n\n{details}"
    )


def _fig2(results: Results) -> str:
    lines = [
        [f"{p:g}", f"{values.mean():.3f}", f"±{2 * values.std():.3f}", f"≈ {LABEL_PEARSON[p]:.2f}"]
        for p, values in sorted(results.pearson.items())
    ]
    size = results.size
    return (
        "## Fig. 2: correlation of the labels\n\n"
        f"![Pearson correlation against cosine]({PICTURES}/fig2.png)\n\n"
        f"{size.trials} trials of {size.trial_rows:,} rows for each cosine.\n\n"
        + table(["cosine p", "Pearson", "2 sd", "paper"], lines)
    )


def _fig3(results: Results) -> str:
    lines = [[f"{p:g}", _mean(curves)] for p, curves in sorted(results.fig3.items())]
    low, high = (results.fig3[p].final for p in (min(results.fig3), max(results.fig3)))
    change = bootstrap(lambda a, b: (a - b).mean(axis=-1), low, high)
    return (
        "## Fig. 3: Shared-Bottom against the cosine\n\n"
        f"![Loss of Shared-Bottom over training]({PICTURES}/fig3.png)\n\n"
        f"One shared layer of {FIG3_HIDDEN}, towers of {TOWER_HIDDEN}, Adam's default learning rate "
        f"({FIG3_LEARNING_RATE:g}), {_steps(results.fig3):,} steps.\n\n"
        + table(["cosine p", "mean loss at the end"], lines)
        + f"\n\nLoss at the lowest cosine less loss at the highest, paired by run: **{change}**."
    )


def _fig4(results: Results) -> str:
    lines = []
    for cosine in COSINES:
        for architecture in COMPARED:
            paper = END_LOSSES[architecture, cosine]
            lines.append(
                [f"{cosine:g}", NAMES[architecture], _mean(results.cells[architecture, cosine]), f"≈ {paper:.3f}"]
            )
    return (
        "## Fig. 4: the three models\n\n"
        f"![Mean loss over training at three cosines]({PICTURES}/fig4.png)\n\n"
        + table(["cosine p", "model", "mean loss at the end, 95 % interval", "paper"], lines)
        + "\n\nThe paper does not say how its labels are scaled, so that the order and the ratios of its losses bind "
        "more than their level."
    )


def _fig5(results: Results) -> str:
    lines = []
    for cosine in COSINES:
        for architecture in COMPARED:
            lowest = results.cells[architecture, cosine].lowest
            best, middle, worst = np.quantile(lowest, [0.05, 0.5, 0.95])
            shares = [f"{np.mean(lowest < 0.1):.0%}", f"{np.mean(lowest > 0.35):.0%}"]
            numbers = [f"{value:.3f}" for value in (best, middle, worst, lowest.std())]
            lines.append([f"{cosine:g}", NAMES[architecture], *numbers, *shares])
    head = ["cosine p", "model", "best 5 %", "median", "worst 5 %", "sd", "runs < .1", "runs > .35"]
    return (
        "## Fig. 5: the lowest loss of each run\n\n"
        f"![Histograms of the lowest loss]({PICTURES}/fig5.png)\n\n"
        + table(head, lines)
        + "\n\nIn the paper, MMoE has about 85 to 90 % of its runs below .1 at every p; Shared-Bottom has a "
        "bad mode near .45 with about 33 % of the runs at p = .5 and 16 % at p = 1; OMoE's peak lies near "
        ".12 at p = .5 and near .05 at p = 1."
    )


def _gates(results: Results) -> str:
    found = results.gate_correlation()
    lines = [
        [f"{p:g}", f"{curves.similarity.mean():.3f}", f"{curves.similarity.std():.3f}"]
        for p, curves in sorted(results.gates.items())
    ]
    answer = "yes" if found.low > 0.5 else "somewhat" if found.low > 0 else "no"
    return (
        "## Beyond the paper: do the gates reveal how related the tasks are?\n\n"
        f"![Similarity of MMoE's two gates against the cosine]({PICTURES}/gates.png)\n\n"
        "Similarity is 1 less the Jensen-Shannon divergence (base 2) of the two tasks' gate weights, a mean over rows: "
        "the figure that the inspection calls of the service answer with. Spearman's rank correlation with the cosine "
        f"over single runs is **{found}**: {answer}. It is a comparison between networks trained alike, not a scale: a "
        "single model's value does not give its tasks' cosine.\n\n"
        + table(["cosine p", "mean similarity", "sd over runs"], lines)
    )


def _recipe(results: Results) -> str:
    recipe = results.recipe
    budget = matching_shared_bottom(DIMS, 2, EXPERTS, EXPERT_HIDDEN, TOWER_HIDDEN)
    return (
        "## What was run, and why so\n\n"
        f"The paper fixes d = {DIMS}, {EXPERTS} experts of {EXPERT_HIDDEN}, towers of {TOWER_HIDDEN}, Shared-Bottom "
        f"{budget}, and Adam with a learning rate from {{1e-4, 1e-3, 1e-2}}. It leaves open the "
        "generator's c, m, alpha and beta, the scale of the labels, the number of rows and steps, and the batch size. "
        f"Here: c = {recipe.scale:g}, alpha_i = 2i, beta = 0, m = {len(recipe.alpha)}, labels of unit variance, "
        f"{recipe.steps:,} steps on batches of {recipe.batch} fresh rows ({recipe.steps * recipe.batch:,} rows a run), "
        f"test loss on {recipe.test_rows:,} rows of each run's own. The generator was chosen for its fit to "
        "Fig. 2; batch and steps for where the nine losses of Fig. 4 and the shape of Fig. 5 come closest, "
        "not for the verdicts.\n\n"
        f"### Learning rate\n\n{_tuning(results)}\n\n"
        f"### Steps\n\n{_step_table(results)}\n\n"
        f"### Other choices\n\n{_choices(results)}"
    )


def _tuning(results: Results) -> str:
    lines = [
        [NAMES[a], *(_marked(results.tuning[a, r], r == results.rates[a]) for r in LEARNING_RATES)] for a in COMPARED
    ]
    head = ["mean loss at the end", *(f"{rate:g}" for rate in LEARNING_RATES)]
    return (
        f"Chosen for each model by {results.size.tuning_runs} runs at p = {COSINES[0]:g} that are not among those "
        f"reported.\n\n{table(head, lines)}"
    )


def _step_table(results: Results) -> str:
    steps = next(iter(results.cells.values())).steps
    lines = []
    for point in np.unique(np.linspace(0, len(steps) - 1, 9).round().astype(np.int64))[1:]:
        means = {key: float(curves.losses[:, point].mean()) for key, curves in results.cells.items()}
        error = root_mean_square([means[key] - END_LOSSES[key] for key in means])
        shown = [f"{means[a, p]:.3f}" for p in (COSINES[0], COSINES[-1]) for a in COMPARED]
        hardest = results.cells["mmoe", COSINES[0]].losses[:, : point + 1].min(axis=1)
        lines.append([f"{steps[point]:,}", *shown, f"{error:.3f}", f"{np.mean(hardest < 0.1):.0%}"])
    return (
        "The same runs, had they ended earlier: mean losses, and their root mean square distance to the "
        "paper's nine.\n\n"
        + table(["steps", *_loss_head((COSINES[0], COSINES[-1])), "distance to Fig. 4", MMOE_SHARE], lines)
        + "\n\nA trial of 20 runs up to 1,600 steps chose: 1,500 steps are where 85 to 90 % of MMoE's runs have been "
        "below .1, as in Fig. 5, and the distance to Fig. 4 is still near its lowest."
    )


def _choices(results: Results) -> str:
    cosines = results.size.choice_cosines
    lines = []
    for words, choice in results.choices.items():
        losses = [f"{choice.losses[a, p]:.3f}" for p in cosines for a in COMPARED]
        spreads = " / ".join(f"{choice.spread[a, cosines[0]]:.3f}" for a in COMPARED)
        lines.append([words, f"{choice.pearson_error:.3f}", *losses, spreads, f"{choice.loss_error:.3f}"])
    head = ["choice", "distance to Fig. 2", *_loss_head(cosines), "sd of the lowest", "distance to Fig. 4"]
    return (
        f"One thing changed at a time, {results.size.choice_runs} runs a cell, at the learning rates chosen above. "
        "Distances are root mean squares over the points of the figure; the standard deviations of the lowest losses "
        f"are Shared-Bottom's, OMoE's and MMoE's at p = {cosines[0]:g}.\n\n{table(head, lines)}"
    )


def _made(results: Results, command: str, device: str) -> str:
    cores = f"{os.cpu_count()} cores" if device == "cpu" else torch.cuda.get_device_name()
    return (
        "## How it was made\n\n"
        f"`{command}`, {now()}, commit {commit() or 'unknown'}, PyTorch {torch.__version__}, {platform.machine()}, "
        f"{cores}. The runs took {_duration(results.core_s)} of {'CPU time' if device == 'cpu' else 'the GPU'} in all; "
        f"this call, which found on disk what earlier calls had finished, took {_duration(results.wall_s)}."
    )


def _loss_head(cosines: Sequence[float]) -> list[str]:
    return [f"{NAMES[a]}, p = {p:g}" for p in cosines for a in COMPARED]


def _mean(curves: Curves) -> str:
    low, high = study_plots.interval_of_mean(curves.losses)
    return f"{curves.final.mean():.3f} [{low[-1]:.3f}, {high[-1]:.3f}]"


def _steps(cells: Mapping[float, Curves]) -> int:
    return int(next(iter(cells.values())).steps[-1])


def _marked(value: float, chosen: bool) -> str:
    return f"**{value:.3f}**" if chosen else f"{value:.3f}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
