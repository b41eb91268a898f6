"""Hashed ids, bags and moments: table -> reader -> file -> plain onnxruntime, by the document."""

import csv
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="makes a model: needs the trainer's packages")

from model.artifact.export import build_artifact
from model.artifact.judgement import measure
from model.artifact.serving_module import ServingModule, serve
from model.config.run import Config
from model.data.table import read_dataset
from model.network.inputs import inputs_of
from model.network.model import build_model
from model.schema import Bags, Dataset, Rows
from service.artifact import detach
from service.artifact.file import read_model
from service.inference.features import Batch
from service.inference.lean_model import LeanModel
from service.inference.predictor import Predictor

FEATURES = {
    "min_count": 2,
    "numeric": ["amount"],
    "categorical": ["city"],
    "hashed": {"user": 100, "item": 64},
    "bag": {"tags": {"separator": "|"}, "seen": {"separator": ";", "pooling": "sum", "buckets": 64}},
    "datetime": {"clicked_at": ["hour", "weekday", "day_of_year", "days"]},
    "share": [["item", "seen"]],
}
TASKS = [
    {"name": "price", "column": "price", "kind": "regression"},
    {"name": "click", "column": "click", "kind": "binary", "positive": "yes"},
]


@dataclass(frozen=True)
class Made:
    """Untrained model and its file, read from a table."""

    path: Path
    lines: list[dict[str, str]]
    dataset: Dataset
    config: Config
    manifest: dict[str, Any]
    module: ServingModule


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("kinds")
    random = np.random.default_rng(0)
    lines = []
    for row in range(200):
        at = datetime.fromtimestamp(int(random.integers(-(10**9), 2 * 10**9)), UTC)
        line = {
            "amount": f"{random.normal(5, 2):.2f}",
            "city": str(random.choice(["Oslo", "São Paulo", "?"])),
            "user": str(random.choice(["", "?", "é" * 30, *(f"u-{n}" for n in range(40))])),
            "item": f"i-{random.integers(30)}",
            "tags": "|".join(random.choice(["new", "São Paulo", " blue ", "", "?", f"rare {row}"], random.integers(4))),
            "seen": ";".join(f"i-{n}" for n in random.integers(30, size=random.integers(4))),
            "clicked_at": "" if row % 9 == 0 else f"{at:%Y-%m-%dT%H:%M:%S}Z",
            "price": f"{random.normal(100, 9):.3f}",
            "click": str(random.choice(["yes", "no"])),
            "weight": str(random.integers(1, 4)),
        }
        lines.append({**line, "clicked_at": line["clicked_at"].replace(" ", "0")})
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(lines[0]))
        table.writeheader()
        table.writerows(lines)
    data = {"kind": "table", "path": str(folder / "table.csv"), "missing": ["?"], "weight": "weight"}
    model_config = {"experts": 3, "embedding_dim": 4}
    config = Config.model_validate(
        {"name": "kinds", "data": data, "features": FEATURES, "tasks": TASKS, "model": model_config}
    )
    dataset = read_dataset(config)
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    content, manifest = build_artifact(model, dataset, config, measure(model, dataset))
    (folder / "model.onnx").write_bytes(content)
    return Made(folder / "model.onnx", lines, dataset, config, manifest, serve(model, dataset))


def sent(line: dict[str, str]) -> dict[str, Any]:
    """Write a line of the table as a row of the document's example."""
    row: dict[str, Any] = {"amount": float(line["amount"]), **{name: line[name] for name in ("city", "user", "item")}}
    row["tags"], row["seen"] = line["tags"].split("|"), line["seen"].split(";")
    row["clicked_at"] = int(datetime.fromisoformat(line["clicked_at"]).timestamp()) if line["clicked_at"] else None
    return row


def test_rows_of_the_table_are_answered_by_the_document_as_torch_answers_what_was_read(made: Made) -> None:
    text = (Path(__file__).parent.parent / "docs" / "artifact.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]
    numbers = made.dataset.row_numbers[2]
    expected = made.module.answer(inputs_of(made.dataset.test))
    assert len(numbers) >= 15
    for place, number in enumerate(numbers):
        (given,) = re.findall(r"(?m)^row = .*$", example)
        code = example.replace(given, f"row = {sent(made.lines[number - 1])!r}")
        names: dict[str, Any] = {"path": str(made.path), "print": lambda *_: None}
        exec(code, names)
        for name in ("price", "click", "gate_weights"):
            np.testing.assert_allclose(names["answer"][name][0], expected[name][place], rtol=1e-5, atol=1e-5)


def mapped(rows: Rows, folder: Path) -> Rows:
    """Map the arrays of a split from files that cannot be written; its text is not there."""
    folder.mkdir()

    def through(name: str, array: Any) -> Any:
        np.save(folder / f"{name}.npy", array)
        return np.load(folder / f"{name}.npy", mmap_mode="r")

    fields = {name: through(name, getattr(rows, name)) for name in ("numeric", "labels", "datetimes", "weights")}
    bags = tuple(
        Bags(through(f"values_{i}", bag.values.astype(np.int32)), through(f"offsets_{i}", bag.offsets))
        for i, bag in enumerate(rows.bags)
    )
    return replace(rows, **fields, codes=through("codes", rows.codes.astype(np.int32)), bags=bags, text=rows.text[:0])


def test_rows_mapped_from_files_make_the_same_file(made: Made, tmp_path: Path) -> None:
    dataset, model = made.dataset, made.module.model
    train, validation, test = (
        mapped(rows, tmp_path / str(place))
        for place, rows in enumerate((dataset.train, dataset.validation, dataset.test))
    )
    streamed = replace(dataset, train=train, validation=validation, test=test, sample=dataset.test)
    _, manifest = build_artifact(model, streamed, made.config, measure(model, streamed))
    moment = {"created_at": ""}
    for one in (manifest, made.manifest):
        one["provenance"] |= moment
    assert manifest == made.manifest


def test_manifest_has_an_entry_of_each_kind(made: Made) -> None:
    entries = {entry["name"]: entry for entry in made.manifest["features"]}
    kinds = ["numeric", "categorical", "hashed", "hashed", "bag", "bag", "datetime"]
    assert [entry["kind"] for entry in made.manifest["features"]] == kinds
    assert list(entries) == list(made.dataset.features.names)
    assert {"vocabulary", "buckets"} & entries["tags"].keys() == {"vocabulary"}
    assert {"vocabulary", "buckets"} & entries["seen"].keys() == {"buckets"}
    assert entries["seen"]["table"] == "item"
    assert "table" not in entries["item"]
    assert entries["user"]["collision_share"] > 0.0
    assert entries["clicked_at"]["missing_value"] == -(2**63)
    golden = made.manifest["golden"]
    assert [len(golden[name][0]) for name in ("numeric", "categorical", "datetime")] == [1, 5, 1]
    assert golden["datetime"][4] == [None]


def test_weighted_rows_count_in_the_gate_baseline(made: Made) -> None:
    weights = made.dataset.validation.weights
    assert weights is not None
    assert made.manifest["gates"]["rows"] == weights.sum() > len(made.dataset.validation)


def test_contributions_average_to_nothing_over_the_weighted_training_rows(made: Made) -> None:
    train = made.dataset.train
    assert train.weights is not None
    shares = made.module.answer(inputs_of(train))["gate_contributions"]
    average = np.tensordot(train.weights.astype(np.float64), shares, 1) / train.weights.sum()
    np.testing.assert_allclose(average, 0.0, atol=1e-5)


def test_the_service_takes_large_parts_out_of_the_file_and_answers_alike(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, least in {"LARGE_TABLE_BYTES": 1024, "MANY_KEYS": 2, "_KEY_BYTES": 0}.items():
        monkeypatch.setattr(detach, name, least)
    lean = LeanModel.of(made.path.read_bytes(), read_model(made.path)[1])
    assert [table.shape[1] for table in lean.tables.values()] == [4], "one table for all features"
    looked_up = [(lookup.columns, lookup.prefixes) for lookup in lean.lookups]
    assert looked_up[0] == ((0,), ("0:",)), "categories"
    assert (None, None) in looked_up, "values of a bag"
    Predictor.load(made.path, save=tmp_path)
    test = made.dataset.test
    batch = Batch(test.numeric, test.text, len(test.text), datetime=test.datetimes)
    answer, expected = Predictor.load_saved(tmp_path, "kinds").contributions(batch), made.module.answer(inputs_of(test))
    assert answer.gate_weights is not None
    assert answer.contributions is not None
    for came, name in (
        (answer.tasks["price"], "price"),
        (answer.gate_weights, "gate_weights"),
        (answer.contributions, "gate_contributions"),
    ):
        np.testing.assert_allclose(came, expected[name], rtol=1e-5, atol=1e-4)
