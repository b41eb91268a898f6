import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper

from model.config import ModelConfig
from model.graph import build_graph, lookup_table
from model.predict import build_model
from model.schema import CategoricalFeature, Dataset, FeatureSchema, NumericFeature, Rows, Task
from model.serving_module import serve


def graph_of(dataset: Dataset, **options: object) -> onnx.ModelProto:
    config = ModelConfig.model_validate({"experts": 3, **options})
    return build_graph(serve(build_model(dataset.features, dataset.tasks, config, seed=0), dataset), ("?",))


def dataset_of(features: FeatureSchema, tasks: tuple[Task, ...]) -> Dataset:
    n, c, rows = len(features.numeric), len(features.categorical), 8
    random = np.random.default_rng(0)
    split = Rows(
        random.normal(size=(rows, n)).astype(np.float32),
        np.full((rows, c), 2),
        np.zeros((rows, len(tasks)), dtype=np.float32),
        np.full((rows, c), "a", dtype=object),
    )
    return Dataset(features, tasks, split, split, split, "made", "sha256:0")


@pytest.fixture(scope="module")
def many_categories() -> onnx.ModelProto:
    """Give a graph with 25 columns that all hold the same values, and no numbers."""
    columns = tuple(CategoricalFeature(f"c{i}", ("a", "b", "1:a")) for i in range(25))
    return graph_of(dataset_of(FeatureSchema(categorical=columns), (Task("y", "regression", std=2.0),)))


@pytest.fixture(scope="module")
def numbers_alone() -> onnx.ModelProto:
    features = FeatureSchema(tuple(NumericFeature(f"x_{i}", 0.0, 1.0, -1.0, 1.0) for i in range(30)))
    return graph_of(dataset_of(features, (Task("a", "regression"), Task("b", "regression"))), architecture="omoe")


def shapes(values: object) -> dict[str, list[object]]:
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in values  # type: ignore[attr-defined]
    }


def test_inputs_and_outputs_are_those_of_the_contract(dataset: Dataset) -> None:
    graph = graph_of(dataset).graph
    assert shapes(graph.input) == {
        "numeric": ["rows", 2],
        "categorical": ["rows", 2],
        "expert_mask": [3],
        "row_expert_mask": ["mask_rows", 1, 3],
    }
    assert shapes(graph.output) == {
        "price": ["rows"],
        "sold": ["rows"],
        "grade": ["rows", 3],
        "gate_weights": ["rows", 3, 3],
        "gate_contributions": ["rows", 3, 3, 4],
    }
    types = {value.name: value.type.tensor_type.elem_type for value in graph.input}
    assert types["categorical"] == TensorProto.STRING
    defaults = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    np.testing.assert_array_equal(defaults["expert_mask"], np.ones(3))
    np.testing.assert_array_equal(defaults["row_expert_mask"], np.ones((1, 1, 3)))


def test_kind_of_feature_that_is_not_there_has_no_input(
    many_categories: onnx.ModelProto, numbers_alone: onnx.ModelProto
) -> None:
    masks = ["expert_mask", "row_expert_mask"]
    assert list(shapes(many_categories.graph.input)) == ["categorical", *masks]
    assert list(shapes(numbers_alone.graph.input)) == ["numeric", *masks]
    assert [opset.domain for opset in numbers_alone.opset_import] == [""]
    assert {opset.domain: opset.version for opset in many_categories.opset_import} == {"": 20, "ai.onnx.ml": 4}
    assert many_categories.ir_version == 10


def test_number_of_nodes_does_not_grow_with_the_number_of_columns(
    many_categories: onnx.ModelProto, numbers_alone: onnx.ModelProto
) -> None:
    counts = Counter(node.op_type for node in many_categories.graph.node)
    assert counts["StringConcat"] == counts["LabelEncoder"] == 1
    tables = {t.name for t in many_categories.graph.initializer if list(t.dims) == [25 * 5, 8]}
    assert sum(node.op_type == "Gather" and node.input[0] in tables for node in many_categories.graph.node) == 1
    assert len(many_categories.graph.node) <= 40
    assert len(numbers_alone.graph.node) <= 40


def test_same_value_in_two_columns_has_two_codes(many_categories: onnx.ModelProto) -> None:
    """Read the codes behind the lookup: columns 1 and 11 and the value "1:a" must not be taken for each other."""
    probe = onnx.ModelProto()
    probe.CopyFrom(many_categories)
    del probe.graph.output[:]
    probe.graph.output.append(onnx.helper.make_tensor_value_info("codes", TensorProto.INT64, ["rows", 25]))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = ["a", "b", "1:a", "", "?", "A", "a ", "1:1:a"]
    (codes,) = session.run(["codes"], {"categorical": np.array([[value] * 25 for value in values], dtype=object)})
    assert codes.tolist() == [[code] * 25 for code in (2, 3, 4, 1, 1, 0, 0, 0)]


def test_lookup_table_knows_values_markers_and_a_blank_beside_them() -> None:
    features = FeatureSchema(categorical=(CategoricalFeature("a", ("x", "y")), CategoricalFeature("b", ("?",))))
    assert lookup_table(features) == [{"": 1, "x": 2, "y": 3}, {"": 1, "?": 2}]
    assert lookup_table(features, ("?", ""), blanks=True)[0] == {
        left + value + right: code
        for value, code in {"": 1, "?": 1, "x": 2, "y": 3}.items()
        for left in ("", " ")
        for right in ("", " ")
    }


def test_file_holds_no_paths_lines_of_code_or_external_data(numbers_alone: onnx.ModelProto) -> None:
    content = numbers_alone.SerializeToString()
    assert str(Path.cwd()).encode() not in content
    assert b"stack_trace" not in content
    assert b".py" not in content
    assert all(tensor.data_location == TensorProto.DEFAULT for tensor in numbers_alone.graph.initializer)


def test_building_says_nothing(dataset: Dataset, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graph_of(dataset, architecture="shared_bottom")
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")
