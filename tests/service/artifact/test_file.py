import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from service.artifact.file import golden_inputs, read_model
from service.errors import ArtifactError

HandModel = Callable[..., Path]


@pytest.mark.parametrize("kind", ["full", "plain", "wide"])
def test_a_sound_file_is_read(hand_model: HandModel, tmp_path: Path, kind: str) -> None:
    path = hand_model(tmp_path, kind=kind)
    model, manifest = read_model(path)
    assert model == path.read_bytes()
    assert manifest.has_gates == (kind != "plain")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("zero_bytes", "has 0 bytes"),
        ("truncated", "is truncated"),
        ("not_onnx", "is not an ONNX model"),
        ("no_manifest", "no metadata 'mmoe.manifest'"),
        ("unknown_schema", "has schema_version 99"),
        ("external_data", "weights in another file"),
    ],
)
def test_a_broken_file_is_refused_with_the_reason(
    hand_model: HandModel, tmp_path: Path, fault: str, reason: str
) -> None:
    with pytest.raises(ArtifactError, match=reason):
        read_model(hand_model(tmp_path, fault=fault))


def test_a_file_that_is_not_there_or_too_large_is_refused(hand_model: HandModel, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="No such file"):
        read_model(tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match="expected 1 to 100"):
        read_model(hand_model(tmp_path), max_bytes=100)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_model(tmp_path)


@pytest.mark.parametrize("level", ["hand", "hand/1", "hand/1/model.onnx"])
def test_a_file_behind_a_link_is_read_only_inside_of_the_directory(
    hand_model: HandModel, tmp_path: Path, level: str
) -> None:
    path = hand_model(tmp_path / "models")
    place = tmp_path / "models" / level
    place.rename(place.parent / ".moved")
    place.symlink_to(place.parent / ".moved")
    assert read_model(path)[1].name == "hand"
    (place.parent / ".moved").rename(tmp_path / "elsewhere")
    place.unlink()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="outside of the directory of models"):
        read_model(path)


def test_a_fifo_in_the_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "hand" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "hand" / "1" / "model.onnx")
    with pytest.raises(ArtifactError, match="expected a regular file"):
        read_model(tmp_path / "hand" / "1" / "model.onnx")


def without_a_numeric_feature(manifest: dict[str, Any]) -> None:
    del manifest["features"][0]
    for row in manifest["golden"]["numeric"]:
        del row[0]


def without_a_task(manifest: dict[str, Any]) -> None:
    del manifest["tasks"][2]
    del manifest["gates"]["tasks"]["grade"], manifest["golden"]["outputs"]["grade"]
    manifest["gates"]["average_logits"].pop()
    manifest["gates"]["similarity"] = [[1.0, 0.0], [0.0, 1.0]]
    for row in manifest["golden"]["outputs"]["gate_weights"]:
        row.pop()


def with_a_regression_for_classes(manifest: dict[str, Any]) -> None:
    manifest["tasks"][2] = {"name": "grade", "kind": "regression"}
    manifest["golden"]["outputs"]["grade"] = [0.0] * 4


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (without_a_numeric_feature, "input 'numeric' has shape"),
        (without_a_task, "outputs are .*its manifest promises"),
        (with_a_regression_for_classes, "output 'grade' has shape"),
    ],
)
def test_a_graph_that_does_not_fit_its_manifest_is_refused(
    hand_model: HandModel, tmp_path: Path, edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    with pytest.raises(ArtifactError, match=reason):
        read_model(hand_model(tmp_path, edit=edit))


def rewrite(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    proto = onnx.load(path)
    change(proto)
    onnx.save(proto, path)
    return path


def fix_the_batch(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


def use_doubles(proto: onnx.ModelProto) -> None:
    proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE


def drop_the_mask(proto: onnx.ModelProto) -> None:
    (mask,) = (t for t in proto.graph.initializer if t.name == "expert_mask")
    proto.graph.initializer.remove(mask)


def widen_the_mask(proto: onnx.ModelProto) -> None:
    (mask,) = (t for t in proto.graph.initializer if t.name == "expert_mask")
    mask.CopyFrom(onnx.numpy_helper.from_array(np.ones(5, np.float32), mask.name))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (fix_the_batch, r"input 'numeric' has shape \[2, 3\]; its manifest promises \['rows', 3\]"),
        (use_doubles, "output 'price' is of type double; expected float"),
        (drop_the_mask, "no mask 'expert_mask'; its manifest promises gates"),
        (widen_the_mask, r"mask 'expert_mask' is of type float and shape \[5\]; .* promises float and \[4\]"),
    ],
)
def test_a_graph_of_another_form_is_refused(
    hand_model: HandModel, tmp_path: Path, change: Callable[[onnx.ModelProto], None], reason: str
) -> None:
    with pytest.raises(ArtifactError, match=reason):
        read_model(rewrite(hand_model(tmp_path), change))


def test_a_required_mask_of_a_first_file_is_refused(hand_model: HandModel, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"inputs are .*'expert_mask'"):
        read_model(rewrite(hand_model(tmp_path, schema=1), drop_the_mask))


def test_golden_rows_become_inputs(hand_model: HandModel, tmp_path: Path) -> None:
    _, manifest = read_model(hand_model(tmp_path))
    inputs = golden_inputs(manifest)
    assert inputs["numeric"].dtype == np.float32
    assert inputs["numeric"].shape == (4, 3)
    assert inputs["categorical"].shape == (4, 2)
    assert manifest.golden.numeric is not None
    missing = [[value is None for value in row] for row in manifest.golden.numeric]
    assert np.isnan(inputs["numeric"]).tolist() == missing
