from pathlib import Path

import onnx
import onnxruntime
import pytest

from benchmarks.artifacts import Artifact, ArtifactMissing, find_or_train


def test_the_highest_version_is_served_alone(artifact: Artifact) -> None:
    assert [str(path.relative_to(artifact.home)) for path in artifact.home.rglob("*.onnx")] == ["sum/10/model.onnx"]


def test_the_plain_copy_lacks_only_the_contributions(artifact: Artifact) -> None:
    outputs = onnxruntime.InferenceSession(artifact.plain).get_outputs()
    assert [tensor.name for tensor in outputs] == ["total"]


def test_nodes_that_only_the_contributions_needed_are_gone(artifact: Artifact) -> None:
    assert [node.op_type for node in onnx.load(artifact.plain).graph.node] == ["ReduceSum"]


def test_a_model_that_cannot_be_trained_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match=r"no_such_model\.toml"):
        find_or_train("no_such_model", tmp_path / "models", tmp_path)
