"""Stratified splits: every class everywhere, in the sizes of the random split.

And that split itself where it will do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.config.run import Config
from model.data.splits import TEST, TRAIN, VALIDATION, assign
from model.data.stratify import lacking, stratify
from model.data.table import read_dataset
from model.schema import Dataset
from tables.config import Split
from tables.errors import DataError
from tables.source import Table


def plain(rows: int, split: Split) -> NDArray[np.int8]:
    """Divide rows at random as version 0.1.0 did; published figures rest on it."""
    places = np.random.default_rng(split.seed).permutation(rows)
    test = round_down_half(rows * (1 - split.test))
    validation = round_down_half(rows * (1 - split.test - split.validation))
    return ((places >= validation).astype(np.int8) + (places >= test)).astype(np.int8)


def round_down_half(value: float) -> int:
    bounds = np.arange(int(value) + 3)
    return int(np.argmin(np.abs(bounds - value)))


def numbered(rows: int) -> Table:
    return Table(pl.DataFrame({"row": range(rows)}), np.arange(1, rows + 1))


def strata_of(classes: Sequence[int | None]) -> dict[str, NDArray[np.float64]]:
    return {"t": np.array([np.nan if c is None else c for c in classes], np.float64)}


@given(st.lists(st.sampled_from([0, 1, 2, None]), min_size=20, max_size=300), st.integers(0, 9))
def test_a_random_split_with_every_class_in_place_is_the_one_it_always_was(
    classes: Sequence[int | None], seed: int
) -> None:
    split, strata = Split(seed=seed, validation=0.2), strata_of(classes)
    before = plain(len(classes), split)
    chosen, (note,) = assign(numbered(len(classes)), split, strata)
    if lacking(before, np.bincount(before, minlength=3), strata) is None:
        np.testing.assert_array_equal(chosen, before)
        assert "stratified" not in note
    np.testing.assert_array_equal(assign(numbered(len(classes)), split)[0], before)
    unasked = Split(seed=seed, validation=0.2, stratify=False)
    np.testing.assert_array_equal(assign(numbered(len(classes)), unasked, strata)[0], before)


@given(
    st.lists(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, None]), min_size=30, max_size=300),
    st.integers(0, 9),
    st.sampled_from([None, True]),
)
def test_every_class_that_has_rows_enough_is_in_every_split(
    classes: Sequence[int | None], seed: int, asked: bool | None
) -> None:
    split, strata = Split(seed=seed, stratify=asked), strata_of(classes)
    chosen, _ = assign(numbered(len(classes)), split, strata)
    assert lacking(chosen, np.bincount(chosen, minlength=3), strata) is None
    for value in {c for c in classes if c is not None}:
        counts = np.bincount(chosen[strata["t"] == value], minlength=3)
        assert (counts > 0).all() or counts.sum() < 3
    np.testing.assert_array_equal(np.bincount(chosen), np.bincount(plain(len(classes), split)))


@given(st.integers(30, 400), st.integers(2, 5), st.integers(0, 9))
def test_a_stratified_split_gives_each_class_its_share(rows: int, kinds: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    classes = random.integers(0, kinds, rows).astype(float)
    sizes = np.array([rows - rows // 10 - rows // 5, rows // 10, rows // 5])
    chosen = stratify(random.permutation(rows), sizes, {"t": classes})
    np.testing.assert_array_equal(np.bincount(chosen, minlength=3), sizes)
    for value in range(kinds):
        held = classes == value
        fair = held.sum() * sizes / rows
        assert (np.abs(np.bincount(chosen[held], minlength=3) - fair) < kinds + 1).all()


def test_rare_classes_of_several_tasks_are_divided_at_once() -> None:
    random = np.random.default_rng(1)
    bought = (random.random(5000) < 0.001).astype(float)
    country = random.choice(5, 5000, p=[0.499, 0.3, 0.199, 0.001, 0.001]).astype(float)
    rating = np.where(random.random(5000) < 0.001, 0.0, np.nan)
    strata = {"bought": bought, "country": country, "rating": rating}
    for seed in range(20):
        chosen, (note,) = assign(numbered(5000), Split(seed=seed), strata)
        sizes = np.bincount(chosen)
        assert lacking(chosen, sizes, strata) is None
        assert sizes.tolist() == [3500, 500, 1000]
        if "stratified" in note:
            assert "stratified by class, since the " in note


def test_the_same_seed_gives_the_same_stratified_split_and_another_a_different_one() -> None:
    strata = strata_of([0] * 97 + [1] * 3)
    first, again, other = (assign(numbered(100), Split(seed=s, stratify=True), strata)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_validation_rows_carved_from_a_given_split_hold_every_class_too() -> None:
    part, classes = ["train"] * 95 + ["test"] * 5, [0] * 93 + [1] * 7
    rows = Table(pl.DataFrame({"part": part}), np.arange(1, 101))
    for seed in range(10):
        chosen, (note,) = assign(rows, Split(kind="given", by="part", seed=seed), strata_of(classes))
        assert np.bincount(chosen).tolist() == [85, 10, 5]
        assert (chosen[95:] == TEST).all()
        assert {chosen[93], chosen[94]} == {TRAIN, VALIDATION}, note


@pytest.mark.parametrize("kind", ["time", "group"])
def test_other_splits_cannot_be_stratified(kind: Any) -> None:
    with pytest.raises(ValueError, match=f"'stratify' belongs to a split of kind 'random' or 'given', .* '{kind}'"):
        Split(kind=kind, by="day", stratify=True)


def read(path: Any, frame: pl.DataFrame, tasks: list[dict[str, Any]], **split: Any) -> Dataset:
    frame.write_csv(path)
    data = {"kind": "table", "path": str(path), "split": split}
    return read_dataset(Config.model_validate({"name": "rare", "data": data, "tasks": tasks}))


def test_a_table_with_rare_classes_and_few_labels_is_read_whatever_the_seed(tmp_path: Any) -> None:
    random = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "x": random.normal(size=2000),
            "bought": (np.arange(2000) % 400 == 0).astype(int),
            "country": ["FO" if row % 500 == 7 else "NO" for row in range(2000)],
            "rating": [1.5 if row % 600 == 1 else None for row in range(2000)],
        }
    )
    tasks = [
        {"name": "bought", "column": "bought", "kind": "binary"},
        {"name": "country", "column": "country", "kind": "multiclass"},
        {"name": "rating", "column": "rating", "kind": "regression"},
    ]
    for seed in range(6):
        dataset = read(tmp_path / "t.csv", frame, tasks, seed=seed)
        for rows in (dataset.train, dataset.validation, dataset.test):
            assert set(rows.labels[:, 0]) == {0.0, 1.0}
            assert set(rows.labels[:, 1]) == {0.0, 1.0}
            assert not np.isnan(rows.labels[:, 2]).all()
        assert any("stratified" in note for note in dataset.notes)
        assert sorted(np.concatenate(dataset.row_numbers).tolist()) == list(range(1, 2001))


@pytest.mark.parametrize(
    ("rare", "sentence"),
    [
        (1, "which no training row does; choose another data.split, or drop the row by data.keep"),
        (2, "(2 in the whole table); every split needs one: give more rows, or leave these out by data.keep"),
    ],
)
def test_a_class_of_too_few_rows_is_refused_with_the_way_out(tmp_path: Any, rare: int, sentence: str) -> None:
    frame = pl.DataFrame({"x": range(100), "country": ["GL"] * rare + ["NO"] * (50 - rare) + ["SE"] * 50})
    tasks = [{"name": "country", "column": "country", "kind": "multiclass"}]
    said = []
    for seed in range(20):
        with pytest.raises(DataError) as caught:
            read(tmp_path / "t.csv", frame, tasks, seed=seed)
        said.append(str(caught.value))
    assert all("'GL'" in text and "\n" not in text for text in said)
    assert any(text.endswith(sentence) for text in said)
