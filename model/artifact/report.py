"""The report beside a published model: one page of Markdown and the pictures it shows."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from model.artifact.judgement import Judgement
from model.artifact.report_judgement import judgement_sections, number, warnings_section
from model.markdown import table, wrap
from model.network.model import Predictions
from model.plots import gate_heatmap, loss_curves, save_png, task_picture
from model.schema import FIRST_VALUE, CategoricalFeature, Dataset, FeatureSchema, HashedFeature, Task
from model.training.judged import judged
from model.training.metrics import Baseline
from model.training.progress import History

ARCHITECTURES = {
    "mmoe": "multi-gate mixture of experts (MMoE)",
    "omoe": "one-gate mixture of experts (OMoE)",
    "cgc": "customized gate control (CGC): shared experts and the tasks' own",
    "shared_bottom": "shared bottom",
    "single_task": "single-task networks",
}

CAPTIONS = {
    "regression": "The line is where a perfect prediction would lie.",
    "binary": "Points under the line: the probabilities are too high; above it: too low. Each stands for as many "
    "rows; `ece` is their mean distance from the line.",
    "multiclass": "The diagonal is what was right.",
}


def write_report(
    directory: Path, manifest: Mapping[str, Any], dataset: Dataset, history: History, judgement: Judgement
) -> None:
    """Write report.md and its pictures into a directory.

    Args:
        directory: of the version being written.
        manifest: of the model; figures come from there, so that report and service agree.
        dataset: whose test rows the pictures show.
        history: of the training.
        judgement: of the model, with its answers to the test rows.
    """
    pictures = _draw(directory, manifest, dataset, history, judgement.test)
    sections = [
        _head(manifest, history),
        *warnings_section(judgement),
        _metrics(manifest["tasks"], dataset.tasks),
        *judgement_sections(judgement),
        *([_gates(manifest)] if manifest["gates"] else []),
        *([_features(dataset.features)] if dataset.features.texts else []),
        *([_training(history)] if history.epochs else []),
        *[_task_section(task.name, task.kind, pictures) for task in dataset.tasks],
    ]
    rows = _rows(manifest, dataset)  # not wrapped: its remarks quote values
    page = [*map(wrap, sections), rows, wrap(_files(manifest))]
    (directory / "report.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")


def _draw(
    directory: Path, manifest: Mapping[str, Any], dataset: Dataset, history: History, test: Predictions
) -> set[str]:
    """Draw all pictures; returns the names of the files."""
    drawn: set[str] = set()

    def draw(name: str, picture: Callable[[], Figure]) -> None:
        save_png(picture, directory / name)
        drawn.add(name)

    if history.epochs:
        draw("losses.png", partial(loss_curves, _curves(history), history.best_epoch))
    if manifest["gates"]:
        gates = manifest["gates"]["tasks"]
        utilisation = np.array([entry["utilisation"] for entry in gates.values()])
        entropies = [entry["normalised_entropy"] for entry in gates.values()]
        draw("gates.png", partial(gate_heatmap, utilisation, list(gates), entropies))
    for index, task in enumerate(dataset.tasks):
        rows = judged(test.tasks[task.name], dataset.test, dataset.tasks, index)
        if len(rows.truth):
            draw(f"task-{task.name}.png", partial(task_picture, task, rows.answer, rows.truth, rows.times))
    return drawn


def _curves(history: History) -> dict[str, dict[str, list[float]]]:
    epochs = history.epochs
    together = {
        "training": [record.train_loss for record in epochs],
        "validation": [record.validation_loss for record in epochs],
    }
    names = list(epochs[0].task_losses) if epochs else []
    each = {name: {"validation": [record.task_losses[name] for record in epochs]} for name in names}
    return {"all tasks": together} | (each if len(names) > 1 else {})


def _head(manifest: Mapping[str, Any], history: History) -> str:
    experts = f", {manifest['experts']} experts" if manifest["experts"] else ""
    parameters = manifest["provenance"]["parameters"]
    return (
        f"# {manifest['name']}\n\n"
        f"A {ARCHITECTURES[manifest['architecture']]}{experts}, {parameters:,} parameters, "
        f"{len(manifest['features'])} features, {len(manifest['tasks'])} tasks.\n"
        f"{_course(history)}"
    )


def _course(history: History) -> str:
    origin, epochs = history.origin, len(history.epochs)
    began = f"The run went on from version {origin.version}. " if origin else ""
    if not epochs:
        return f"{began}No epoch was trained: the weights are those of that version."
    ended = "stopped early after" if history.stopped_early else "ran"
    kept = f"of epoch {history.best_epoch}" if history.best_epoch else "of that version"
    return (
        f"{began}Training {ended} {epochs} epochs in {_duration(history.seconds)} ({history.device}); the weights "
        f"{kept} were kept, the best by validation `{history.monitor}`."
    )


def _metrics(entries: Sequence[Mapping[str, Any]], tasks: Sequence[Task]) -> str:
    """Tabulate the test metrics, and below each task's those of its constant answer.

    There is a column for each metric of any task.
    """
    columns = list(dict.fromkeys(name for entry in entries for name in entry["metrics"]))
    rows = []
    for entry, task in zip(entries, tasks, strict=True):
        for found, output in ((entry, task.name), (entry.get("given"), task.conditional)):
            if found is None:
                continue
            rows.append([f"`{output}`", task.kind, *(number(found["metrics"].get(name)) for name in columns)])
            if "baseline" in found:
                baseline = Baseline(**found["baseline"])
                rows.append([baseline.describe(task), "", *(number(baseline.metrics.get(n)) for n in columns)])
    return (
        "## Test metrics\n\n" + table(["task", "kind", *columns], rows) + "\n\nBelow each task: what the best "
        "constant answer of the training rows gives on the same test rows. A model is worth what it gains on that."
    )


def _gates(manifest: Mapping[str, Any]) -> str:
    names = [task["name"] for task in manifest["tasks"]]
    similarity = manifest["gates"]["similarity"]
    rows = [[f"`{name}`", *(f"{v:.3f}" for v in line)] for name, line in zip(names, similarity, strict=True)]
    return (
        "## Gates\n\n![Mean gate weight of each expert for each task](gates.png)\n\n"
        "Entropy is normalised: 0 is one expert alone, 1 is all experts alike. How similarly two tasks use the experts "
        "(1 minus the Jensen-Shannon divergence of their gate weights, mean over validation rows):\n\n"
        + table(["", *(f"`{name}`" for name in names)], rows)
    )


def _features(features: FeatureSchema) -> str:
    """Tabulate the features with an embedding, and what of their training values is known."""
    rows = []
    for feature in features.texts:
        buckets = 0 if isinstance(feature, CategoricalFeature) else feature.buckets
        held = f"{buckets:,} buckets" if buckets else f"{feature.codes - FIRST_VALUE:,} known"
        unknown = "-" if buckets or isinstance(feature, HashedFeature) else f"{feature.unknown_share:.1%}"
        collisions = (
            f"{feature.collision_share:.1%}" if buckets and not isinstance(feature, CategoricalFeature) else "-"
        )
        rows.append([f"`{feature.name}`", held, f"{feature.missing_share:.1%}", unknown, collisions, feature.table])
    return (
        "## Values\n\n"
        + table(["feature", "values", "missing", "unknown", "in a collision", "table of"], rows)
        + "\n\nShares of the training rows; of a bag, missing are cells without a value, and unknown is a share of the "
        "values. In a collision are the different values expected to share their bucket with another one."
    )


def _training(history: History) -> str:
    speeds = [record.rows_per_s for record in history.epochs]
    speed = f" Median speed: {np.median(speeds):,.0f} rows/s." if speeds else ""
    return (
        "## Training\n\n![Loss over epochs](losses.png)\n\n"
        "The training loss is a mean over the epoch while weights move and with dropout, where that is on; the "
        f"validation loss is taken after the epoch without it.{speed}"
    )


def _task_section(name: str, kind: str, pictures: set[str]) -> str:
    picture = f"task-{name}.png"
    shown = f"![{name} on test rows]({picture})\n\n{CAPTIONS[kind]}"
    return f"## Task `{name}`\n\n" + (shown if picture in pictures else "No test row has a label of this task.")


def _rows(manifest: Mapping[str, Any], dataset: Dataset) -> str:
    counts = manifest["provenance"]["data"]["rows"]
    total = sum(counts.values())
    rows = [[split, f"{count:,}", f"{count / total:.1%}"] for split, count in counts.items()]
    notes = "".join(f"\n- {note}" for note in dataset.notes)
    return "## Rows\n\n" + table(["split", "rows", "share"], rows) + ("\n" + notes if notes else "")


def _files(manifest: Mapping[str, Any]) -> str:
    provenance = manifest["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in provenance["versions"].items())
    return (
        "## Origin\n\n"
        f"- data: {provenance['data']['source']}, `{provenance['data']['digest']}`\n"
        f"{_origin(provenance.get('from'))}"
        f"- seed {provenance['seed']}, {provenance['created_at']}, commit {provenance['commit'] or 'unknown'}\n"
        f"- {versions}\n\n"
        "`model.onnx` is what is served; `config.toml` repeats the training; `checkpoint.pt` holds the network for "
        "torch (`model.artifact.weights.load_model`)."
    )


def _origin(origin: Mapping[str, Any] | None) -> str:
    if origin is None:
        return ""
    statistics = "those of the training rows" if origin["refit"] else "that version's"
    return f"- weights of version {origin['version']}, `{origin['digest']}`; statistics are {statistics}\n"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
