"""Manifests with hashed ids, bags, moments and shared tables: read whole, or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.artifact.entries import MISSING_TIME, BagFeature, DatetimeFeature, HashedFeature
from service.artifact.file import golden_inputs, read_model
from service.artifact.manifest import Manifest, parse_manifest
from service.artifact.protobuf import metadata
from service.errors import ArtifactError
from service.inference.predictor import Predictor

Edit = Callable[[Any], object]
USER, TAGS, SEEN, TIME = 5, 6, 7, 8


@pytest.fixture(scope="module")
def text(hand_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    return metadata(hand_model(tmp_path_factory.mktemp("models"), kind="kinds").read_bytes())["mmoe.manifest"]


@pytest.fixture(scope="module")
def manifest(text: str) -> Manifest:
    return parse_manifest(text)


def test_kinds_stand_in_their_order(manifest: Manifest) -> None:
    assert manifest.feature_names[3:] == ("colour", "city", "user", "tags", "seen", "clicked_at")
    assert [type(feature) for feature in manifest.features[5:]] == [
        HashedFeature, BagFeature, BagFeature, DatetimeFeature
    ]  # fmt: skip
    assert [feature.name for feature in manifest.texts] == ["colour", "city", "user", "tags", "seen"]
    assert manifest.inputs == ("numeric", "categorical", "datetime")


def test_shapes_follow_from_the_manifest(manifest: Manifest) -> None:
    assert manifest.input_shape("categorical", 7) == (7, 5)
    assert manifest.input_shape("datetime", 7) == (7, 1)
    assert manifest.output_shape("gate_contributions", 7) == (7, 3, 4, 9)
    inputs = golden_inputs(manifest)
    assert {name: (array.dtype.name, array.shape) for name, array in inputs.items()} == {
        "numeric": ("float32", (4, 3)), "categorical": ("object", (4, 5)), "datetime": ("int64", (4, 1))
    }  # fmt: skip


def test_a_missing_golden_moment_is_null_or_the_value_itself(text: str) -> None:
    document = json.loads(text)
    document["golden"]["datetime"] = [[None], [MISSING_TIME], [0], [-1]]
    assert golden_inputs(parse_manifest(json.dumps(document)))["datetime"].tolist() == [
        [MISSING_TIME], [MISSING_TIME], [0], [-1]
    ]  # fmt: skip


def put(place: int, **values: Any) -> Edit:
    return lambda document: document["features"][place].update(values)


def drop(place: int, key: str) -> Edit:
    return lambda document: document["features"][place].pop(key)


FAULTS: dict[str, tuple[Edit, str]] = {
    "unknown kind": (put(USER, kind="image"), "a feature of kind 'image' at features.5, and this service reads .*'bag'"
                     ".* Use a service as new as the trainer"),
    "order": (lambda d: d["features"].insert(0, d["features"].pop()), "kind by kind: numeric, .*, bag, datetime"),
    "one bucket": (put(USER, buckets=1), r"features\.5\.hashed\.buckets"),
    "buckets beyond int32": (put(USER, buckets=2**31 - 2), r"features\.5\.hashed\.buckets"),
    "no seed": (drop(USER, "seed"), r"features\.5\.hashed\.seed"),
    "negative seed": (put(USER, seed=-1), r"features\.5\.hashed\.seed"),
    "no separator": (put(TAGS, separator=""), r"features\.6\.bag\.separator"),
    "unknown pooling": (put(TAGS, pooling="max"), r"features\.6\.bag\.pooling"),
    "vocabulary and buckets": (put(TAGS, buckets=9), "a bag with both a vocabulary and buckets"),
    "neither": (drop(SEEN, "buckets"), "a bag with both a vocabulary and buckets, or with neither"),
    "unknown part": (put(TIME, parts=["minute"]), r"features\.8\.datetime\.parts"),
    "no parts": (put(TIME, parts=[]), r"features\.8\.datetime\.parts"),
    "a part twice": (put(TIME, parts=["hour", "hour"]), "a part is listed twice: hour, hour"),
    "another missing value": (put(TIME, missing_value=0), r"features\.8\.datetime\.missing_value"),
    "range of falling ends": (put(TIME, minimum=1, maximum=0), "the minimum 1 is beyond the maximum 0"),
    "range beyond the years": (put(TIME, maximum=10**15), r"features\.8\.datetime\.maximum"),
    "table of nobody": (put(SEEN, table="who"), "feature 'seen' looks into the table of 'who', which is not a feature"),
    "table of a number": (put(SEEN, table="age"), "looks into the table of 'age', which is not a feature of text"),
    "table of a table": (put(TAGS, table="seen"), "looks into the table of 'seen', which is not"),
    "table of other values": (put(SEEN, table="tags"), "'tags' and 'seen' share a table and have not the same values"),
    "table of other buckets": (put(USER, buckets=9), "'user' and 'seen' share a table and have not the same values"),
    "table of other words": (put(4, table="colour"), "'colour' and 'city' share a table and have not the same values"),
    "task called as the tensor": (lambda d: d["tasks"][0].update(name="datetime"), "a task is called 'datetime'"),
    "golden without moments": (lambda d: d["golden"].pop("datetime"), "golden.datetime has shape None; expected"),
    "golden moment as text": (lambda d: d["golden"].update(datetime=[["now"]] * 4), r"golden\.datetime"),
    "golden moment beyond the years": (lambda d: d["golden"].update(datetime=[[10**15]] * 4), r"golden\.datetime"),
    "golden with narrow texts": (lambda d: d["golden"].update(categorical=[["red", "Oslo"]] * 4),
                                 r"golden\.categorical has shape \(4, 2\); expected \(4, 5\)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_manifest_is_refused_with_the_place(text: str, fault: str) -> None:
    edit, expected = FAULTS[fault]
    document = json.loads(text)
    edit(document)
    with pytest.raises(ArtifactError, match=expected):
        parse_manifest(json.dumps(document))


def test_categories_may_share_a_table_of_the_same_words(text: str) -> None:
    document = json.loads(text)
    document["features"][4] |= {"vocabulary": document["features"][3]["vocabulary"], "table": "colour"}
    document["features"][3]["table"] = "colour"  # its own name says no more than nothing
    assert [feature.table for feature in parse_manifest(json.dumps(document)).categorical] == ["colour", "colour"]


def test_a_file_without_moments_may_have_a_task_of_that_name(hand_model: Callable[..., Path], tmp_path: Path) -> None:
    text = metadata(hand_model(tmp_path).read_bytes())["mmoe.manifest"]
    renamed = text.replace('"price"', '"datetime"')
    assert parse_manifest(renamed).task_names[0] == "datetime"


def test_a_graph_without_the_tensor_of_moments_is_refused(hand_model: Callable[..., Path], tmp_path: Path) -> None:
    def drop_moments(manifest: dict[str, Any]) -> None:
        manifest["features"].pop()
        del manifest["golden"]["datetime"]

    with pytest.raises(ArtifactError, match=r"The graph's inputs are .*'datetime'.*; its manifest promises"):
        read_model(hand_model(tmp_path, kind="kinds", edit=drop_moments))


def test_golden_rows_prove_each_kind(hand_model: Callable[..., Path], tmp_path: Path) -> None:
    def move(kind: str, place: int) -> Edit:
        def edit(manifest: dict[str, Any]) -> None:
            rows = manifest["golden"][kind]
            rows[0][place] = 43_200 if kind == "datetime" else {"user": "other", "tags": "art", "seen": "x"}[
                manifest["features"][3 + place]["name"]
            ]  # fmt: skip

        return edit

    Predictor.load(hand_model(tmp_path, "sound", kind="kinds"))
    for kind, place in (("categorical", 2), ("categorical", 3), ("categorical", 4), ("datetime", 0)):
        path = hand_model(tmp_path, f"{kind}-{place}", kind="kinds", edit=move(kind, place))
        with pytest.raises(ArtifactError, match="Golden row 0 gives"):
            Predictor.load(path)
