"""Recipe section of the study's page: learning rates, steps and open parameters, with reasons."""

from collections.abc import Sequence

import numpy as np

from model.markdown import table
from model.mmoe import Architecture, matching_shared_bottom
from model.study.paper import END_LOSSES, NAMES
from model.study.synthetic.cells import (
    COMPARED,
    COSINES,
    DIMS,
    EXPERT_HIDDEN,
    EXPERTS,
    LEARNING_RATES,
    TOWER_HIDDEN,
    Recipe,
)
from model.study.synthetic.plan import Choice, Results, root_mean_square

STEPS_CHOSEN = (
    "\n\nA trial of 20 runs chose 1,500 steps: there 85 to 90 % of MMoE's runs had been below .1, as in Fig. 5, and "
    "the distance to Fig. 4 was near its lowest. The last column says how far these runs bear that out."
)
MMOE_SHARE = "MMoE's runs once below .1, p = 0.5"


def recipe_section(results: Results) -> str:
    """Write the section: the fixed, the chosen, and what other choices give."""
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
        f"Fig. 2; batch and steps{_trial(recipe)} for where the nine losses of Fig. 4 and the shape of Fig. 5 "
        "come closest, not for the verdicts.\n\n"
        f"### Learning rate\n\n{_tuning(results)}\n\n"
        f"### Steps\n\n{_step_table(results)}\n\n"
        f"### Other choices\n\n{_choices(results)}"
    )


def _trial(recipe: Recipe) -> str:
    return "" if recipe.steps == Recipe().steps else f" (of the study; this page is a trial of {recipe.steps} steps)"


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
        + (STEPS_CHOSEN if results.recipe.steps == Recipe().steps else "")
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
        f"Other generators and single changes of the study's own, {results.size.choice_runs} runs a cell, at the "
        "learning rates chosen above where no other is named. Distances are root mean squares over the points of the "
        "figure; the standard deviations of the lowest losses "
        f"are Shared-Bottom's, OMoE's and MMoE's at p = {cosines[0]:g}.\n\n{table(head, lines)}\n\n{_ranks(results)}"
    )


def _ranks(results: Results) -> str:
    """Describe how far the order of the models depends on the choice."""
    p = results.size.choice_cosines[0]
    first = [words for words, choice in results.choices.items() if _lowest(choice, p) == "mmoe"]
    behind = [w for w, c in results.choices.items() if c.losses["mmoe", p] > c.losses["shared_bottom", p]]
    return (
        f"At p = {p:g}, MMoE's mean loss is the lowest of the three in {len(first)} of these {len(results.choices)} "
        f"lines, and above Shared-Bottom's in {len(behind)}{': ' if behind else ''}{'; '.join(behind)}. "
        "The claims are judged for the study's own choice; they do not carry over to all others."
    )


def _lowest(choice: Choice, cosine: float) -> Architecture:
    return min(COMPARED, key=lambda architecture: choice.losses[architecture, cosine])


def _loss_head(cosines: Sequence[float]) -> list[str]:
    return [f"{NAMES[a]}, p = {p:g}" for p in cosines for a in COMPARED]


def _marked(value: float, chosen: bool) -> str:
    return f"**{value:.3f}**" if chosen else f"{value:.3f}"
