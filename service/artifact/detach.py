"""Large parts of an ONNX file taken out of its graph: embedding tables, lookups of many strings.

A session copies whatever its model holds, so that each session of each worker would have a large
part of its own. What this module takes out becomes an input, which the service feeds: tables from
a map that all workers share, codes of strings from an index that they share.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.artifact.graph import (
    Graph,
    Node,
    dimensions,
    has_subgraphs,
    is_standard,
    maker_of,
    needed_nodes,
    part_of,
    raw_values,
    read_by,
    read_graph,
)
from service.artifact.protobuf import FLOAT, GRAPH, INPUT, INT64, METADATA, OUTPUT, STRING, fields
from service.artifact.protobuf_values import integers, number, strings
from service.artifact.protobuf_writer import encode_field, encode_value

LARGE_TABLE_BYTES = 4 << 20
"""Smallest table that is taken out. Feeding one costs a run about a microsecond."""
MANY_KEYS = 50_000
"""Fewest strings of a lookup that is taken out; a session takes 200 bytes for each of them."""

_KEY_BYTES = 2
"""Fewest bytes of a string in an attribute."""

_DATA_TYPE, _STRING_DATA = 2, 6
_INTEGER, _INTEGERS, _STRINGS = 3, 8, 9


class EmbeddingTable(NamedTuple):
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
    tables: tuple[EmbeddingTable, ...]
    lookups: tuple[Lookup, ...]
    texts: bytes | None
    unread: frozenset[str]


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
    graph = read_graph(next((entry.payload for entry in fields(message, {GRAPH})), message[:0]))
    parts = not has_subgraphs(graph)
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


def _tables(graph: Graph) -> Iterator[EmbeddingTable]:
    """Yield the large initializers of float32 that nodes read by Gather on axis 0 alone."""
    taken = graph.inputs | graph.outputs
    for node in graph.nodes:
        taken |= set(node.inputs[1:] if _gathers_rows(node) else node.inputs)
    for name, tensor in graph.initializers.items():
        if name not in taken and (values := _float32(tensor)) is not None and values.nbytes >= LARGE_TABLE_BYTES:
            yield EmbeddingTable(name, values)


def _gathers_rows(node: Node) -> bool:
    axis = node.attributes.get("axis")
    return node.operator == "Gather" and is_standard(node) and (axis is None or number(axis, _INTEGER) == 0)


def _float32(tensor: memoryview) -> NDArray[np.float32] | None:
    """View the values of a tensor of two axes; None for others, and where they are not raw."""
    raw, shape = raw_values(tensor), dimensions(tensor)
    if number(tensor, _DATA_TYPE) != FLOAT or len(shape) != 2 or len(raw) != 4 * shape[0] * shape[1]:
        return None
    return np.frombuffer(raw, "<f4").reshape(shape)


def _lookups(graph: Graph, categorical: str) -> Iterator[Lookup]:
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


def _prefixed(graph: Graph, texts: str, categorical: str) -> tuple[tuple[int, ...] | None, tuple[str, ...] | None]:
    """Return the columns that a constant puts something before, and what.

    No prefixes where more is done to the strings.
    """
    columns: tuple[int, ...] | None = None
    prefixes: tuple[str, ...] = ("",)
    node = maker_of(graph, texts)
    if node is not None and node.operator == "StringConcat":
        constant, texts = node.inputs
        tensor = graph.initializers.get(constant)
        if tensor is None or any(size != 1 for size in dimensions(tensor)[:-1]):
            return None, None
        prefixes = tuple(bytes(field.payload).decode() for field in fields(tensor, {_STRING_DATA}))
        node = maker_of(graph, texts)
    if node is not None and node.operator == "Gather":
        texts, constant = node.inputs
        axis, tensor = node.attributes.get("axis"), graph.initializers.get(constant)
        if axis is None or number(axis, _INTEGER) != 1 or tensor is None or len(dimensions(tensor)) != 1:
            return None, None
        columns = tuple(np.frombuffer(bytes(raw_values(tensor)), "<i8").tolist())
    return (columns, prefixes) if texts == categorical and _fits(columns, prefixes) else (None, None)


def _fits(columns: Sequence[int] | None, prefixes: Sequence[str]) -> bool:
    return columns is None or (min(columns, default=-1) >= 0 and len(prefixes) in (1, len(columns)))


def _without(
    graph: Graph, tables: Sequence[EmbeddingTable], lookups: Sequence[Lookup], categorical: str
) -> tuple[bytes, frozenset[str]]:
    """Return the graph with inputs in place of the parts, and inputs that nothing reads now."""
    codes = {lookup.codes for lookup in lookups}
    nodes = [node for node in graph.nodes if not codes & set(node.outputs)]
    kept = [nodes[place] for place in sorted(needed_nodes(nodes, graph.outputs))]
    unread = frozenset({categorical} - read_by(kept) if lookups else ())
    tensors = graph.initializers.keys() - {table.name for table in tables}
    content = part_of(graph, kept, graph.inputs - unread, tensors, graph.outputs)
    added = [encode_value(INPUT, table.name, FLOAT, table.values.shape) for table in tables]
    added += [encode_value(INPUT, lookup.codes, INT64, _code_shape(lookup)) for lookup in lookups]
    return b"".join([*content, *added]), unread


def _code_shape(lookup: Lookup) -> tuple[int | str, ...] | None:
    """Return the shape of a lookup's codes; None where it is not known."""
    columns = lookup.columns or lookup.prefixes or ()
    return ("rows", len(columns)) if len(columns) > 1 or lookup.columns else None


def _texts_graph(graph: Graph, texts: Sequence[str]) -> bytes:
    """Return the graph that computes some strings from the inputs."""
    nodes = [graph.nodes[place] for place in sorted(needed_nodes(graph.nodes, texts))]
    read = read_by(nodes)
    content = part_of(graph, nodes, graph.inputs & read, graph.initializers.keys() & read, ())
    return b"".join([*content, *(encode_value(OUTPUT, name, STRING, None) for name in texts)])
