"""Pictures of docs/tasks.md, from made clicks: python -m benchmarks.task_pictures."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.funnel import made
from model.artifact.baseline import gate_baseline, gate_batches
from model.config.run import Config, load_config
from model.data.table import read_dataset
from model.mmoe import Mixture
from model.network.model import Model, build_model, predict
from model.plots import ACCENT, MAIN, SOFT, gate_heatmap, save_png
from model.schema import Dataset
from model.training.calibration import calibrate
from model.training.progress import Watcher
from model.training.train import fit

ROWS, KEPT = 60_000, 0.1
BINS = 12
CONFIG = """
name = "clicks"
[data]
kind = "table"
path = "{table}"
[features]
categorical = ["user", "item"]
min_count = 2
[[tasks]]
name = "click"
column = "click"
kind = "binary"
negatives_kept = {kept}
[[tasks]]
name = "conversion"
column = "conversion"
kind = "binary"
{after}
[model]
architecture = "{architecture}"
experts = 4
own_experts = 2
[train]
epochs = 12
learning_rate = 0.003
"""
Floats = NDArray[np.floating]


def write_table(path: Path, kept: float) -> None:
    """Write clicks, with a share of the rows without one."""
    table, _ = made(ROWS, seed=1)
    rows = (table["click"] == 1).to_numpy() | (np.random.default_rng(2).random(ROWS) < kept)
    table.drop("split").filter(pl.Series(rows)).write_csv(path)


def trained(
    home: Path, after: bool = True, kept: float = 1.0, architecture: str = "mmoe"
) -> tuple[Model, Dataset, Config]:
    """Train one configuration on the table of its name."""
    path = home / f"{kept}.csv"
    if not path.exists():
        write_table(path, kept)
    text = CONFIG.format(table=path, kept=kept, after='after = "click"' if after else "", architecture=architecture)
    (home / "c.toml").write_text(text)
    config = load_config(home / "c.toml")
    dataset = read_dataset(config)
    model = build_model(dataset.features, dataset.tasks, config.model, config.train.seed)
    fit(model, dataset, config.train, watcher=Watcher())
    return model, dataset, config


def reliability(predicted: Floats, labels: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Average predicted and observed shares over bins of as many rows each."""
    order = np.argsort(predicted)
    edges = np.array_split(order, BINS)
    mean = [np.average(predicted[part], weights=weights[part]) for part in edges]
    seen = [np.average(labels[part], weights=weights[part]) for part in edges]
    return np.array(mean), np.array(seen)


def draw_reliability(curves: dict[str, tuple[Floats, Floats]], title: str) -> Figure:
    """Draw reliability curves; the line is where what is predicted comes true."""
    figure = Figure(figsize=(5.2, 4.0), layout="constrained")
    axes = figure.subplots()
    most = max(float(max(x.max(), y.max())) for x, y in curves.values()) * 1.05
    axes.plot([0, most], [0, most], color=SOFT, linewidth=0.8)
    for (name, (x, y)), colour in zip(curves.items(), (ACCENT, MAIN), strict=False):
        axes.plot(x, y, marker="o", markersize=4, color=colour, label=name)
    axes.set(xlabel="predicted probability", ylabel="observed share", title=title)
    axes.legend()
    return figure


def draw_funnel(joint: Floats, click: Floats, conditional: Floats) -> Figure:
    """Draw each row's conditional and joint probability over its click probability."""
    figure = Figure(figsize=(5.2, 4.0), layout="constrained")
    axes = figure.subplots()
    some = np.random.default_rng(0).permutation(len(joint))[:1500]
    axes.scatter(click[some], conditional[some], s=5, color=SOFT, label="P(conversion | click)")
    axes.scatter(click[some], joint[some], s=5, color=MAIN, label="P(click and conversion)")
    line = np.linspace(0, float(click[some].max()), 2)
    axes.plot(line, line, color=ACCENT, linewidth=0.8, label="no joint lies above")
    axes.set(xlabel="P(click)", ylabel="probability", title="A funnel's three probabilities, row by row")
    axes.legend()
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and draw."""
    parser = argparse.ArgumentParser("python -m benchmarks.task_pictures", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    out: Path = parser.parse_args(arguments).out
    with TemporaryDirectory() as folder:
        home = Path(folder)
        model, dataset, _ = trained(home)
        found = predict(model, dataset.test).tasks
        joint, click, given = found["conversion"], found["click"], found["conversion.given.click"]
        save_png(lambda: draw_funnel(joint, click, given), out / "tasks-funnel.png")
        model, dataset, _ = trained(home, kept=KEPT)
        labels = dataset.test.labels[:, 0]
        times = np.where(labels == 0.0, 1.0 / KEPT, 1.0)
        raw = predict(model, dataset.test).tasks["click"]
        calibrate(model, dataset, ["click"])
        scaled = predict(model, dataset.test).tasks["click"]
        as_sampled = scaled / (scaled + (1 - scaled) * KEPT)
        sampling = {
            "as the sampled table has it": reliability(as_sampled, labels, times),
            f"negatives_kept = {KEPT}": reliability(scaled, labels, times),
        }
        title = "Clicks, from a table with a tenth of its negatives"
        save_png(lambda: draw_reliability(sampling, title), out / "tasks-sampling.png")
        calibration = {
            "as trained": reliability(raw, labels, times),
            "calibrate = true": reliability(scaled, labels, times),
        }
        save_png(lambda: draw_reliability(calibration, "Clicks on test rows"), out / "tasks-calibration.png")
        model, dataset, _ = trained(home, architecture="cgc")
        network = model.network
        assert isinstance(network, Mixture)
        names = [task.name for task in dataset.tasks]
        seen = network.gate.visible().numpy()
        gates = gate_baseline(gate_batches(model, dataset.validation), names, np.zeros(seen.shape), seen)["tasks"]
        used = np.array([gates[name]["utilisation"] for name in names])
        entropies = [gates[name]["normalised_entropy"] for name in names]
        save_png(lambda: gate_heatmap(used, names, entropies), out / "tasks-cgc.png")


if __name__ == "__main__":
    main()
