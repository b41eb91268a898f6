"""Answers of torch to raw rows, from a checkpoint: `python -m benchmarks.scale.answers`.

The network is built from the cache that the run has left and takes the checkpoint's best weights;
the file that was published is not read. Rows are of the test split, half of them with ids, tags
and categories that nobody has seen, and some with missing values.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.artifact.raw_rows import RawRows
from model.config.defaults import settle
from model.config.run import load_config
from model.data.table import read_dataset
from model.network.model import build_model, in_units
from model.schema import MISSING_TIME, Dataset, FeatureSchema

ROWS = 200


def asked_rows(dataset: Dataset) -> RawRows:
    """Take rows of the test split; make values of every second one unknown, and a few missing."""
    assert dataset.sample is not None
    raw = RawRows.take(dataset.sample, np.arange(min(ROWS, len(dataset.sample))))
    draw, texts = np.random.default_rng(0), len(dataset.features.texts)
    raw.make_missing(draw.random((len(raw), len(dataset.features.names))) < 0.05, dataset.features)
    half = (np.arange(len(raw)) % 2 == 1)[:, None]
    raw.make_unknown(half & (draw.random((len(raw), texts)) < 0.6), dataset.features)
    return raw


def instances(raw: RawRows, features: FeatureSchema) -> list[dict[str, Any]]:
    """Write rows as JSON has them, by the names of their features."""
    found: list[dict[str, Any]] = []
    separators = [getattr(feature, "separator", "") for feature in features.texts]
    for row in range(len(raw)):
        numbers = [None if np.isnan(value) else float(value) for value in raw.numeric[row]]
        texts = [_cell(text, separator) for text, separator in zip(raw.text[row], separators, strict=True)]
        times = [] if raw.datetimes is None else [None if t == MISSING_TIME else int(t) for t in raw.datetimes[row]]
        found.append(dict(zip(features.names, [*numbers, *texts, *times], strict=True)))
    return found


def _cell(text: str, separator: str) -> str | list[str] | None:
    if not text:
        return None
    return [value for value in text.split(separator) if value] if separator else text


def main() -> None:
    """Write rows and answers to a file."""
    parser = argparse.ArgumentParser("python -m benchmarks.scale.answers", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("work", type=Path, help="folder of the run, with its cache")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", nargs="*", default=[])
    options = parser.parse_args()
    given = load_config(options.config, options.set)
    dataset = read_dataset(given, options.work)
    config = settle(given, dataset).config
    model = build_model(dataset.features, dataset.tasks, config.model, config.train.seed)
    model.load_state_dict(torch.load(options.checkpoint, weights_only=True)["best_state"])
    raw = asked_rows(dataset)
    with torch.inference_mode():
        output = model.eval()(raw.inputs())
    names = [task.name for task in dataset.tasks]
    tasks = dict(zip(names, (found.tolist() for found in in_units(output.outputs, dataset.tasks)), strict=True))
    gates = dict(zip(names, (weights.tolist() for weights in output.gate_weights.unbind(1)), strict=True))
    answers = {"instances": instances(raw, dataset.features), "tasks": tasks, "gate_weights": gates}
    options.out.write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
