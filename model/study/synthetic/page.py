"""The study's page: `study.md` and its pictures, written from the results alone."""

import os
import platform
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from model.artifact.provenance import commit, now
from model.markdown import table, wrap
from model.plots import save_png
from model.study.claims import IN_PARTS, Finding, bootstrap, overall
from model.study.paper import END_LOSSES, LABEL_PEARSON, NAMES
from model.study.synthetic import plots as study_plots
from model.study.synthetic.cells import COMPARED, COSINES, TOWER_HIDDEN, Curves
from model.study.synthetic.plan import FIG3_HIDDEN, FIG3_LEARNING_RATE, QUICK, Results
from model.study.synthetic.recipe import recipe_section

PICTURES = "images/study"
"""Directory of the pictures, below that of the page."""


def write_study(directory: Path, results: Results, command: str, device: str) -> Path:
    """Write `study.md` into a directory and its pictures into one below; returns the page's path.

    Args:
        directory: created if it is not there.
        results: what to report.
        command: that makes this page again.
        device: that it was made on.
    """
    made = _made(results, command, device)  # names the commit, which the pictures may change
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
        recipe_section(results),
        made,
    ]
    page = directory / "study.md"
    page.write_text(wrap("\n\n".join(sections)) + "\n", encoding="utf-8")
    return page


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
    findings, sets = results.findings(), _small_sets(results)
    columns = {"verdict": findings} | ({f"of the first {QUICK.runs} runs": sets[0]} if sets else {})
    claims = dict.fromkeys(finding.claim for finding in findings)
    summary = table(
        ["claim of the paper", *columns],
        [
            [claim, *(f"**{overall([f for f in found if f.claim == claim])}**" for found in columns.values())]
            for claim in claims
        ],
    )
    details = table(
        ["claim", "effect", "value and 95 % interval", *columns],
        [
            [f.claim, f.measure, str(f.interval), *(found[i].verdict for found in columns.values())]
            for i, f in enumerate(findings)
        ],
    )
    return (
        f"## Claims and verdicts\n\n{summary}\n\n"
        "The evidence, part by part. Intervals are bootstraps over runs, paired where runs share their data; a part "
        '"holds" or "does not hold" when its whole interval says so, and is "open" when the interval allows both. '
        f"No correction is made for looking at {len(findings)} intervals: about one in twenty misses.\n\n{details}"
        f"{_fewer_runs(findings, sets)}"
    )


def _small_sets(results: Results) -> list[list[Finding]]:
    """Judge the runs in sets as small as those of `--quick`, whose own is the first.

    None if the runs are one set.
    """
    sets = results.size.runs // QUICK.runs
    if sets < 2:
        return []
    return [results.only(range(n * QUICK.runs, (n + 1) * QUICK.runs)).findings() for n in range(sets)]


def _fewer_runs(whole: Sequence[Finding], sets: Sequence[Sequence[Finding]]) -> str:
    """Describe what `--quick` can decide."""
    if not sets:
        return ""
    pairs = [(few.verdict, many.verdict) for found in sets for few, many in zip(found, whole, strict=True)]
    same, undecided = sum(a == b for a, b in pairs), sum(a == "open" != b for a, b in pairs)
    opposed = sum({a, b} == {"holds", "does not hold"} for a, b in pairs)
    lines = [
        [f.measure, *(str(sum(found[i].verdict == verdict for found in sets)) for verdict in IN_PARTS), f.verdict]
        for i, f in enumerate(whole)
        if any(found[i].verdict != f.verdict for found in sets)
    ]
    return (
        f"\n\n`--quick` makes the first {QUICK.runs} of these runs, so that its verdicts are those of the last column; "
        "another processor may round differently and move one near its bound. "
        f"{QUICK.runs} runs are too few for the smaller effects: judged in {len(sets)} sets, these runs "
        f"give {same} of {len(pairs)} verdicts as all of them do. The rest: {undecided} open though decided by all, "
        f"{len(pairs) - same - undecided - opposed} decided though open by all, {opposed} the opposite. "
        "The parts on which sets differ:\n\n"
        + table(["effect", *(f"sets: {verdict}" for verdict in IN_PARTS), "all runs"], lines)
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
        f".12 at p = .5 and near .05 at p = 1. Here {_bad_share(results, COSINES[0])} of Shared-Bottom's runs "
        f"stay above .2 at p = .5 and {_bad_share(results, COSINES[-1])} at p = 1, and "
        f"{_bad_share(results, COSINES[0], 0.4)} above .4 at p = .5: the scale of the paper's labels is not known."
    )


def _bad_share(results: Results, cosine: float, bound: float = 0.2) -> str:
    return f"{np.mean(results.cells['shared_bottom', cosine].lowest > bound):.0%}"


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


def _made(results: Results, command: str, device: str) -> str:
    cores = f"{os.cpu_count()} cores" if device == "cpu" else torch.cuda.get_device_name()
    return (
        "## How it was made\n\n"
        f"`{command}`, {now()}, commit {commit() or 'unknown'} (runs found on disk may be of an earlier one), PyTorch "
        f"{torch.__version__}, {platform.machine()}, {cores}. The runs took {_duration(results.core_s)} of "
        f"{'CPU time on one core' if device == 'cpu' else 'the GPU'} in all; this call took "
        f"{_duration(results.wall_s)}, and made only those that no earlier call had left on disk."
    )


def _mean(curves: Curves) -> str:
    low, high = study_plots.interval_of_mean(curves.losses)
    return f"{curves.final.mean():.3f} [{low[-1]:.3f}, {high[-1]:.3f}]"


def _steps(cells: Mapping[float, Curves]) -> int:
    return int(next(iter(cells.values())).steps[-1])


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
