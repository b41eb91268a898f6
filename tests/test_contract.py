"""Train tiny -> export -> onnxruntime answers raw rows as torch does."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("torch", reason="trains a model: needs the trainer's packages")

import torch

from model.artifact.graph import with_mask_inputs
from model.network.inputs import inputs_of
from model.network.model import predict
from service.artifact.trim import keep_outputs

if TYPE_CHECKING:
    from tests.conftest import Artifact

ARCHITECTURES = ["mmoe", "omoe", "shared_bottom", "single_task"]
TASKS = ["price", "sold", "grade"]
Array = NDArray[Any]


class Graph:
    """Exported file under plain onnxruntime."""

    def __init__(self, content: bytes) -> None:
        self.session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        meta = self.session.get_modelmeta().custom_metadata_map
        self.manifest = json.loads(meta["mmoe.manifest"])

    def run(self, numeric: Array, categorical: Array, **masks: Array) -> dict[str, Array]:
        feeds = {"numeric": numeric, "categorical": categorical, **masks}
        return dict(zip(self.names, self.session.run(self.names, feeds), strict=True))


class MaskedGraph(Graph):
    """Exported file with both masks as inputs, which are ones where none are given."""

    def __init__(self, content: bytes, experts: int) -> None:
        super().__init__(with_mask_inputs(content))
        ones = np.ones(experts, np.float32)
        self.masks: dict[str, Array] = {"expert_mask": ones, "row_expert_mask": ones[None, None]}

    def run(self, numeric: Array, categorical: Array, **masks: Array) -> dict[str, Array]:
        return super().run(numeric, categorical, **self.masks | masks)


def graph_of(artifact: "Artifact") -> Graph:
    return Graph((artifact.path / "model.onnx").read_bytes())


@pytest.fixture(scope="session")
def graph(artifact: "Artifact") -> Graph:
    return graph_of(artifact)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("rows", [1, 2, 33, 120])
def test_raw_rows_are_answered_as_torch_does(
    train_and_export: Callable[[str], "Artifact"], architecture: str, rows: int
) -> None:
    artifact = train_and_export(architecture)
    test = artifact.dataset.test
    expected = predict(artifact.model, test, gates=True)
    got = graph_of(artifact).run(test.numeric[:rows], test.text[:rows])
    for name, answers in expected.tasks.items():
        np.testing.assert_allclose(got[name], answers[:rows], rtol=1e-5, atol=1e-5)
        assert got[name].dtype == np.float32
    if expected.gate_weights is None:
        assert set(got) == set(TASKS)
    else:
        assert set(got) == {*TASKS, "gate_weights", "gate_contributions"}
        np.testing.assert_allclose(got["gate_weights"], expected.gate_weights[:rows], atol=1e-5)
        np.testing.assert_allclose(got["gate_weights"].sum(axis=-1), 1.0, atol=1e-6)


def test_contributions_and_average_logits_add_up_to_the_gate_logits(artifact: "Artifact", graph: Graph) -> None:
    test = artifact.dataset.test
    got = graph.run(test.numeric, test.text)
    with torch.inference_mode():
        x = artifact.model.encoder(inputs_of(test))
        logits = torch.einsum("bd,ted->bte", x, artifact.model.network.gate_matrix()).numpy()  # type: ignore[operator]
    average = np.array(graph.manifest["gates"]["average_logits"])
    np.testing.assert_allclose(average + got["gate_contributions"].sum(axis=-1), logits, atol=1e-5)
    assert got["gate_contributions"].shape == (len(test), 3, 4, 4)


def test_contributions_of_a_feature_depend_on_that_feature_alone(artifact: "Artifact", graph: Graph) -> None:
    test = artifact.dataset.test
    numeric, text = test.numeric[:1], test.text[:1]
    before = graph.run(numeric, text)["gate_contributions"]
    changed = text.copy()
    changed[0, 1] = "Paris" if text[0, 1] != "Paris" else "Oslo"
    after = graph.run(numeric, changed)["gate_contributions"]
    np.testing.assert_array_equal(before[..., :3], after[..., :3])
    assert np.abs(before[..., 3] - after[..., 3]).max() > 0.0


def test_contributions_average_to_nothing_over_the_training_rows(artifact: "Artifact", graph: Graph) -> None:
    train = artifact.dataset.train
    np.testing.assert_allclose(graph.run(train.numeric, train.text)["gate_contributions"].mean(axis=0), 0.0, atol=1e-5)


def test_masked_expert_is_left_out_and_the_gates_renormalised(artifact: "Artifact", graph: Graph) -> None:
    test = artifact.dataset.test
    numeric, text = test.numeric[:6], test.text[:6]
    full = graph.run(numeric, text)["gate_weights"]
    graph = MaskedGraph((artifact.path / "model.onnx").read_bytes(), 4)
    mask = np.array([1, 0, 1, 1], dtype=np.float32)
    left = graph.run(numeric, text, expert_mask=mask)["gate_weights"]
    np.testing.assert_allclose(left, full * mask / (full * mask).sum(axis=-1, keepdims=True), atol=1e-6)
    row_mask = 1.0 - np.eye(4, dtype=np.float32)[np.arange(6) % 4]
    by_row = graph.run(numeric, text, row_expert_mask=row_mask[:, None, :])
    for row in range(6):
        alone = graph.run(numeric[row : row + 1], text[row : row + 1], expert_mask=row_mask[row])
        for name in (*TASKS, "gate_weights"):
            np.testing.assert_allclose(by_row[name][row], alone[name][0], rtol=1e-5, atol=1e-6)


def test_answer_of_a_row_does_not_depend_on_its_batch_mates(artifact: "Artifact", graph: Graph) -> None:
    test = artifact.dataset.test
    together = graph.run(test.numeric[:40], test.text[:40])
    for row in range(0, 40, 13):
        alone = graph.run(test.numeric[row : row + 1], test.text[row : row + 1])
        for name, value in together.items():
            np.testing.assert_allclose(value[row], alone[name][0], rtol=1e-5, atol=1e-6)


def test_missing_marker_of_the_table_means_the_same_as_no_value(artifact: "Artifact", graph: Graph) -> None:
    numeric = artifact.dataset.test.numeric[:1]
    empty = graph.run(numeric, np.array([["red", ""]], dtype=object))
    marker = graph.run(numeric, np.array([["red", "?"]], dtype=object))
    unknown = graph.run(numeric, np.array([["red", "Atlantis"]], dtype=object))
    for name in TASKS:
        np.testing.assert_array_equal(empty[name], marker[name])
    assert any(np.abs(empty[name] - unknown[name]).max() > 0.0 for name in TASKS)


@settings(max_examples=50, deadline=None)
@given(value=st.text(max_size=20))
def test_any_text_outside_the_vocabulary_is_unknown(graph: Graph, artifact: "Artifact", value: str) -> None:
    known = {"", "?", *artifact.dataset.features.categorical[0].vocabulary}
    if value in known or "\x00" in value:  # onnxruntime's strings end at a zero byte
        return
    numeric = artifact.dataset.test.numeric[:1]
    expected = graph.run(numeric, np.array([["never seen", "Oslo"]], dtype=object))
    got = graph.run(numeric, np.array([[value, "Oslo"]], dtype=object))
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32, allow_infinity=False), min_size=2, max_size=2))
def test_any_finite_or_missing_number_gives_a_finite_answer(graph: Graph, numbers: list[float]) -> None:
    got = graph.run(np.array([numbers], dtype=np.float32), np.array([["red", "Oslo"]], dtype=object))
    assert all(np.isfinite(value).all() for value in got.values())


def test_dropped_outputs_take_their_nodes_with_them(artifact: "Artifact", graph: Graph) -> None:
    import onnx

    content = (artifact.path / "model.onnx").read_bytes()
    wanted = {*TASKS, "gate_weights"}
    lean = keep_outputs(content, wanted)
    model = onnx.load_model_from_string(lean)
    onnx.checker.check_model(model, full_check=True)
    nodes = [node.name for node in onnx.load_model_from_string(content).graph.node]
    assert 3 <= len(nodes) - len(model.graph.node) <= 6  # subtract, widen, multiply, sum per feature, shape
    test = artifact.dataset.test
    full, got = graph.run(test.numeric, test.text), Graph(lean).run(test.numeric, test.text)
    assert set(got) == wanted
    for name in wanted:
        np.testing.assert_array_equal(got[name], full[name])


def test_golden_rows_are_reproduced(train_and_export: Callable[[str], "Artifact"]) -> None:
    for architecture in ARCHITECTURES:
        graph = graph_of(train_and_export(architecture))
        golden = graph.manifest["golden"]
        numeric = np.array([[np.nan if v is None else v for v in row] for row in golden["numeric"]], dtype=np.float32)
        got = graph.run(numeric, np.array(golden["categorical"], dtype=object))
        for name, expected in golden["outputs"].items():
            difference = np.abs(got[name] - np.array(expected)) / np.maximum(1.0, np.abs(expected))
            assert difference.max() <= golden["tolerance"]
