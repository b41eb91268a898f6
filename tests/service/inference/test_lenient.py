"""Liberties with rows that come from a table: which are taken, how they are noted, what is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from service.errors import InvalidFeatures
from service.inference.features import FeatureReader
from service.inference.hints import Spellings, spelling
from service.inference.lenient import MOST_NOTES, Lenience, Notes

VOCABULARY = ["3", "2.50", "True", "x", "4", "4.0", "0"]


def edit(manifest: dict[str, Any]) -> None:
    manifest["tasks"][0]["label"] = {"column": "price"}
    colour = next(feature for feature in manifest["features"] if feature["name"] == "colour")
    colour["vocabulary"] = VOCABULARY


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Manifest:
    return read_model(hand_model(tmp_path_factory.mktemp("models"), "kinds", kind="kinds", edit=edit))[1]


@pytest.fixture
def lenience(manifest: Manifest) -> Lenience:
    return Lenience(manifest)


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (3, "3"), (3.0, "3"), (2.5, "2.50"), (True, "True"), (0, "0"),
        (4, None), (4.0, None), (False, None), (5, None), (1, None), (10**50, None),
    ],
)  # fmt: skip
def test_a_number_or_boolean_is_the_one_category_that_equals_it(
    lenience: Lenience, value: object, known: str | None
) -> None:
    """Two spellings of 4 are one too many, and true is not 1."""
    notes = Notes()
    row = {"colour": value}
    assert lenience.rows([row], notes) == [row if known is None else {"colour": known}]
    assert lenience.columns({"colour": [value, "x"]}, Notes()) == {"colour": [value if known is None else known, "x"]}
    assert bool(notes.answer()["notes"]) == (known is not None)
    assert Spellings(VOCABULARY).only(value) in (None, spelling(value, VOCABULARY))


def test_markers_of_the_table_are_missing_numbers_and_moments(lenience: Lenience) -> None:
    notes = Notes()
    rows = [{"age": "NA", "clicked_at": ""}, {"age": "", "city": "NA"}, {"age": "N/A"}]
    expected = [{"age": None, "clicked_at": None}, {"age": None, "city": "NA"}, {"age": "N/A"}]
    assert lenience.rows(rows, notes) == expected
    assert notes.answer() == {
        "notes": [
            {"feature": "age", "row": 0, "rows": 2, "message": "the string 'NA' was taken for a missing value"},
            {"feature": "clicked_at", "row": 0, "rows": 1, "message": "the string '' was taken for a missing value"},
        ]
    }


def test_labels_and_dropped_columns_are_ignored(lenience: Lenience) -> None:
    rows, columns = Notes(), Notes()
    assert lenience.rows([{"age": 1}, {"price": 3, "row_id": 7, "nope": 1}], rows) == [{"age": 1}, {"nope": 1}]
    assert [(note["feature"], note["row"], note["rows"]) for note in rows.answer()["notes"]] == [
        ("price", 1, 1),
        ("row_id", 1, 1),
    ]
    assert lenience.columns({"age": [1, 2], "price": [3, 4], "row_id": 5}, columns) == {"age": [1, 2]}
    assert [(note["feature"], note["rows"]) for note in columns.answer()["notes"]] == [("price", 2), ("row_id", 0)]


def test_notes_are_bounded() -> None:
    notes = Notes()
    for index in range(50):
        notes.take(f"f{index}" * 100, index, lambda: "ignored")
    answer = notes.answer()
    assert (len(answer["notes"]), answer["more_notes"]) == (MOST_NOTES, 50 - MOST_NOTES)
    assert all(len(note["feature"]) < 110 for note in answer["notes"])


@pytest.mark.parametrize("rows", [None, 5, {}, "x", [None], [[]], [[1, 2]], [5, "x", None], [{"age": []}]])
def test_what_is_not_a_row_is_left_for_the_strict_reader(lenience: Lenience, rows: object) -> None:
    assert lenience.rows(rows, Notes()) == rows
    if type(rows) is not dict:
        assert lenience.columns(rows, Notes()) == rows


def test_a_row_as_an_array_is_read_in_order(manifest: Manifest, lenience: Lenience) -> None:
    row: list[object] = [None] * len(manifest.feature_names)
    row[0], row[3] = "NA", True
    assert lenience.rows([row], Notes()) == [[None, None, None, "True", *[None] * (len(row) - 4)]]


def test_no_value_is_taken_for_a_number_beside_the_markers(manifest: Manifest, lenience: Lenience) -> None:
    values: tuple[object, ...] = ("3", True, [1], {})
    for value in values:
        with pytest.raises(InvalidFeatures):
            FeatureReader(manifest, 5).from_instances(lenience.rows([{"age": value}], Notes()))


def test_white_space_around_a_marker_counts_where_the_table_was_stripped(manifest: Manifest) -> None:
    stripped = manifest.model_copy(update={"category_text": manifest.category_text.model_copy(update={"strip": True})})
    assert Lenience(stripped).rows([{"age": " NA\n"}], Notes()) == [{"age": None}]
    assert Lenience(manifest).rows([{"age": " NA"}], Notes()) == [{"age": " NA"}]
