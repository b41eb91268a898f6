from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.artifact import trim
from service.errors import ArtifactError

MASKS = frozenset({"expert_mask", "row_expert_mask"})


@pytest.fixture(scope="module", params=[1, 2])
def model(
    hand_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> bytes:
    """Give a file whose masks are optional inputs, then one whose masks are initializers alone."""
    return hand_model(tmp_path_factory.mktemp("models"), schema=request.param).read_bytes()


def test_kept_outputs_bring_only_the_nodes_they_need(model: bytes) -> None:
    before = onnx.load_from_string(model)
    after = onnx.load_from_string(trim.keep_outputs(model, {"gate_weights"}))
    assert [o.name for o in after.graph.output] == ["gate_weights"]
    assert [i.name for i in after.graph.input] == [i.name for i in before.graph.input]
    assert "Relu" not in [n.op_type for n in after.graph.node]
    assert after.graph.node[-1].output == ["gate_weights"]
    everything = {o.name for o in before.graph.output}
    assert onnx.load_from_string(trim.keep_outputs(model, everything)) == before


def test_masks_that_are_overridden_become_optional_inputs(model: bytes) -> None:
    shapes = {"row_expert_mask": ("mask_rows", 1, 4)}
    trimmed = trim.keep_outputs(model, {"gate_weights"}, shapes)
    onnx.checker.check_model(trimmed, full_check=True)
    (mask,) = [i for i in onnx.load_from_string(trimmed).graph.input if i.name == "row_expert_mask"]
    assert mask == helper.make_tensor_value_info("row_expert_mask", TensorProto.FLOAT, ["mask_rows", 1, 4])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(trimmed, options)
    feed = {"numeric": np.zeros((2, 3), np.float32), "categorical": np.array([["red", "Oslo"]] * 2, object)}
    by_row = np.array([[[1, 1, 0, 1]], [[0, 1, 1, 1]]], np.float32)
    (weights,) = session.run(["gate_weights"], {**feed, "row_expert_mask": by_row})
    assert ((weights == 0) == (np.broadcast_to(by_row, weights.shape) == 0)).all()
    (usual,) = session.run(["gate_weights"], feed)
    assert (usual > 0).all()


def test_an_output_that_is_not_there_is_named(model: bytes) -> None:
    with pytest.raises(ArtifactError, match="no output nonsense"):
        trim.keep_outputs(model, {"gate_weights", "nonsense"})


def test_complete_rows_need_no_choice_and_no_optional_inputs(model: bytes) -> None:
    before = onnx.load_from_string(model)
    after = onnx.load_from_string(trim.for_complete_rows(model, "numeric", MASKS))
    onnx.checker.check_model(after)
    assert [i.name for i in after.graph.input] == ["numeric", "categorical"]
    assert after.graph.initializer == before.graph.initializer
    ones = next(list(n.output) for n in before.graph.node if n.op_type == "Mul" and set(n.input) <= MASKS)
    zeros = next(list(n.output) for n in before.graph.node if n.op_type == "Log" and list(n.input) == ones)
    passed_on = {}
    for was, is_now in zip(before.graph.node, after.graph.node, strict=True):
        if was != is_now:
            assert (is_now.op_type, is_now.output) == ("Identity", was.output)
            passed_on[was.op_type] = list(was.input), list(is_now.input)
    assert passed_on.keys() == {"Where", "Add"}
    assert passed_on["Where"][1] == ["numeric"]
    added, kept = passed_on["Add"]
    assert added == kept + zeros


def test_the_trimmed_graph_answers_complete_rows_alike(model: bytes) -> None:
    numeric = np.random.default_rng(0).normal(10, 3, (5, 3)).astype(np.float32)
    feed = {"numeric": numeric, "categorical": np.array([["red", "Oslo"]] * 5, object)}
    whole, trimmed = (
        onnxruntime.InferenceSession(content).run(None, feed)
        for content in (model, trim.for_complete_rows(model, "numeric", MASKS))
    )
    for a, b in zip(whole, trimmed, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("flag", "choice"),
    [
        (("IsNaN", ["other"]), ["flag", "fill", "numeric"]),
        (("IsInf", ["numeric"]), ["flag", "fill", "numeric"]),
        (("IsNaN", ["numeric"]), ["flag", "numeric", "fill"]),
        (("IsNaN", ["numeric"]), ["flag", "fill", "other"]),
    ],
)
def test_other_choices_stay(flag: tuple[str, list[str]], choice: list[str]) -> None:
    nodes = [helper.make_node(flag[0], flag[1], ["flag"]), helper.make_node("Where", choice, ["out"])]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]) for name in ("numeric", "other")]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["rows"])]
    fill = numpy_helper.from_array(np.zeros(1, np.float32), "fill")
    content = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, [fill])).SerializeToString()
    assert trim.for_complete_rows(content, "numeric", MASKS) == content
