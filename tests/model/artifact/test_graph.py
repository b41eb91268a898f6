import re
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper

from model.artifact.graph import INTERNAL, build_graph, with_mask_inputs
from model.artifact.parity import check_parity
from model.artifact.serving_module import serve
from model.artifact.text import lookup_table
from model.config.run import RESERVED, ModelConfig, TaskConfig
from model.network.model import build_model
from model.schema import CategoricalFeature, Dataset, FeatureSchema, NumericFeature, Rows, Task

NAME = re.compile(next(m.pattern for m in TaskConfig.model_fields["name"].metadata if hasattr(m, "pattern")))


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
    """Return a graph with 25 columns that all have the same values, and no numbers."""
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
    assert list(shapes(many_categories.graph.input)) == ["categorical"]
    assert list(shapes(numbers_alone.graph.input)) == ["numeric"]
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
    """Read the codes behind the lookup.

    Columns 1 and 11 and the value "1:a" must not be taken for each other.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(many_categories)
    del probe.graph.output[:]
    probe.graph.output.append(onnx.helper.make_tensor_value_info("/codes", TensorProto.INT64, ["rows", 25]))
    session = ort.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    values = ["a", "b", "1:a", "", "?", "A", "a ", "1:1:a"]
    (codes,) = session.run(["/codes"], {"categorical": np.array([[value] * 25 for value in values], dtype=object)})
    assert codes.tolist() == [[code] * 25 for code in (2, 3, 4, 1, 1, 0, 0, 0)]


def test_lookup_table_has_one_key_a_value_and_one_a_marker() -> None:
    features = FeatureSchema(categorical=(CategoricalFeature("a", ("x", "y")), CategoricalFeature("b", ("?",))))
    assert lookup_table(features) == [{"": 1, "x": 2, "y": 3}, {"": 1, "?": 2}]
    assert lookup_table(features, ("?", ""))[0] == {"": 1, "?": 1, "x": 2, "y": 3}


def test_masks_become_inputs_where_they_are_wanted(dataset: Dataset) -> None:
    graph = onnx.load_from_string(with_mask_inputs(graph_of(dataset).SerializeToString())).graph
    assert shapes(graph.input) | {"expert_mask": [3], "row_expert_mask": ["mask_rows", 1, 3]} == shapes(graph.input)
    assert not {"expert_mask", "row_expert_mask"} & {tensor.name for tensor in graph.initializer}


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


def test_every_name_of_the_inside_is_one_that_no_task_may_have(dataset: Dataset) -> None:
    graph = graph_of(dataset).graph
    contract = {"numeric", "categorical", "expert_mask", "row_expert_mask", *(o.name for o in graph.output)}
    inside = names_in(graph) - contract
    assert "/codes" in inside
    assert [name for name in inside if not name.startswith(INTERNAL)] == []


def test_tasks_may_have_the_names_that_the_exporter_gives(dataset: Dataset) -> None:
    """Tasks named as values and nodes of an exported graph, and as its operators."""
    exported = {name.lstrip(INTERNAL) for name in names_in(graph_of(dataset).graph)}
    nasty = {"codes", "linear", "add", "where", "cat", "log", "t", "prefixed", "output_0", "gate_weights_1", "view_1"}
    nasty |= {"x", "rows", "mask_rows", "mmoe", "A.b-c_9", "category_prefixes", "softmax", "Softmax", "split_split_0"}
    nasty |= exported | {node.op_type for node in graph_of(dataset).graph.node}
    names = sorted(name for name in nasty if NAME.match(name) and name not in RESERVED)
    assert len(names) > 60
    kinds = (("regression", ()), ("binary", ("no", "yes")), ("multiclass", ("a", "b", "c")))
    tasks = tuple(Task(name, *kinds[place % 3]) for place, name in enumerate(names))
    columns = (CategoricalFeature("colour", ("a", "b")), CategoricalFeature("codes", ("a",)))
    made = dataset_of(FeatureSchema(dataset.features.numeric, columns), tasks)
    config = ModelConfig.model_validate({"experts": 3, "expert_hidden": [4], "tower_hidden": [3]})
    module = serve(build_model(made.features, tasks, config, seed=0), made)
    graph = build_graph(module)
    assert [output.name for output in graph.graph.output] == [*names, "gate_weights", "gate_contributions"]
    check_parity(graph.SerializeToString(), module, made, 1e-5)


@pytest.mark.parametrize("architecture", ["mmoe", "shared_bottom"])
def test_plain_onnxruntime_prints_no_warnings(dataset: Dataset, tmp_path: Path, architecture: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_of(dataset, architecture=architecture).SerializeToString())
    script = (
        "import sys, numpy as np, onnxruntime as ort\n"
        "session = ort.InferenceSession(sys.argv[1])\n"
        "feeds = {'numeric': np.ones((2, 2), np.float32), 'categorical': np.array([['a', 'b']] * 2, object)}\n"
        "print(len(session.run(None, feeds)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"{5 if architecture == 'mmoe' else 3}\n", "")


def names_in(graph: onnx.GraphProto) -> set[str]:
    values = {name for node in graph.node for name in (*node.input, *node.output, node.name)}
    return values | {value.name for value in (*graph.initializer, *graph.input, *graph.output)}
