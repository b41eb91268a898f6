"""Plots of the study, each beside the paper's figures in numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.mmoe import Architecture
from model.plots import ACCENT, INK, MAIN, SOFT
from model.study.paper import END_LOSSES, LABEL_PEARSON, NAMES
from model.study.synthetic.cells import Curves, Floats

COLOURS: dict[Architecture, str] = {"shared_bottom": SOFT, "omoe": ACCENT, "mmoe": MAIN}
BIN_WIDTH = 0.02


def label_correlation(pearson: Mapping[float, Floats]) -> Figure:
    """Draw Fig. 2: the labels' Pearson correlation against the cosine.

    Bars are two standard deviations over trials.
    """
    figure, (axes,) = _panels(1, 5.6, 4.2, "Fig. 2: labels' correlation against the cosine")
    cosines = sorted(pearson)
    means = [float(pearson[cosine].mean()) for cosine in cosines]
    spread = [2 * float(pearson[cosine].std()) for cosine in cosines]
    axes.errorbar(cosines, means, spread, color=MAIN, capsize=3, marker="o", markersize=4, label="here, ±2 sd")
    paper = [LABEL_PEARSON[cosine] for cosine in cosines]
    axes.plot(cosines, paper, "x", color=ACCENT, markersize=8, markeredgewidth=2, label="paper, Fig. 2", zorder=3)
    axes.set(xlabel="cosine p of the weight vectors", ylabel="Pearson correlation of the labels", ylim=(0, 1.03))
    axes.legend()
    return figure


def shared_bottom_curves(cells: Mapping[float, Curves]) -> Figure:
    """Draw Fig. 3: a small Shared-Bottom's mean loss over training, one line per cosine."""
    figure, (axes,) = _panels(1, 5.6, 4.2, "Fig. 3: Shared-Bottom's loss by the tasks' cosine")
    for cosine, shade in zip(sorted(cells), np.linspace(0.35, 1.0, len(cells)), strict=True):
        _mean_with_interval(axes, cells[cosine], MAIN, f"p = {cosine:g}", float(shade))
    axes.set(xlabel="steps", ylabel="test loss, mean and 95 % interval")
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def compared_curves(cells: Mapping[tuple[Architecture, float], Curves]) -> Figure:
    """Draw Fig. 4: mean loss of the three models over training, one panel per cosine.

    Crosses are the paper's ends.
    """
    cosines = _cosines(cells)
    figure, panels = _panels(
        len(cosines), 3.6, 3.8, "Fig. 4: mean loss over training, beside where the paper's runs end"
    )
    for axes, cosine in zip(panels, cosines, strict=True):
        for architecture, name in NAMES.items():
            curves = cells[architecture, cosine]
            _mean_with_interval(axes, curves, COLOURS[architecture], name)
            end = END_LOSSES[architecture, cosine]
            axes.plot(
                curves.steps[-1], end, "x", color=COLOURS[architecture], markersize=8, markeredgewidth=2, clip_on=False
            )
        axes.set(title=f"p = {cosine:g}", xlabel="steps", ylim=(0, 1))
    panels[0].set_ylabel("test loss, mean and 95 % interval")
    panels[0].plot([], [], "x", color=INK, label="paper, Fig. 4")
    panels[0].legend()
    return figure


def lowest_losses(cells: Mapping[tuple[Architecture, float], Curves]) -> Figure:
    """Draw Fig. 5: the spread of each run's lowest loss, a row per model, a column per cosine."""
    cosines = _cosines(cells)
    figure, panels = _panels(3 * len(cosines), 3.2, 1.7, "Fig. 5: the lowest loss of each run", columns=len(cosines))
    top = max(float(curves.lowest.max()) for curves in cells.values()) + BIN_WIDTH
    bins = np.arange(0.0, max(top, 0.5) + BIN_WIDTH, BIN_WIDTH)
    keys = [(architecture, cosine) for architecture in NAMES for cosine in cosines]
    for axes, (architecture, cosine) in zip(panels, keys, strict=True):
        lowest = cells[architecture, cosine].lowest
        shares = np.full(len(lowest), 1 / len(lowest))
        axes.hist(lowest, bins=bins.tolist(), weights=shares, color=COLOURS[architecture])
        axes.set(title=f"{NAMES[architecture]}, p = {cosine:g}", xlim=(0, bins[-1]))
        if cosine == cosines[0]:
            axes.set_ylabel("share of runs")
        if architecture == "mmoe":
            axes.set_xlabel("lowest test loss")
    high = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(0, high)
    return figure


def gate_similarity(cells: Mapping[float, Curves]) -> Figure:
    """Draw the similarity of the two tasks' gates of MMoE at the end against the cosine.

    Every run, and their mean.
    """
    figure, (axes,) = _panels(1, 5.6, 4.2, "MMoE: similarity of the gates against the cosine")
    cosines = sorted(cells)
    jitter = np.random.default_rng(0)
    for cosine in cosines:
        similarity = cells[cosine].similarity
        at = cosine + jitter.uniform(-0.012, 0.012, len(similarity))
        axes.plot(at, similarity, ".", color=MAIN, alpha=0.3, markeredgewidth=0)
    means = [float(cells[cosine].similarity.mean()) for cosine in cosines]
    axes.plot(cosines, means, color=ACCENT, marker="o", markersize=4, label="mean over runs")
    axes.set(xlabel="cosine p of the tasks", ylabel="similarity of the two gates (1 = the same)")
    axes.legend()
    return figure


def interval_of_mean(losses: Floats) -> tuple[Floats, Floats]:
    """Return the normal 95 % interval of the mean over runs, (R, P) to two of (P,)."""
    mean = losses.mean(axis=0)
    half = 1.96 * losses.std(axis=0, ddof=1) / np.sqrt(len(losses)) if len(losses) > 1 else np.zeros_like(mean)
    return mean - half, mean + half


def _mean_with_interval(axes: Axes, curves: Curves, colour: str, label: str, shade: float = 1.0) -> None:
    low, high = interval_of_mean(curves.losses)
    axes.plot(curves.steps, curves.losses.mean(axis=0), color=colour, alpha=shade, label=label)
    axes.fill_between(curves.steps, low, high, color=colour, alpha=0.2 * shade, linewidth=0)


def _cosines(cells: Mapping[tuple[Architecture, float], Curves]) -> list[float]:
    return sorted({cosine for _, cosine in cells})


def _panels(
    count: int, width: float, height: float, headline: str, columns: int | None = None
) -> tuple[Figure, Sequence[Axes]]:
    columns = columns or count
    lines = count // columns
    figure = Figure(figsize=(width * columns, height * lines + 0.3), layout="constrained")
    grid: NDArray[np.object_] = figure.subplots(lines, columns, squeeze=False)
    figure.suptitle(headline, x=0.012, ha="left", fontweight="bold", fontsize=12)
    return figure, grid.ravel().tolist()
