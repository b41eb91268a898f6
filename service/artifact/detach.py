"""Large parts of an ONNX file taken out of its graph: embedding tables, lookups of many strings.

A session copies whatever its model holds, so that each session of each worker would have a large
part of its own. What this module takes out becomes an input, which the service feeds: tables from
a map that all workers share, codes of strings from an index that they share.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.artifact.protobuf import (
    FLOAT,
    GRAPH,
    INITIALIZER,
    INPUT,
    INT64,
    METADATA,
    NODE,
    OUTPUT,
    STRING,
    Field,
    fields,
    name_of,
)
from service.artifact.protobuf_values import integers, number, strings, text
from service.artifact.protobuf_writer import encode_field, encode_value

LARGE_TABLE_BYTES = 4 << 20
"""Smallest table that is taken out. Feeding one costs a run about a microsecond."""
MANY_KEYS = 50_000
"""Fewest strings of a lookup that is taken out; a session takes 200 bytes for each of them."""

_KEY_BYTES = 2
"""Fewest bytes of a string in an attribute."""

_DIMENSIONS, _DATA_TYPE, _STRING_DATA, _TENSOR_NAME, _RAW_DATA = 1, 2, 6, 8, 9
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_NAME, _INTEGER, _SUBGRAPH, _INTEGERS, _STRINGS, _SUBGRAPHS = 1, 3, 6, 8, 9, 11


class Table(NamedTuple):
    """Embedding table (codes, width) of float32: the first operand of lookups by Gather alone."""

    name: str
    values: NDArray[np.float32]


class Lookup(NamedTuple):
    """Lookup from strings to codes, as LabelEncoder does it.

    Attributes:
        codes: name of the int64 tensor that becomes an input.
        texts: name of the string tensor that is looked up.
        columns: of `categorical` that `texts` is made of by putting prefixes before the strings;
            None for all of them.
        prefixes: of each column; one alone is for all. None where `texts` is computed by the
            texts' own graph.
        keys: known strings in UTF-8, all different.
        values: int64 code of each.
        default: code of every other string.
    """

    codes: str
    texts: str
    columns: tuple[int, ...] | None
    prefixes: tuple[str, ...] | None
    keys: Sequence[bytes]
    values: NDArray[np.int64]
    default: int


class Detached(NamedTuple):
    """Model without its large parts, and these.

    Attributes:
        model: with the parts as inputs; the file itself where it has none.
        tables: taken out.
        lookups: taken out.
        texts: model that computes the strings of lookups that have no prefixes; None without any.
        unread: inputs of the file that the model has no more, since only a lookup read them.
    """

    model: bytes
    tables: tuple[Table, ...]
    lookups: tuple[Lookup, ...]
    texts: bytes | None
    unread: frozenset[str]


class _Node(NamedTuple):
    """Node of the graph; attributes by name, as they stand in the file."""

    payload: memoryview
    operator: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, memoryview]


class _Graph(NamedTuple):
    entries: list[Field]
    nodes: list[_Node]
    inputs: frozenset[str]
    outputs: frozenset[str]
    initializers: dict[str, memoryview]


def detach(model: bytes, categorical: str) -> Detached:
    """Take the large parts out of a model.

    Args:
        model: an ONNX file.
        categorical: graph input of raw strings (rows, columns).

    Raises:
        ArtifactError: the file is not an ONNX model.
    """
    if len(model) < min(LARGE_TABLE_BYTES, _KEY_BYTES * MANY_KEYS):
        return Detached(model, (), (), None, frozenset())
    message = memoryview(model)
    graph = _read_graph(next((entry.payload for entry in fields(message, {GRAPH})), message[:0]))
    parts = not _has_subgraphs(graph)
    tables, lookups = tuple(_tables(graph)) if parts else (), tuple(_lookups(graph, categorical)) if parts else ()
    if not tables and not lookups:
        return Detached(model, (), (), None, frozenset())
    content, unread = _without(graph, tables, lookups, categorical)
    computed = [lookup.texts for lookup in lookups if lookup.prefixes is None]
    texts = _with_graph(message, _texts_graph(graph, computed), {METADATA}) if computed else None
    return Detached(_with_graph(message, content), tables, lookups, texts, unread)


def _with_graph(model: memoryview, graph: bytes, left_out: frozenset[int] | set[int] = frozenset()) -> bytes:
    """Return a model with another graph."""
    parts: list[bytes | memoryview] = []
    for entry in fields(model):
        if entry.number == GRAPH:
            parts.append(encode_field(GRAPH, graph))
        elif entry.number not in left_out:
            parts.append(model[entry.start : entry.end])
    return b"".join(parts)


def _read_graph(graph: memoryview) -> _Graph:
    entries = list(fields(graph))
    payloads = {
        number: [entry.payload for entry in entries if entry.number == number]
        for number in (NODE, INITIALIZER, INPUT, OUTPUT)
    }
    return _Graph(
        entries,
        [_read_node(payload) for payload in payloads[NODE]],
        frozenset(map(name_of, payloads[INPUT])),
        frozenset(map(name_of, payloads[OUTPUT])),
        {text(payload, _TENSOR_NAME): payload for payload in payloads[INITIALIZER]},
    )


def _read_node(node: memoryview) -> _Node:
    names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _OPERATOR: [], _DOMAIN: []}
    attributes: dict[str, memoryview] = {}
    for entry in fields(node, {*names, _ATTRIBUTE}):
        if entry.number == _ATTRIBUTE:
            attributes[text(entry.payload, _NAME)] = entry.payload
        else:
            names[entry.number].append(bytes(entry.payload).decode(errors="replace"))
    operator, domain = ("".join(names[number][-1:]) for number in (_OPERATOR, _DOMAIN))
    return _Node(node, operator, domain, names[_INPUT], names[_OUTPUT], attributes)


def _has_subgraphs(graph: _Graph) -> bool:
    """Tell whether any node holds graphs of its own, which may read any name of this one."""
    nodes = (node for node in graph.nodes if node.operator != "LabelEncoder")  # its attributes are long
    attributes = (attribute for node in nodes for attribute in node.attributes.values())
    return any(True for attribute in attributes for _ in fields(attribute, {_SUBGRAPH, _SUBGRAPHS}))


def _needed(nodes: Sequence[_Node], names: Collection[str]) -> set[int]:
    """Return the places of the nodes that some values depend on; those read stand before."""
    needed, wanted = set[int](), set(names)
    for place in range(len(nodes) - 1, -1, -1):
        if wanted & set(nodes[place].outputs):
            needed.add(place)
            wanted |= set(nodes[place].inputs) - {""}
    return needed


def _tables(graph: _Graph) -> Iterator[Table]:
    """Yield the large initializers of float32 that nodes read by Gather on axis 0 alone."""
    taken = graph.inputs | graph.outputs
    for node in graph.nodes:
        taken |= set(node.inputs[1:] if _gathers_rows(node) else node.inputs)
    for name, tensor in graph.initializers.items():
        if name not in taken and (values := _float32(tensor)) is not None and values.nbytes >= LARGE_TABLE_BYTES:
            yield Table(name, values)


def _gathers_rows(node: _Node) -> bool:
    axis = node.attributes.get("axis")
    return node.operator == "Gather" and _is_standard(node) and (axis is None or number(axis, _INTEGER) == 0)


def _is_standard(node: _Node) -> bool:
    return node.domain in ("", "ai.onnx")


def _float32(tensor: memoryview) -> NDArray[np.float32] | None:
    """View the values of a tensor of two axes; None for others, and where they are not raw."""
    raw, shape = _raw(tensor), _dimensions(tensor)
    if number(tensor, _DATA_TYPE) != FLOAT or len(shape) != 2 or len(raw) != 4 * shape[0] * shape[1]:
        return None
    return np.frombuffer(raw, "<f4").reshape(shape)


def _raw(tensor: memoryview) -> memoryview:
    """Return the values of a tensor as they stand in the file; none where they stand otherwise."""
    return next((field.payload for field in fields(tensor, {_RAW_DATA})), tensor[:0])


def _dimensions(tensor: memoryview) -> list[int]:
    return list(map(int, integers(tensor, _DIMENSIONS)))


def _lookups(graph: _Graph, categorical: str) -> Iterator[Lookup]:
    """Yield the lookups of many strings whose only operand is computed from the graph's inputs."""
    for node in graph.nodes:
        keys, codes = (node.attributes.get(name) for name in ("keys_strings", "values_int64s"))
        if node.operator != "LabelEncoder" or keys is None or len(keys) < _KEY_BYTES * MANY_KEYS or codes is None:
            continue
        known, values = strings(keys, _STRINGS), integers(codes, _INTEGERS)
        if MANY_KEYS <= len(known) == len(values) == len(set(known)) and node.outputs[0] not in graph.outputs:
            default = node.attributes.get("default_int64")
            code = -1 if default is None else number(default, _INTEGER)
            columns, prefixes = _prefixed(graph, node.inputs[0], categorical)
            yield Lookup(node.outputs[0], node.inputs[0], columns, prefixes, known, values, code)


def _prefixed(graph: _Graph, texts: str, categorical: str) -> tuple[tuple[int, ...] | None, tuple[str, ...] | None]:
    """Return the columns that a constant puts something before, and what.

    No prefixes where more is done to the strings.
    """
    columns: tuple[int, ...] | None = None
    prefixes: tuple[str, ...] = ("",)
    node = _maker(graph, texts)
    if node is not None and node.operator == "StringConcat":
        constant, texts = node.inputs
        tensor = graph.initializers.get(constant)
        if tensor is None or any(size != 1 for size in _dimensions(tensor)[:-1]):
            return None, None
        prefixes = tuple(bytes(field.payload).decode() for field in fields(tensor, {_STRING_DATA}))
        node = _maker(graph, texts)
    if node is not None and node.operator == "Gather":
        texts, constant = node.inputs
        axis, tensor = node.attributes.get("axis"), graph.initializers.get(constant)
        if axis is None or number(axis, _INTEGER) != 1 or tensor is None or len(_dimensions(tensor)) != 1:
            return None, None
        columns = tuple(np.frombuffer(bytes(_raw(tensor)), "<i8").tolist())
    return (columns, prefixes) if texts == categorical and _fits(columns, prefixes) else (None, None)


def _maker(graph: _Graph, name: str) -> _Node | None:
    """Return the node of the standard's own domain that writes a value."""
    return next((node for node in graph.nodes if name in node.outputs and _is_standard(node)), None)


def _fits(columns: Sequence[int] | None, prefixes: Sequence[str]) -> bool:
    return columns is None or (min(columns, default=-1) >= 0 and len(prefixes) in (1, len(columns)))


def _without(
    graph: _Graph, tables: Sequence[Table], lookups: Sequence[Lookup], categorical: str
) -> tuple[bytes, frozenset[str]]:
    """Return the graph with inputs in place of the parts, and inputs that nothing reads now."""
    codes = {lookup.codes for lookup in lookups}
    nodes = [node for node in graph.nodes if not codes & set(node.outputs)]
    kept = [nodes[place] for place in sorted(_needed(nodes, graph.outputs))]
    unread = frozenset({categorical} - _read_by(kept) if lookups else ())
    tensors = graph.initializers.keys() - {table.name for table in tables}
    content = _part(graph, kept, graph.inputs - unread, tensors, graph.outputs)
    added = [encode_value(INPUT, table.name, FLOAT, table.values.shape) for table in tables]
    added += [encode_value(INPUT, lookup.codes, INT64, _code_shape(lookup)) for lookup in lookups]
    return b"".join([*content, *added]), unread


def _code_shape(lookup: Lookup) -> tuple[int | str, ...] | None:
    """Return the shape of a lookup's codes; None where it is not known."""
    columns = lookup.columns or lookup.prefixes or ()
    return ("rows", len(columns)) if len(columns) > 1 or lookup.columns else None


def _texts_graph(graph: _Graph, texts: Sequence[str]) -> bytes:
    """Return the graph that computes some strings from the inputs."""
    nodes = [graph.nodes[place] for place in sorted(_needed(graph.nodes, texts))]
    read = _read_by(nodes)
    content = _part(graph, nodes, graph.inputs & read, graph.initializers.keys() & read, ())
    return b"".join([*content, *(encode_value(OUTPUT, name, STRING, None) for name in texts)])


def _read_by(nodes: Sequence[_Node]) -> set[str]:
    return {name for node in nodes for name in node.inputs}


def _part(
    graph: _Graph, nodes: Sequence[_Node], inputs: Collection[str], tensors: Collection[str], outputs: Collection[str]
) -> Iterator[bytes]:
    """Yield the fields of a graph; nodes, initializers and ends only as far as wanted."""
    yield from (encode_field(NODE, bytes(node.payload)) for node in nodes)
    for entry in graph.entries:
        if entry.number == NODE:
            continue
        if entry.number == INITIALIZER:
            is_wanted = text(entry.payload, _TENSOR_NAME) in tensors
        else:
            wanted = {INPUT: inputs, OUTPUT: outputs}.get(entry.number)
            is_wanted = wanted is None or name_of(entry.payload) in wanted
        if is_wanted:
            yield encode_field(entry.number, bytes(entry.payload))
