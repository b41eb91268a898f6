from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.artifact.graph import build_graph
from model.artifact.parity import TOLERANCE, check_cells, check_parity, golden_rows, golden_tolerance, hard_rows
from model.artifact.raw_rows import STRANGERS, unknown_value
from model.artifact.serving_module import serve
from model.config.run import ModelConfig
from model.errors import ExportError
from model.network.model import Model, build_model
from model.schema import MISSING, UNKNOWN, BagFeature, CategoricalFeature, Cells, Dataset
from tests.support.every_kind import SCHEMA, code_of, make_dataset


@pytest.fixture
def model(dataset: Dataset) -> Model:
    return build_model(dataset.features, dataset.tasks, ModelConfig(experts=3), seed=0)


def test_golden_rows_have_missing_and_unknown_values(dataset: Dataset) -> None:
    rows = golden_rows(dataset)
    assert len(rows) == 6
    assert np.isnan(rows.numeric[4]).all()
    assert rows.text[4].tolist() == ["", ""]
    assert (rows.codes[4] == MISSING).all()
    assert (rows.codes[5] == UNKNOWN).all()
    for column, feature in enumerate(dataset.features.categorical):
        assert rows.text[5, column] not in feature.vocabulary
    np.testing.assert_array_equal(rows.numeric[0], dataset.test.numeric[0])


def test_taking_rows_leaves_the_split_as_it_is(dataset: Dataset) -> None:
    before = dataset.test.numeric.copy(), dataset.test.codes.copy(), dataset.test.text.copy()
    hard_rows(dataset, 50, np.random.default_rng(0))
    golden_rows(dataset)
    for old, new in zip(before, (dataset.test.numeric, dataset.test.codes, dataset.test.text), strict=True):
        np.testing.assert_array_equal(old, new)


@given(
    vocabulary=st.lists(st.sampled_from([*STRANGERS, "never seen 1", "ever see", "ever see 1"]), unique=True),
    separator=st.sampled_from(["|", " ", "n", "1", "never", "never seen", "x"]),
    text=st.sampled_from(STRANGERS),
)
def test_stranger_is_in_no_vocabulary_and_not_cut(vocabulary: list[str], separator: str, text: str) -> None:
    assert unknown_value(CategoricalFeature("c", tuple(vocabulary)), text) not in vocabulary
    value = unknown_value(BagFeature("b", separator, vocabulary=tuple(vocabulary)), text)
    assert value
    assert value not in vocabulary
    assert separator not in value


def test_bags_have_empty_values_between_and_separators_alone() -> None:
    rows = hard_rows(make_dataset(), 200, np.random.default_rng(0))
    tags = rows.text[:, 5].tolist()
    assert any("||" in cell for cell in tags)
    assert "|" in tags
    assert "" in tags
    assert [] in rows.bags[0]
    for cell, codes in zip(tags, rows.bags[0], strict=True):
        expected = [code_of(SCHEMA.bags[0], value) for value in cell.split("|")]
        assert codes == [code for code in expected if code != MISSING]
    for text, code in zip(rows.text[:, 3], rows.codes[:, 3], strict=True):
        assert code == code_of(SCHEMA.hashed[0], text)


def test_tolerance_of_a_sound_network_is_the_least(model: Model, dataset: Dataset) -> None:
    assert golden_tolerance(serve(model, dataset), dataset) == TOLERANCE


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_network_without_finite_answers_is_refused(model: Model, dataset: Dataset, weight: float) -> None:
    with torch.no_grad():
        model.network.towers[0].last.weight.fill_(weight)  # type: ignore[union-attr, index]
    with pytest.raises(ExportError, match="nothing was published"):
        golden_tolerance(serve(model, dataset), dataset)


def test_graph_of_the_same_network_passes_and_of_another_does_not(model: Model, dataset: Dataset) -> None:
    module = serve(model, dataset)
    content = build_graph(module).SerializeToString()
    check_parity(content, module, dataset, TOLERANCE)
    other = serve(build_model(dataset.features, dataset.tasks, ModelConfig(experts=3), seed=1), dataset)
    with pytest.raises(ExportError, match="nothing was published"):
        check_parity(content, other, dataset, TOLERANCE)


def test_lookup_that_differs_from_the_reader_of_the_table_is_found(model: Model, dataset: Dataset) -> None:
    first, *rest = dataset.features.categorical
    turned = replace(first, vocabulary=first.vocabulary[::-1])
    wrong = replace(dataset, features=replace(dataset.features, categorical=(turned, *rest)))
    module = serve(model, wrong)
    with pytest.raises(ExportError, match="off torch's answer"):
        check_parity(build_graph(module).SerializeToString(), module, wrong, TOLERANCE)


def test_output_of_another_shape_is_found(model: Model, dataset: Dataset) -> None:
    module = serve(model, dataset)
    graph = build_graph(module)
    squeezed = onnx.helper.make_node("Squeeze", ["price"], ["price_"])  # the classic fault: it drops B = 1
    graph.graph.node.append(squeezed)
    outputs = [output for output in graph.graph.output if output.name != "price"]
    del graph.graph.output[:]
    flat = onnx.helper.make_tensor_value_info("price_", onnx.TensorProto.FLOAT, None)
    graph.graph.output.extend([flat, *outputs])
    for node in graph.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = {"price": "price_raw", "price_": "price"}.get(name, name)
    graph.graph.output[0].name = "price"
    with pytest.raises(ExportError, match="price of 1 rows"):
        check_parity(graph.SerializeToString(), module, dataset, TOLERANCE)


def test_cell_that_the_graph_takes_otherwise_than_the_reader_did_is_found(model: Model, dataset: Dataset) -> None:
    test = dataset.test
    rows = np.arange(1, len(test) + 1)
    cells = Cells(rows, test.numeric.copy(), test.text.copy(), test.numeric, test.codes)
    module = serve(model, dataset)
    content = build_graph(module).SerializeToString()
    check_cells(content, module, cells, TOLERANCE)
    cells.numeric[7, 0] = -999.0  # a marker that the graph does not know
    with pytest.raises(ExportError, match="row 8 of the table, sent as a request"):
        check_cells(content, module, cells, TOLERANCE)
    cells.numeric[7, 0] = test.numeric[7, 0]
    cells.text[9, 1] = "never seen"
    with pytest.raises(ExportError, match="row 10 of the table"):
        check_cells(content, module, cells, TOLERANCE)
