"""Large parts taken out of a graph: what is left runs, fed with them, as the file did."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.artifact import detach as module
from service.artifact.detach import detach
from service.artifact.protobuf_values import integers, strings

KNOWN = ["", "Oslo", "São Paulo", "x" * 300, "a\tb", "Oslo "]
CODES = [1, 2, 3, 2**40, -5, 0]
info = helper.make_tensor_value_info


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE_TABLE_BYTES", 64)
    monkeypatch.setattr(module, "MANY_KEYS", 3)


def run(model: bytes, feed: dict[str, Any]) -> list[NDArray[Any]]:
    found: list[NDArray[Any]] = onnxruntime.InferenceSession(model).run(None, feed)
    return found


def made(nodes: list[onnx.NodeProto], *tensors: onnx.TensorProto, more_outputs: tuple[str, ...] = ()) -> bytes:
    """Make a model that takes `categorical` (rows, 2) and `places` (rows, 1) and gives `y`."""
    inputs = [info("categorical", TensorProto.STRING, ["rows", 2]), info("places", TensorProto.INT64, ["rows", 1])]
    outputs = [info(name, TensorProto.FLOAT, None) for name in ("y", *more_outputs)]
    graph = helper.make_graph(nodes, "made", inputs, outputs, list(tensors))
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 4)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    helper.set_model_props(model, {"a": "b"})
    content: bytes = model.SerializeToString()
    return content


def table(name: str = "table", rows: int = 20, dtype: Any = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.arange(3 * rows, dtype=dtype).reshape(rows, 3), name)


def gather(**attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Gather", ["table", "places"], ["y"], **attributes)


@pytest.mark.parametrize("attributes", [{}, {"axis": 0}])
def test_a_large_table_becomes_an_input(attributes: dict[str, int]) -> None:
    model = made([gather(**attributes)], table())
    found = detach(model, "categorical")
    (one,) = found.tables
    assert one.name == "table"
    np.testing.assert_array_equal(one.values, np.arange(60, dtype=np.float32).reshape(20, 3))
    left = onnx.load_from_string(found.model)
    assert not left.graph.initializer
    assert info("table", TensorProto.FLOAT, [20, 3]) in left.graph.input
    assert [(prop.key, prop.value) for prop in left.metadata_props] == [("a", "b")]
    feed = {"categorical": np.array([["", ""]] * 2, object), "places": np.array([[3], [19]])}
    np.testing.assert_array_equal(run(found.model, feed | {"table": one.values}), run(model, feed))


@pytest.mark.parametrize(
    ("nodes", "tensors", "outputs"),
    [
        pytest.param([gather(axis=1)], [table()], (), id="other axis"),
        pytest.param([gather()], [table(dtype=np.float64)], (), id="other type"),
        pytest.param([gather()], [table(rows=5)], (), id="small"),
        pytest.param([gather()], [table()], ("table",), id="an output"),
        pytest.param([gather(), helper.make_node("Relu", ["table"], ["z"])], [table()], (), id="read otherwise too"),
        pytest.param([helper.make_node("Relu", ["table"], ["y"])], [table()], (), id="read otherwise"),
        pytest.param([gather()], [helper.make_tensor("table", 1, [20, 3], [1.0] * 60)], (), id="not raw"),
        pytest.param(
            [helper.make_node("Gather", ["table", "places"], ["y"], domain="com.example")], [table()], (), id="domain"
        ),
        pytest.param(
            [
                gather(),
                helper.make_node(
                    "Loop",
                    ["count", "true"],
                    ["z"],
                    body=helper.make_graph([helper.make_node("Relu", ["table"], ["inner"])], "body", [], []),
                ),
            ],
            [table()],
            (),
            id="nested graphs",
        ),
    ],
)
def test_other_tables_stay(
    nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto], outputs: tuple[str, ...]
) -> None:
    model = made(nodes, *tensors, more_outputs=outputs)
    assert detach(model, "categorical").model is model


def look_up(texts: str, keys: list[str] = KNOWN, codes: list[int] = CODES) -> onnx.NodeProto:
    attributes: dict[str, Any] = {"keys_strings": keys, "values_int64s": codes, "default_int64": -7}
    return helper.make_node("LabelEncoder", [texts], ["/codes"], domain="ai.onnx.ml", **attributes)


def as_float(name: str = "/codes") -> onnx.NodeProto:
    return helper.make_node("Cast", [name], ["y"], to=TensorProto.FLOAT)


def prefixes(*texts: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(texts, object), "prefixes")


CONCAT = helper.make_node("StringConcat", ["prefixes", "categorical"], ["/prefixed"])
TEXTS = np.array([["Oslo", "São Paulo"], ["Bergen", ""]], object)


def test_a_lookup_of_many_strings_becomes_an_input_of_codes() -> None:
    keys = [prefix + value for prefix in ("0:", "1:") for value in KNOWN]
    model = made([CONCAT, look_up("/prefixed", keys, [*CODES, *range(100, 106)]), as_float()], prefixes("0:", "1:"))
    found = detach(model, "categorical")
    (one,) = found.lookups
    assert (one.codes, one.columns, one.prefixes, one.default) == ("/codes", None, ("0:", "1:"), -7)
    assert one.keys == [key.encode() for key in keys]
    assert one.values.tolist() == [*CODES, *range(100, 106)]
    assert found.texts is None
    assert found.unread == {"categorical"}
    left = onnx.load_from_string(found.model)
    assert [node.op_type for node in left.graph.node] == ["Cast"]
    assert info("/codes", TensorProto.INT64, ["rows", 2]) in left.graph.input
    codes = np.array([[2, 102], [-7, 100]])
    places = np.zeros((2, 1), np.int64)
    came = run(found.model, {"/codes": codes, "places": places})
    np.testing.assert_array_equal(came, run(model, {"categorical": TEXTS, "places": places}))


def test_a_lookup_of_some_columns_names_them() -> None:
    columns = numpy_helper.from_array(np.array([1]), "columns")
    some = helper.make_node("Gather", ["categorical", "columns"], ["/some"], axis=1)
    concat = helper.make_node("StringConcat", ["prefixes", "/some"], ["/prefixed"])
    model = made([some, concat, look_up("/prefixed"), as_float()], prefixes(""), columns)
    found = detach(model, "categorical")
    (one,) = found.lookups
    assert (one.columns, one.prefixes, found.texts) == ((1,), ("",), None)
    places = np.zeros((2, 1), np.int64)
    came = run(found.model, {"/codes": np.array([[3], [1]]), "places": places})
    np.testing.assert_array_equal(came, run(model, {"categorical": TEXTS, "places": places}))


def test_strings_that_are_computed_have_a_model_of_their_own() -> None:
    split = helper.make_node("StringSplit", ["categorical"], ["/pieces", "/counts"], delimiter="|")
    model = made([split, look_up("/pieces"), as_float()])
    found = detach(model, "categorical")
    (one,) = found.lookups
    assert one.prefixes is None
    assert found.texts is not None
    texts = np.array([["Oslo|São Paulo", "Bergen"], ["", "Oslo|Oslo |Oslo"]], object)
    (pieces,) = run(found.texts, {"categorical": texts})
    codes = dict(zip(KNOWN, CODES, strict=True))
    looked_up = np.array([codes.get(text, -7) for text in pieces.ravel()]).reshape(pieces.shape)
    places = np.zeros((2, 1), np.int64)
    came = run(found.model, {"/codes": looked_up, "places": places})
    np.testing.assert_array_equal(came, run(model, {"categorical": texts, "places": places}))


def test_what_else_reads_the_strings_keeps_them() -> None:
    nodes = [CONCAT, look_up("/prefixed"), as_float(), helper.make_node("StringNormalizer", ["/prefixed"], ["z"])]
    model = made(nodes, prefixes("0:", "1:"), more_outputs=("z",))
    found = detach(model, "categorical")
    assert len(found.lookups) == 1
    assert not found.unread
    assert [node.op_type for node in onnx.load_from_string(found.model).graph.node] == [
        "StringConcat",
        "Cast",
        "StringNormalizer",
    ]


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(look_up("categorical", KNOWN[:2], CODES[:2]), id="few"),
        pytest.param(look_up("categorical", [*KNOWN[:5], KNOWN[0]]), id="one twice"),
        pytest.param(
            helper.make_node(
                "LabelEncoder",
                ["categorical"],
                ["/codes"],
                domain="ai.onnx.ml",
                keys_strings=KNOWN,
                values_floats=CODES,
            ),
            id="numbers of another type",
        ),
    ],
)
def test_other_lookups_stay(node: onnx.NodeProto) -> None:
    model = made([node, as_float()])
    assert detach(model, "categorical").model is model


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40), texts=st.lists(st.binary(max_size=200)))
def test_values_of_attributes_are_read_as_protobuf_does(values: list[int], texts: list[bytes]) -> None:
    attribute = onnx.AttributeProto(name="a", ints=values, strings=texts)
    content = memoryview(attribute.SerializeToString())
    assert integers(content, 8).tolist() == values
    assert strings(content, 9) == texts
    packed = memoryview(onnx.TensorProto(dims=[abs(value) >> 1 for value in values], name="t").SerializeToString())
    assert integers(packed, 1).tolist() == [abs(value) >> 1 for value in values]
