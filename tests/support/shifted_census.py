"""Census with a segment that came late: served, explained by drift, judged by labels."""

import csv
import gzip
import json
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from batch.quality.evaluation import Evaluation, evaluate
from batch.quality.judge import Rules
from batch.quality.models import Versions
from model.config.run import load_config
from scripts.train import main
from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from tables.config import TableData
from tests.support.metrics import awaited
from tests.support.server import Service, running

MODEL = "census_income"
SEGMENT = ("major_occupation", "Executive admin and managerial")
USUAL, SHIFTED, AT_ONCE = 600, 2400, 100
CONFIG = Path(__file__).parents[2] / "scripts/configs/census_income.toml"
Lines = list[dict[str, str]]


def ask(url: str, body: Any = None) -> Any:
    """Ask a service for JSON."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as answer:
        return json.load(answer)


def trained(data: Path, models: Path, epochs: int, versions: int = 1) -> Lines:
    """Train on the census table, version after version; return the file's rows as text."""
    for seed in range(versions):
        options = ["--set", f"train.epochs={epochs}", "--set", f"train.seed={seed}"]
        assert main([str(CONFIG), "--models", str(models), *options]) == 0
    config = load_config(CONFIG)
    assert isinstance(config.data, TableData)
    with gzip.open(data / config.data.paths[0], "rt", encoding="utf-8") as file:
        return [dict(zip(config.data.columns, line, strict=True)) for line in csv.reader(file, skipinitialspace=True)]


def with_late_segment(lines: Lines, seed: int = 0) -> Lines:
    """Draw usual rows, then rows of the segment alone."""
    random = np.random.default_rng(seed)
    theirs = [line for line in lines if line[SEGMENT[0]] == SEGMENT[1]]
    drawn = (random.choice(len(some), size, replace=False) for some, size in ((lines, USUAL), (theirs, SHIFTED)))
    return [some[place] for some, places in zip((lines, theirs), drawn, strict=True) for place in places]


def send(url: str, manifest: Manifest, lines: Lines, first: int = 0) -> None:
    """Send rows, each with a key."""
    numbers, names = {feature.name for feature in manifest.numeric}, manifest.feature_names
    for start in range(0, len(lines), AT_ONCE):
        part = [{n: float(r[n]) if n in numbers else r[n] for n in names} for r in lines[start : start + AT_ONCE]]
        keys = [f"person-{first + start + place}" for place in range(len(part))]
        ask(f"{url}/v1/models/{MODEL}:predict", {"instances": part, "keys": keys})


def report(url: str, manifest: Manifest, lines: Lines, turned: Callable[[int], bool]) -> None:
    """Report the labels of income; where the world has changed, the other one."""
    label = next(task.label for task in manifest.tasks if task.name == "income")
    assert label is not None
    assert label.values is not None
    other = {text: next(t for t, c in label.values.items() if c != label.values[text]) for text in label.values}
    came = [line[label.column] for line in lines]
    came = [other[text] if turned(place) else text for place, text in enumerate(came)]
    for start in range(0, len(came), 1000):
        keys = [f"person-{place}" for place in range(start, min(start + 1000, len(came)))]
        ask(f"{url}/v1/models/{MODEL}/labels", {"key": keys, "tasks": {"income": came[start : start + 1000]}})


@dataclass(frozen=True)
class Story:
    """Service over which the segment has come."""

    service: Service
    manifest: Manifest
    lines: Lines

    @property
    def path(self) -> str:
        return f"{self.service.url}/v1/models/{MODEL}"


@contextmanager
def story(home: Path, models: Path, lines: Sequence[dict[str, str]], **settings: str) -> Iterator[Story]:
    """Serve the newest version, send it all rows and their labels, and judge it by them."""
    logs = {"prediction_log": str(home / "predictions"), "label_log": str(home / "labels")}
    told = {"prediction_log_features": "true", "quality": str(home / "quality"), "segments": f"{MODEL}={SEGMENT[0]}"}
    newest = max((models / MODEL).iterdir(), key=lambda path: int(path.name) if path.name.isdigit() else 0)
    _, manifest = read_model(newest / "model.onnx")
    rows = list(lines)
    with running(models, **{**logs, **told, **settings}) as service:
        awaited(lambda: ask(f"{service.url}/v1/models")["models"][0]["ready"], True)
        send(service.url, manifest, rows)
        awaited(lambda: ask(f"{service.url}/v1/models/{MODEL}/gates?window=5m")["rows"], len(rows))
        report(service.url, manifest, rows, lambda place: place >= USUAL)
        kept = [home / "predictions"], [home / "labels"]
        evaluate(
            Evaluation(Versions(models / MODEL), *kept, home / "quality", (SEGMENT[0], "sex"), Rules(by="hour")), print
        )
        yield Story(service, manifest, rows)
