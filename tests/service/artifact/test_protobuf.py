import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from service.artifact import protobuf as wire
from service.artifact import trim
from service.artifact.protobuf_writer import encode_field
from service.errors import ArtifactError


@pytest.fixture(scope="module")
def model(hand_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return hand_model(tmp_path_factory.mktemp("models")).read_bytes()


def test_metadata_and_interface_are_those_that_onnx_reads(model: bytes) -> None:
    proto = onnx.load_from_string(model)
    assert wire.metadata(model) == {p.key: p.value for p in proto.metadata_props}
    found = wire.interface(model)
    assert [t.name for t in found.inputs] == ["numeric", "categorical"]
    assert found.optional == ()
    constants = {constant.name: constant for constant in found.constants}
    assert constants.keys() == {tensor.name for tensor in proto.graph.initializer}
    assert constants["row_expert_mask"] == wire.Tensor("row_expert_mask", "float", (1, 1, 4))
    assert [t.name for t in found.outputs] == [o.name for o in proto.graph.output]
    assert found.inputs[0] == wire.Tensor("numeric", "float", ("rows", 3))
    assert found.inputs[1] == wire.Tensor("categorical", "string", ("rows", 2))


def test_masks_of_a_first_file_are_optional_inputs(hand_model: Callable[..., Path], tmp_path: Path) -> None:
    found = wire.interface(hand_model(tmp_path, schema=1).read_bytes())
    assert [t.name for t in found.optional] == ["expert_mask", "row_expert_mask"]
    assert found.optional[0] == wire.Tensor("expert_mask", "float", (4,))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 3, 8, 9, 20]), st.one_of(st.binary(max_size=200), st.integers(0)))),
    st.sets(st.sampled_from([1, 2, 3, 8, 9, 20])),
)
def test_fields_that_are_not_wanted_are_passed_over(parts: list[tuple[int, bytes | int]], wanted: set[int]) -> None:
    message = b"".join(
        encode_field(number, part) if isinstance(part, bytes) else shortest(number << 3) + shortest(part % 2**64)
        for number, part in parts
    )
    everything = list(wire.fields(memoryview(message)))
    assert [field.number for field in everything] == [number for number, _ in parts]
    assert list(wire.fields(memoryview(message), wanted)) == [f for f in everything if f.number in wanted]
    for cut in range(1, len(message)):
        assert fields_or_none(message[:cut], set()) is None or fields_or_none(message[:cut], None) is not None


def fields_or_none(message: bytes, wanted: set[int] | None) -> list[wire.Field] | None:
    try:
        return list(wire.fields(memoryview(message), wanted))
    except ArtifactError:
        return None


def shortest(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + shortest(rest) if rest else bytes([low])


def test_an_attribute_of_many_keys_hides_no_external_data() -> None:
    node = helper.make_node("Constant", [], ["c"])
    node.attribute.append(helper.make_attribute("keys", [f"key {i}" for i in range(1000)]))
    node.attribute[0].ints.extend(range(1000))
    model = helper.make_model(helper.make_graph([node], "g", [], []))
    assert not wire.holds_external_data(model.SerializeToString())
    node.attribute[0].tensors.append(external_tensor())
    model = helper.make_model(helper.make_graph([node], "g", [], []))
    assert wire.holds_external_data(model.SerializeToString())


def external_tensor(name: str = "weights") -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def in_an_initializer() -> onnx.GraphProto:
    return helper.make_graph([], "g", [], [], [external_tensor()])


def in_a_constant_node() -> onnx.GraphProto:
    return helper.make_graph([helper.make_node("Constant", [], ["c"], value=external_tensor())], "g", [], [])


def in_a_branch() -> onnx.GraphProto:
    branch = in_a_constant_node()
    return helper.make_graph(
        [helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)], "g", [], []
    )


def in_a_sparse_initializer() -> onnx.GraphProto:
    sparse = helper.make_sparse_tensor(external_tensor(), numpy_helper.from_array(np.array([1]), "i"), [3])
    return helper.make_graph([], "g", [], [], sparse_initializer=[sparse])


@pytest.mark.parametrize("place", [in_an_initializer, in_a_constant_node, in_a_branch, in_a_sparse_initializer])
def test_external_data_is_found_wherever_it_hides(place: Callable[[], onnx.GraphProto]) -> None:
    assert wire.holds_external_data(helper.make_model(place()).SerializeToString())


def test_external_data_is_found_in_a_function() -> None:
    node = helper.make_node("Constant", [], ["c"], value=external_tensor())
    function = helper.make_function("own", "F", [], ["c"], [node], [helper.make_opsetid("", 20)])
    proto = helper.make_model(helper.make_graph([], "g", [], []), functions=[function])
    assert wire.holds_external_data(proto.SerializeToString())


def varint(number: int, length: int) -> bytes:
    """Write a number in so many bytes."""
    return bytes(number >> 7 * place & 0x7F | (0x80 if place < length - 1 else 0) for place in range(length))


def nested(key: bytes, value: bytes) -> bytes:
    """Put a field into the one initializer of a model."""
    tensor = key + value
    graph = bytes([5 << 3 | 2, len(tensor)]) + tensor
    return bytes([7 << 3 | 2, len(graph)]) + graph


ENTRY = encode_field(1, b"location") + encode_field(2, b"/etc/passwd")
EXTERNAL_DATA, DATA_LOCATION = 13 << 3 | 2, 14 << 3
DISGUISES = {
    "key of 5 bytes with bits above 32": nested(varint(EXTERNAL_DATA | 1 << 32, 5), bytes([len(ENTRY)]) + ENTRY),
    "key of 10 bytes": nested(varint(EXTERNAL_DATA | 1 << 63, 10), bytes([len(ENTRY)]) + ENTRY),
    "key in more bytes than it needs": nested(varint(EXTERNAL_DATA, 5), bytes([len(ENTRY)]) + ENTRY),
    "length in more bytes than it needs": nested(bytes([EXTERNAL_DATA]), varint(len(ENTRY), 5) + ENTRY),
    "place with bits above 32": nested(bytes([DATA_LOCATION]), varint(1 | 1 << 32, 5)),
    "place with bits above 64": nested(bytes([DATA_LOCATION]), varint(1 | 1 << 64, 10)),
    "a place of later formats": nested(bytes([DATA_LOCATION]), varint(2, 1)),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_external_data_is_found_however_it_is_spelled(disguise: str) -> None:
    try:
        found = wire.holds_external_data(DISGUISES[disguise])
    except ArtifactError as error:
        found = "more bytes than it needs" in str(error)
    assert found


@pytest.mark.parametrize("number", [0, 1, 127, 128, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 64) - 1])
def test_numbers_as_writers_write_them_are_read(number: int) -> None:
    length = max(-(-number.bit_length() // 7), 1)
    (field,) = wire.fields(memoryview(bytes([8]) + varint(number, length)))
    assert field.value == number


def test_inline_weights_are_no_external_data(model: bytes) -> None:
    assert not wire.holds_external_data(model)


def read_everything(content: bytes) -> None:
    wire.metadata(content)
    wire.interface(content)
    wire.holds_external_data(content)
    trim.keep_outputs(content, {"gate_weights"})


@pytest.mark.parametrize(
    "text",
    ["version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "<html><body>Not found</body></html>",
     "not a model", "binary", "(nothing)", "\n\n", "Blå bær"],
)  # fmt: skip
def test_a_text_is_told_from_a_truncated_model(text: str) -> None:
    with pytest.raises(ArtifactError, match=r"not an ONNX model but text, which begins with"):
        wire.metadata(text.encode())


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(model: bytes, share: float) -> None:
    with pytest.raises(ArtifactError):
        read_everything(model[: int(len(model) * share)])


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_bytes_at_random_are_refused_or_read_but_nothing_else(content: bytes) -> None:
    with pytest.raises(ArtifactError):
        read_everything(content)


@settings(deadline=None)
@given(st.data())
def test_changed_bytes_are_refused_or_read_but_nothing_else(model: bytes, data: st.DataObject) -> None:
    changed = bytearray(model)
    for _ in range(data.draw(st.integers(1, 5))):
        changed[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ArtifactError):
        read_everything(bytes(changed))
