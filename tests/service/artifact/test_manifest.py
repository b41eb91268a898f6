import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.artifact.entries import CategoricalFeature, NumericFeature
from service.artifact.file import check_graph, check_tasks
from service.artifact.manifest import Manifest, parse_manifest
from service.artifact.protobuf import Interface, Tensor, metadata
from service.errors import ArtifactError
from service.system.quoting import MOST_QUOTED

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def text(hand_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    return metadata(hand_model(tmp_path_factory.mktemp("models")).read_bytes())["mmoe.manifest"]


@pytest.fixture(scope="module")
def manifest(text: str) -> Manifest:
    return parse_manifest(text)


def test_a_sound_manifest_is_read_whole(manifest: Manifest) -> None:
    assert manifest.feature_names == ("age", "height", "balance", "colour", "city")
    assert all(isinstance(f, NumericFeature) for f in manifest.numeric)
    assert all(isinstance(f, CategoricalFeature) for f in manifest.categorical)
    assert manifest.task_names == ("price", "sold", "grade")
    assert [task.width for task in manifest.tasks] == [None, None, 3]
    assert manifest.outputs == ("price", "sold", "grade", "gate_weights", "gate_contributions")
    assert manifest.has_gates
    assert manifest.golden.rows == 4


def test_shapes_follow_from_the_manifest(manifest: Manifest) -> None:
    assert manifest.input_shape("numeric", 7) == (7, 3)
    assert manifest.input_shape("row_expert_mask", 7) == (7, 1, 4)
    assert manifest.output_shape("sold", 7) == (7,)
    assert manifest.output_shape("grade", 7) == (7, 3)
    assert manifest.output_shape("gate_weights", 7) == (7, 3, 4)
    assert manifest.output_shape("gate_contributions", 7) == (7, 3, 4, 5)


def test_it_cannot_be_changed(manifest: Manifest) -> None:
    with pytest.raises(ValueError, match="frozen"):
        manifest.name = "other"


def test_entries_of_later_writers_are_ignored(text: str) -> None:
    document = json.loads(text)
    document["licence"] = "CC0"
    document["tasks"][0]["unit"] = "EUR"
    assert parse_manifest(json.dumps(document)) == parse_manifest(text)


def put(*path: str | int, value: Any) -> Edit:
    def edit(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return edit


def drop(*path: str | int) -> Edit:
    def edit(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return edit


FAULTS: dict[str, tuple[Edit, str]] = {
    "no name": (drop("name"), "at name: Field required"),
    "another schema": (put("schema_version", value=3), "has schema_version 3, and this service reads 1 and 2"),
    "schema as text": (put("schema_version", value="1"), "has schema_version '1'"),
    "unknown architecture": (put("architecture", value="ple"), "at architecture"),
    "unknown kind": (put("features", 0, "kind", value="text"), "at features.0"),
    "text as number": (put("features", 0, "mean", value="1.5"), r"at features\.0\.numeric\.mean"),
    "share over one": (put("features", 0, "missing_share", value=1.5), "missing_share"),
    "no features": (put("features", value=[]), "at features"),
    "feature twice": (put("features", 1, "name", value="age"), "feature 'age' is listed twice"),
    "order of kinds": (lambda d: d["features"].reverse(), "features must stand kind by kind: numeric, categorical"),
    "task twice": (put("tasks", 1, "name", value="price"), "task 'price' is listed twice"),
    "reserved task": (put("tasks", 0, "name", value="gate_weights"), "a task is called 'gate_weights'"),
    "binary with one class": (put("tasks", 1, "classes", value=["yes"]), "a binary task with 1 classes"),
    "regression with classes": (put("tasks", 0, "classes", value=["yes"]), "a regression task with 1 classes"),
    "gates without experts": (put("experts", value=0), "0 experts and a gate baseline"),
    "gated architecture, no gates": (put("gates", value=None), "no gate baseline"),
    "plain architecture, gates": (put("architecture", value="single_task"), "'single_task' with 4 experts"),
    "gates of another task": (lambda d: d["gates"]["tasks"].pop("sold"), "gates.tasks names"),
    "short utilisation": (
        put("gates", "tasks", "sold", "utilisation", value=[1.0]),
        r"gates.tasks.sold.utilisation has shape \(1,\); expected \(4,\)",
    ),
    "ragged histogram": (put("gates", "tasks", "sold", "histogram", value=[[1], [1, 2]]), "histogram has shape None"),
    "edges fall": (put("gates", "histogram_edges", value=[0.0, 0.5, 0.2]), "histogram_edges must increase"),
    "similarity of two": (put("gates", "similarity", value=[[1.0]]), "gates.similarity has shape"),
    "average logits of two": (put("gates", "average_logits", value=[[1.0, 2.0]]), "gates.average_logits has shape"),
    "golden without answers": (drop("golden", "outputs", "sold"), "golden.outputs names"),
    "golden with a stranger": (put("golden", "outputs", "rent", value=[1.0]), "golden.outputs names"),
    "golden answers of fewer rows": (
        put("golden", "outputs", "sold", value=[0.5]),
        r"golden.outputs.sold has shape \(1,\); expected \(4,\)",
    ),
    "golden null answer": (put("golden", "outputs", "sold", 0, value=None), "golden.outputs.sold has shape None"),
    "golden text answer": (put("golden", "outputs", "sold", value=["a"] * 4), "golden.outputs.sold has shape None"),
    "golden narrow row": (put("golden", "numeric", 0, value=[1.0]), "golden.numeric has shape None"),
    "golden without categories": (drop("golden", "categorical"), "golden.categorical has shape None"),
    "golden number as category": (put("golden", "categorical", 0, 0, value=5), "golden.categorical.0.0"),
    "golden without rows": (
        lambda d: d["golden"].update(numeric=[], categorical=[]),
        "golden.numeric has shape None",
    ),
    "tolerance of zero": (put("golden", "tolerance", value=0), "at golden.tolerance"),
    "infinity": (put("features", 0, "maximum", value=float("inf")), "features.0.numeric.maximum"),
    "not a number": (put("gates", "tasks", "sold", "entropy", value=float("nan")), "gates.tasks.sold.entropy"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_manifest_is_refused_with_the_place(text: str, fault: str) -> None:
    edit, expected = FAULTS[fault]
    document = json.loads(text)
    edit(document)
    with pytest.raises(ArtifactError, match=expected):
        parse_manifest(json.dumps(document))


def with_own_experts(document: Any, own: dict[str, list[int]]) -> Any:
    """Turn the file of three tasks and four experts into one of CGC."""
    document |= {"architecture": "cgc", "own_experts": own}
    for task, row in zip(document["tasks"], document["gates"]["average_logits"], strict=True):
        hidden = [expert for name, experts in own.items() if name != task["name"] for expert in experts]
        row[:] = [None if expert in hidden else logit for expert, logit in enumerate(row)]
    return document


def test_each_gate_of_cgc_sees_shared_experts_and_its_own(text: str) -> None:
    cgc = parse_manifest(json.dumps(with_own_experts(json.loads(text), {"price": [1], "sold": [2], "grade": [3]})))
    assert (cgc.experts, cgc.seen_experts) == (4, 2)
    assert parse_manifest(text).seen_experts == 4


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"price": [2]}, "own_experts names"),
        ({"price": [2, 3], "sold": [1], "grade": [0]}, "as many for each task"),
        ({"price": [2], "sold": [2], "grade": [3]}, "none of two tasks"),
        ({"price": [1], "sold": [2], "grade": [4]}, "names expert 4; there are 4"),
    ],
)
def test_own_experts_that_contradict_the_manifest_are_refused(
    text: str, own: dict[str, list[int]], message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        parse_manifest(json.dumps(with_own_experts(json.loads(text), own)))


def test_a_logit_of_an_expert_that_no_gate_sees_is_refused(text: str) -> None:
    document = with_own_experts(json.loads(text), {"price": [1], "sold": [2], "grade": [3]})
    document["gates"]["average_logits"][0] = [0.5] * 4
    with pytest.raises(ArtifactError, match="must be null for the other tasks' own experts alone"):
        parse_manifest(json.dumps(document))


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """List the places of all numbers that have a fraction, or may have one."""
    if isinstance(value, dict | list):
        for step, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, *path, step)
    elif isinstance(value, float):
        yield path


@pytest.mark.parametrize("number", ["1e999", "-1e999", "Infinity", "-Infinity", "NaN", "1" + 400 * "0"])
def test_no_number_may_be_infinite_or_none_wherever_it_stands(text: str, number: str) -> None:
    document = json.loads(text)
    document["provenance"]["seconds"] = {"training": [1.5]}
    every = list(places(document))
    assert len({path[0] for path in every}) == 5, "features, tasks, gates, golden, provenance"
    for path in every:
        broken = copy.deepcopy(document)
        put(*path, value="HERE")(broken)
        with pytest.raises(ArtifactError, match=r"manifest is wrong"):
            parse_manifest(json.dumps(broken).replace('"HERE"', number))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN"])
def test_a_golden_answer_that_anything_is_close_to_is_refused(text: str, number: str) -> None:
    document = json.loads(text)
    document["golden"]["outputs"]["sold"][1] = "HERE"
    with pytest.raises(ArtifactError, match=r"at golden\.outputs\.sold: .*expected finite"):
        parse_manifest(json.dumps(document).replace('"HERE"', number))


def test_tens_of_thousands_of_names_are_compared_once_each(text: str) -> None:
    document = json.loads(text)
    feature, rows, count = document["features"][0], document["golden"]["numeric"], 50_000
    document["features"] = [feature | {"name": f"feature {number}"} for number in range(count)]
    del document["golden"]["categorical"]
    document["golden"]["numeric"] = [[1.5] * count for _ in rows]
    assert len(parse_manifest(json.dumps(document)).numeric) == count
    document["features"][-1]["name"] = "feature 7"
    with pytest.raises(ArtifactError, match="feature 'feature 7' is listed twice"):
        parse_manifest(json.dumps(document))


def test_tens_of_thousands_of_tasks_take_their_shapes_from_one_look(text: str) -> None:
    document, count = json.loads(text), 50_000
    document |= {"architecture": "single_task", "experts": 0, "gates": None}
    document["tasks"] = [{"name": f"task {number}", "kind": "regression"} for number in range(count)]
    document["golden"]["outputs"] = {f"task {number}": [0.5] * 4 for number in range(count)}
    manifest = parse_manifest(json.dumps(document))
    assert {manifest.output_shape(name, 2) for name in manifest.outputs} == {(2,)}


def test_an_error_lists_a_few_names_of_many(text: str) -> None:
    document = json.loads(text)
    document["golden"]["outputs"] |= {f"other {number}": [0.5] * 4 for number in range(5000)}
    with pytest.raises(ArtifactError, match=r"golden\.outputs names .* and 4994 more; expected") as caught:
        parse_manifest(json.dumps(document))
    assert len(str(caught.value)) < 1000


LONG = "x" * 900
QUOTING: dict[str, Edit] = {
    "schema version": put("schema_version", value=LONG * 100),
    "kind of a feature": put("features", 0, "kind", value=LONG),
    "feature twice": lambda d: [feature.update(name=LONG) for feature in d["features"]],
    "task twice": lambda d: [task.update(name=LONG) for task in d["tasks"]],
    "gates of another task": lambda d: d["gates"]["tasks"].update({LONG: d["gates"]["tasks"].pop("sold")}),
    "answers of another task": lambda d: d["golden"]["outputs"].update({LONG: d["golden"]["outputs"].pop("sold")}),
    "place": lambda d: d["gates"]["tasks"].update({LONG: {}}),
}


@pytest.mark.parametrize("fault", QUOTING)
def test_an_error_quotes_a_hundred_characters_of_a_name(text: str, fault: str) -> None:
    document = json.loads(text)
    QUOTING[fault](document)
    with pytest.raises(ArtifactError) as caught:
        parse_manifest(json.dumps(document))
    assert max(map(len, re.findall("x+", str(caught.value))), default=0) <= MOST_QUOTED


def test_an_error_of_the_graph_quotes_a_hundred_characters_of_a_name(manifest: Manifest) -> None:
    tasks = (*manifest.tasks[:-1], manifest.tasks[-1].model_copy(update={"name": LONG}))
    promised = manifest.model_copy(update={"tasks": tasks})
    graph = Interface((), (), (Tensor(LONG, "float", ("rows",)),), ())
    refusals: list[Callable[[], object]] = [
        lambda: check_graph(promised, graph),
        lambda: check_tasks(promised, frozenset({"other"})),
    ]
    for refused in refusals:
        with pytest.raises(ArtifactError) as caught:
            refused()
        assert max(map(len, re.findall("x+", str(caught.value))), default=0) <= MOST_QUOTED


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x00", '{"schema_version": 1e999}'])
def test_what_is_no_manifest_is_refused(content: str) -> None:
    with pytest.raises(ArtifactError, match="manifest"):
        parse_manifest(content)
