import json
import logging
import tomllib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import onnx
import pytest
import torch

from model.artifact.export import export
from model.artifact.weights import load_model
from model.config.run import load_config
from model.errors import ExportError
from model.network.model import predict

if TYPE_CHECKING:
    from tests.conftest import Artifact


def everything_below(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*"))


def test_version_holds_the_model_and_its_papers(artifact: "Artifact") -> None:
    assert artifact.path.parent.name == "tiny_mmoe"
    assert artifact.path.name == "1"
    assert everything_below(artifact.path) == [
        "checkpoint.pt", "config.toml", "gates.png", "losses.png", "model.onnx", "report.md",
        "task-grade.png", "task-price.png", "task-sold.png",
    ]  # fmt: skip


def test_config_repeats_the_run(artifact: "Artifact") -> None:
    assert load_config(artifact.path / "config.toml") == artifact.config


def test_checkpoint_rebuilds_the_network(artifact: "Artifact") -> None:
    model, features = load_model(artifact.path / "checkpoint.pt")
    assert features == artifact.dataset.features
    assert model.tasks == artifact.dataset.tasks
    got, expected = predict(model, artifact.dataset.test), predict(artifact.model, artifact.dataset.test)
    for name, value in expected.tasks.items():
        np.testing.assert_array_equal(got.tasks[name], value)


def test_manifest_describes_the_model(artifact: "Artifact") -> None:
    model = onnx.load_model(artifact.path / "model.onnx")
    (entry,) = model.metadata_props
    assert entry.key == "mmoe.manifest"
    manifest = json.loads(entry.value, parse_constant=lambda token: pytest.fail(f"{token} in the manifest"))
    assert [f["name"] for f in manifest["features"]] == ["age", "weight", "colour", "city"]
    assert manifest["features"][0]["missing_share"] > 0.0
    assert "?" not in manifest["features"][3]["vocabulary"]
    assert [(t["name"], t["kind"], len(t["classes"])) for t in manifest["tasks"]] == [
        ("price", "regression", 0), ("sold", "binary", 2), ("grade", "multiclass", 3),
    ]  # fmt: skip
    assert all(task["metrics"] for task in manifest["tasks"])
    for task in manifest["tasks"]:
        assert set(task["baseline"]["metrics"]) == set(task["metrics"])
    origin = manifest["provenance"]
    assert tomllib.loads(origin["config"])["name"] == "tiny_mmoe"
    assert sum(origin["data"]["rows"].values()) == 600
    assert origin["data"]["digest"].startswith("sha256:")
    assert {"torch", "onnx", "python"} <= set(origin["versions"])
    assert origin["parameters"] == sum(p.numel() for p in artifact.model.parameters())


def test_baseline_is_of_the_validation_rows(artifact: "Artifact") -> None:
    weights = predict(artifact.model, artifact.dataset.validation, gates=True).gate_weights
    assert weights is not None
    (entry,) = onnx.load_model(artifact.path / "model.onnx").metadata_props
    gates = json.loads(entry.value)["gates"]
    assert gates["rows"] == len(artifact.dataset.validation)
    for index, name in enumerate(["price", "sold", "grade"]):
        np.testing.assert_allclose(gates["tasks"][name]["utilisation"], weights[:, index].mean(axis=0), atol=1e-6)


def test_model_without_gates_has_no_baseline_and_no_heatmap(gateless_artifact: "Artifact") -> None:
    (entry,) = onnx.load_model(gateless_artifact.path / "model.onnx").metadata_props
    manifest = json.loads(entry.value)
    assert manifest["gates"] is None
    assert manifest["experts"] == 0
    assert set(manifest["golden"]["outputs"]) == {"price", "sold", "grade"}
    assert "gates.png" not in everything_below(gateless_artifact.path)
    assert "gates.png" not in (gateless_artifact.path / "report.md").read_text()


def again(artifact: "Artifact", models: Path, **changes: object) -> Path:
    arguments = {
        "model": artifact.model,
        "dataset": artifact.dataset,
        "config": artifact.config,
        "history": artifact.history,
        **changes,
    }
    return export(**arguments, models_dir=models)  # type: ignore[arg-type]


def test_second_export_is_the_next_version_says_nothing_and_changes_nothing(
    artifact: "Artifact", tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    style, level = dict(mpl.rcParams), logging.getLogger("torch.onnx").level
    state = {name: value.clone() for name, value in artifact.model.state_dict().items()}
    artifact.model.train()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        paths = [again(artifact, tmp_path / "models") for _ in range(2)]
    assert [path.name for path in paths] == ["1", "2"]
    assert artifact.model.training
    artifact.model.eval()
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")
    assert dict(mpl.rcParams) == style
    assert logging.getLogger("torch.onnx").level == level
    for name, value in artifact.model.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0.0, atol=0.0)


def broken_network(artifact: "Artifact") -> dict[str, object]:
    model, _ = load_model(artifact.path / "checkpoint.pt")
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    return {"model": model}


def broken_lookup(artifact: "Artifact") -> dict[str, object]:
    """Codes that are not those of the texts: drift between training and serving."""
    features = artifact.dataset.features
    turned = tuple(replace(f, vocabulary=f.vocabulary[::-1]) for f in features.categorical)
    return {"dataset": replace(artifact.dataset, features=replace(features, categorical=turned))}


def broken_history(artifact: "Artifact") -> dict[str, object]:
    """A history without epochs: no picture of losses, drawn after model.onnx, can be made."""
    record = replace(artifact.history.epochs[-1], task_losses={})
    return {"history": replace(artifact.history, epochs=[artifact.history.epochs[0], record])}


@pytest.mark.parametrize(
    ("breakage", "error"), [(broken_network, ExportError), (broken_lookup, ExportError), (broken_history, KeyError)]
)
def test_failure_leaves_no_trace(
    artifact: "Artifact",
    tmp_path: Path,
    breakage: Callable[["Artifact"], dict[str, object]],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        again(artifact, tmp_path / "models", **breakage(artifact))
    assert everything_below(tmp_path) == []


def test_models_directory_that_cannot_be_made_is_said_in_one_sentence(artifact: "Artifact", tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(ExportError, match=r"cannot be written below .*: .*; nothing was published"):
        again(artifact, tmp_path / "models")


def test_a_full_disk_ends_with_a_sentence_and_no_version(
    artifact: "Artifact", tmp_path: Path, little_room: Callable[[int], AbstractContextManager[None]]
) -> None:
    sizes = [(artifact.path / name).stat().st_size for name in ("model.onnx", "checkpoint.pt", "config.toml")]
    for size in (sizes[2] // 2, sizes[0] - 1, sizes[1] - 1):
        with little_room(size), pytest.raises(ExportError, match=r"cannot be written below .*; nothing was published"):
            again(artifact, tmp_path / "models")
        assert everything_below(tmp_path) == []
