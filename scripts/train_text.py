"""Text of `scripts.train` for its user: the run before it starts, metrics as tables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from model.config.run import Config
from model.schema import Dataset, FeatureSchema, Task

if TYPE_CHECKING:  # these load torch
    from model.artifact.comparison import Comparison
    from model.artifact.judgement import Judgement


def describe(config: Config, dataset: Dataset) -> str:
    """Describe in a few lines which model is about to be trained on which data."""
    tasks = ", ".join(f"{task.name} ({task.kind})" for task in dataset.tasks)
    head = f"{config.name}: {config.model.architecture} on {dataset.source}; tasks: {tasks}"
    return "\n".join([head, _kinds(dataset.features), *dataset.notes])


def _kinds(features: FeatureSchema) -> str:
    """Count the features of each kind, those of newer kinds where there are any."""
    more = {"hashed": features.hashed, "bag": features.bags, "datetime": features.datetimes}
    counts = [f"{len(features.numeric)} numeric", f"{len(features.categorical)} categorical"]
    counts += [f"{len(held)} {kind}" for kind, held in more.items() if held]
    return f"{', '.join(counts[:-1])} and {counts[-1]} features"


def tabulate(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Lay out a line per task and a column per metric that any task has."""
    names = list(dict.fromkeys(name for found in metrics.values() for name in found))
    lines = [["task", *names]]
    lines += [[task, *(f"{found[n]:.4f}" if n in found else "-" for n in names)] for task, found in metrics.items()]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names) + 1)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def beside(comparison: "Comparison") -> str:
    """Lay out the metrics of the published version and of this one, and their differences."""
    lines = {}
    for name, found in comparison.metrics.items():
        lines[name] = {metric: now for metric, (_, now) in found.items()}
        lines[f"  {name}: version {comparison.version}"] = {metric: before for metric, (before, _) in found.items()}
        lines[f"  {name}: difference"] = {metric: now - before for metric, (before, now) in found.items()}
    cautions = [f"\n{comparison.caution}"] if comparison.caution else []
    return "\n".join([f"On the same {comparison.rows:,} test rows:", tabulate(lines), *cautions])


def test_metrics(judgement: "Judgement", tasks: Sequence[Task]) -> str:
    """Lay out the metrics of each output, those of its best constant answer below it."""
    lines = {}
    for task in tasks:
        for name in filter(None, (task.name, task.conditional)):
            lines[name] = judgement.metrics[name]
            if baseline := judgement.constant.get(name):
                lines[f"  {name}: {baseline.describe(task)}"] = baseline.metrics
    return tabulate(lines)
