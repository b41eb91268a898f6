"""Graph of an ONNX file at the level of protobuf: its nodes and tensors, and graphs of some."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from service.artifact.protobuf import INITIALIZER, INPUT, NODE, OUTPUT, Field, fields, name_of
from service.artifact.protobuf_values import integers, text
from service.artifact.protobuf_writer import encode_field

_DIMENSIONS, _TENSOR_NAME, _RAW_DATA = 1, 8, 9
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_NAME, _SUBGRAPH, _SUBGRAPHS = 1, 6, 11


class Node(NamedTuple):
    """Node of the graph; attributes by name, as they stand in the file."""

    payload: memoryview
    operator: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, memoryview]


class Graph(NamedTuple):
    """Fields of a graph in order, its nodes, the names of its ends, and its tensors by name."""

    entries: list[Field]
    nodes: list[Node]
    inputs: frozenset[str]
    outputs: frozenset[str]
    initializers: dict[str, memoryview]


def read_graph(graph: memoryview) -> Graph:
    """Read a GraphProto.

    Raises:
        ArtifactError: the message is not protobuf.
    """
    entries = list(fields(graph))
    payloads = {
        number: [entry.payload for entry in entries if entry.number == number]
        for number in (NODE, INITIALIZER, INPUT, OUTPUT)
    }
    return Graph(
        entries,
        [_read_node(payload) for payload in payloads[NODE]],
        frozenset(map(name_of, payloads[INPUT])),
        frozenset(map(name_of, payloads[OUTPUT])),
        {text(payload, _TENSOR_NAME): payload for payload in payloads[INITIALIZER]},
    )


def _read_node(node: memoryview) -> Node:
    names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _OPERATOR: [], _DOMAIN: []}
    attributes: dict[str, memoryview] = {}
    for entry in fields(node, {*names, _ATTRIBUTE}):
        if entry.number == _ATTRIBUTE:
            attributes[text(entry.payload, _NAME)] = entry.payload
        else:
            names[entry.number].append(bytes(entry.payload).decode(errors="replace"))
    operator, domain = ("".join(names[number][-1:]) for number in (_OPERATOR, _DOMAIN))
    return Node(node, operator, domain, names[_INPUT], names[_OUTPUT], attributes)


def has_subgraphs(graph: Graph) -> bool:
    """Tell whether any node holds graphs of its own, which may read any name of this one."""
    nodes = (node for node in graph.nodes if node.operator != "LabelEncoder")  # its attributes are long
    attributes = (attribute for node in nodes for attribute in node.attributes.values())
    return any(True for attribute in attributes for _ in fields(attribute, {_SUBGRAPH, _SUBGRAPHS}))


def needed_nodes(nodes: Sequence[Node], names: Collection[str]) -> set[int]:
    """Return the places of the nodes that some values depend on; those read stand before."""
    needed, wanted = set[int](), set(names)
    for place in range(len(nodes) - 1, -1, -1):
        if wanted & set(nodes[place].outputs):
            needed.add(place)
            wanted |= set(nodes[place].inputs) - {""}
    return needed


def is_standard(node: Node) -> bool:
    """Tell whether a node is of the standard's own domain."""
    return node.domain in ("", "ai.onnx")


def raw_values(tensor: memoryview) -> memoryview:
    """Return the values of a tensor as they stand in the file; none where they stand otherwise."""
    return next((field.payload for field in fields(tensor, {_RAW_DATA})), tensor[:0])


def dimensions(tensor: memoryview) -> list[int]:
    """Return the shape of a tensor."""
    return list(map(int, integers(tensor, _DIMENSIONS)))


def maker_of(graph: Graph, name: str) -> Node | None:
    """Return the node of the standard's own domain that writes a value."""
    return next((node for node in graph.nodes if name in node.outputs and is_standard(node)), None)


def read_by(nodes: Sequence[Node]) -> set[str]:
    """Return the names of what some nodes read."""
    return {name for node in nodes for name in node.inputs}


def part_of(
    graph: Graph, nodes: Sequence[Node], inputs: Collection[str], tensors: Collection[str], outputs: Collection[str]
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
