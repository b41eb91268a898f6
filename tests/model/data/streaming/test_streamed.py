"""Tables that memory need not hold: what is read from them is what is read from them whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model.config.defaults import settle
from model.config.run import ModelConfig
from model.data.streaming import moments
from model.data.streaming.place import CACHE
from model.data.table import read_dataset
from model.schema import FeatureSchema
from tables.errors import DataError
from tests.support.streamed_tables import assert_same, assert_same_rows, config_of, made, streamed

PARTS = ("train", "validation", "test")


def as_csv(frame: pl.DataFrame, path: Path) -> None:
    """Write text, with the lists joined."""
    frame.with_columns(pl.col("tags").list.join("|")).write_csv(path)


def assert_same_features(one: FeatureSchema, other: FeatureSchema) -> None:
    """Compare all that is known of features; means and deviations up to the order of sums."""
    assert one.names == other.names
    mine, theirs = ((*schema.numeric, *schema.texts, *schema.datetimes) for schema in (one, other))
    for left, right in zip(mine, theirs, strict=True):
        assert type(left) is type(right)
        for name, value in vars(left).items():
            held = getattr(right, name)
            assert value == (pytest.approx(held, rel=1e-12) if isinstance(value, float) else held), (left.name, name)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("data", [{}, {"weight": "times"}, {"split": {"kind": "random", "key": ["user", "item"]}}])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_streamed_table_is_the_table_in_memory(tmp_path: Path, kind: str, data: dict[str, object]) -> None:
    """A split that follows from the cells is the same in both ways; so must all the rest be."""
    path = tmp_path / f"t.{kind}"
    as_csv(made(), path) if kind == "csv" else made().write_parquet(path)
    config = config_of(path, data)
    whole, cut = read_dataset(config), streamed(config, tmp_path / "work")
    assert_same_features(cut.features, whole.features)
    assert cut.tasks[:3] == whole.tasks[:3]
    scale = {"mean": pytest.approx(whole.tasks[3].mean), "std": pytest.approx(whole.tasks[3].std)}
    assert vars(cut.tasks[3]) == vars(whole.tasks[3]) | scale
    for part in PARTS:
        assert_same_rows(getattr(cut, part), getattr(whole, part))
    for mine, theirs in zip(cut.row_numbers, whole.row_numbers, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert cut.segments == whole.segments
    assert cut.digest == whole.digest
    assert cut.source == whole.source
    assert sorted(cut.remarks) == sorted(whole.remarks)
    assert sorted(cut.notes) == sorted(whole.notes)


@pytest.mark.usefixtures("small_blocks")
def test_bins_left_open_are_chosen_alike(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    made().write_parquet(path)
    config = config_of(path).model_copy(update={"model": ModelConfig()})
    whole, cut = read_dataset(config), streamed(config, tmp_path / "work")
    assert_same_features(cut.features, whole.features)
    assert max(len(feature.bin_edges) for feature in cut.features.numeric) > 2
    assert settle(config, cut) == settle(config, whole)
    assert settle(config, cut).config.model.numeric_encoding == "mixed"


@pytest.mark.usefixtures("small_blocks")
def test_the_way_rows_are_cut_into_files_has_no_say(tmp_path: Path) -> None:
    """One file, and files and row groups of odd sizes, give the same bytes."""
    frame = made()
    one, many = tmp_path / "one", tmp_path / "many"
    one.mkdir()
    many.mkdir()
    frame.write_parquet(one / "all.parquet")
    for number, (start, rows) in enumerate([(0, 1), (1, 700), (701, 256), (957, 2043)]):
        frame.slice(start, rows).write_parquet(many / f"part-{number}.parquet", row_group_size=97)
    random = {"split": {"kind": "random"}, "weight": "times"}
    first, second = (streamed(config_of(path, random), tmp_path / f"work-{path.name}") for path in (one, many))
    assert_same(first, second)


@pytest.mark.usefixtures("small_blocks")
def test_the_sample_is_of_test_rows_with_the_text_that_a_client_would_send(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    made().write_parquet(path)
    config = config_of(path)
    cut, whole = streamed(config, tmp_path), read_dataset(config)
    assert cut.sample is not None
    assert len(cut.test.text) == 0
    assert_same_rows(cut.sample, replace(whole.test, segments=None))  # fewer than are kept: all of them
    np.testing.assert_array_equal(cut.sample.text, whole.test.text)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("by", ["day", "at", ["day", "stars"]])
def test_a_split_by_time_divides_no_moment_and_is_that_of_memory(tmp_path: Path, by: str | list[str]) -> None:
    day = pl.Series(np.random.default_rng(0).integers(-20, 50, 3_000))
    frame = made().with_columns(day=day, at=day.cast(pl.Int32).cast(pl.Date))
    frame.drop("day" if by == "at" else "at").write_parquet(tmp_path / "t.parquet")
    config = config_of(tmp_path / "t.parquet", {"split": {"kind": "time", "by": by}})
    cut, whole = streamed(config, tmp_path), read_dataset(config)
    for mine, theirs in zip(cut.row_numbers, whole.row_numbers, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.usefixtures("small_blocks")
def test_a_split_by_group_divides_no_group(tmp_path: Path) -> None:
    frame = made()
    frame.write_parquet(tmp_path / "t.parquet")
    config = config_of(tmp_path / "t.parquet", {"split": {"kind": "group", "by": "user"}})
    users = [set(frame["user"].gather(numbers - 1)) for numbers in streamed(config, tmp_path).row_numbers]
    assert len(set.union(*users)) == sum(map(len, users))
    assert len(users[1]) == pytest.approx(40, abs=20)


@pytest.mark.usefixtures("small_blocks")
def test_shares_are_met_about_and_rows_stay_when_the_table_grows(tmp_path: Path) -> None:
    config = config_of(tmp_path / "t.parquet", {"split": {"kind": "random", "seed": 3}})
    made(4_000).head(3_000).write_parquet(tmp_path / "t.parquet")
    before = streamed(config, tmp_path).row_numbers
    made(4_000).write_parquet(tmp_path / "t.parquet")
    after = streamed(config, tmp_path).row_numbers
    rows = sum(map(len, before))
    assert [len(numbers) / rows for numbers in before] == pytest.approx([0.7, 0.1, 0.2], abs=0.03)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new[: len(old)])


@pytest.mark.usefixtures("small_blocks")
def test_a_validation_split_is_carved_where_no_row_is_named_for_it(tmp_path: Path) -> None:
    frame = made().with_columns(pl.col("split").replace("validation", "train"))
    frame.write_parquet(tmp_path / "t.parquet")
    cut = streamed(config_of(tmp_path / "t.parquet"), tmp_path)
    named = [set(frame["split"].gather(numbers - 1)) for numbers in cut.row_numbers]
    assert named == [{"train"}, {"train"}, {"test"}]
    assert len(cut.validation) / (len(cut.train) + len(cut.validation)) == pytest.approx(0.1, abs=0.03)


@pytest.mark.usefixtures("small_blocks")
def test_without_rows_there_are_features_notes_and_row_numbers(tmp_path: Path) -> None:
    """`--check` makes one pass, and no cache."""
    made().write_parquet(tmp_path / "t.parquet")
    config = config_of(tmp_path / "t.parquet")
    told, whole = streamed(config, None, rows=False), streamed(config, tmp_path)
    assert (told.features, told.tasks, told.notes) == (whole.features, whole.tasks, whole.notes)
    for mine, theirs in zip(told.row_numbers, whole.row_numbers, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert [len(getattr(told, part)) for part in PARTS] == [0, 0, 0]


@pytest.mark.usefixtures("small_blocks")
def test_rows_without_a_folder_of_a_run_are_cached_in_a_temporary_one(tmp_path: Path) -> None:
    made().write_parquet(tmp_path / "t.parquet")
    config = config_of(tmp_path / "t.parquet")
    assert_same(streamed(config, None), streamed(config, tmp_path))


@pytest.mark.usefixtures("small_blocks")
def test_a_cache_that_is_there_is_used_until_the_table_or_the_configuration_differs(tmp_path: Path) -> None:
    path, manifest = tmp_path / "t.parquet", tmp_path / CACHE / "manifest.json"
    made().write_parquet(path)
    first = streamed(config_of(path), tmp_path)
    written = manifest.stat().st_mtime_ns
    tasks = tuple(task.model_copy(update={"weight": 3.0}) for task in config_of(path).tasks)
    again = streamed(config_of(path).model_copy(update={"tasks": tasks}), tmp_path)
    assert manifest.stat().st_mtime_ns == written
    assert [task.weight for task in again.tasks] == [3.0] * 4
    assert_same_rows(again.train, first.train)
    streamed(config_of(path, min_count=6), tmp_path)
    assert manifest.stat().st_mtime_ns > written
    written = manifest.stat().st_mtime_ns
    made().head(2_900).write_parquet(path)
    assert len(streamed(config_of(path, min_count=6), tmp_path).train) < len(first.train)
    assert manifest.stat().st_mtime_ns > written


@pytest.mark.usefixtures("small_blocks")
def test_a_file_that_was_cut_short_is_written_anew(tmp_path: Path) -> None:
    made().write_parquet(tmp_path / "t.parquet")
    config = config_of(tmp_path / "t.parquet")
    whole = streamed(config, tmp_path / "whole")
    streamed(config, tmp_path)
    with (tmp_path / CACHE / "train.codes").open("r+b") as file:
        file.truncate(100)
    assert_same(streamed(config, tmp_path), whole)


@pytest.mark.usefixtures("small_blocks")
def test_a_budget_of_disk_is_kept_before_anything_is_written(tmp_path: Path) -> None:
    made().write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"takes 0\.00 GiB, and data\.cache_gib allows 1e-06; raise it"):
        streamed(config_of(tmp_path / "t.parquet", {"cache_gib": 1e-6}), tmp_path)
    assert not (tmp_path / CACHE).exists()


def odd_table(head: int, later: list[str], path: Path) -> None:
    """Write text: numbers in the first rows, then some other values."""
    n = np.arange(head).astype(str).tolist() + later
    pl.DataFrame({"n": n, "y": np.arange(len(n)) % 2}).write_csv(path)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("odd", "refused"), [(20, False), (400, True)])
def test_kinds_are_those_of_the_first_rows_and_later_odd_values_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: int, refused: bool
) -> None:
    from model.data.streaming import survey

    monkeypatch.setattr(survey, "HEAD_ROWS", 512)
    odd_table(1_000, ["n/k"] * odd, tmp_path / "t.csv")
    task = {"name": "y", "column": "y", "kind": "binary"}
    data = {"kind": "table", "path": str(tmp_path / "t.csv")}
    config = type(config_of(tmp_path)).model_validate({"name": "odd", "data": data, "tasks": [task]})
    if refused:
        with pytest.raises(DataError, match=r"400 of all 1,400 values are none \(the first in row 1001\)"):
            streamed(config, tmp_path)
        return
    cut = streamed(config, tmp_path)
    assert "20 values are not numbers (the first in row 1001): taken as missing" in " ".join(cut.remarks)
    assert np.isnan(np.concatenate([getattr(cut, part).numeric for part in PARTS])).sum() == odd


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("told", [None, True])
def test_a_rare_class_is_in_every_split(tmp_path: Path, told: bool | None) -> None:
    """Asked for or not: a hash of 3,000 rows may leave a class of three rows out of a split."""
    stars = pl.Series(np.random.default_rng(2).integers(1, 4, 3_000))
    stars = stars.scatter([5, 1_300, 2_900], [4, 4, 4]).scatter(list(range(100, 160)), [5] * 60)
    made().with_columns(stars=stars).write_parquet(tmp_path / "t.parquet")
    split = {"kind": "random"} | ({} if told is None else {"stratify": told})
    cut = streamed(config_of(tmp_path / "t.parquet", {"split": split, "keep": []}), tmp_path)
    assert cut.tasks[2].classes == ("1", "2", "3", "4", "5")
    classes = [getattr(cut, part).labels[:, 2] for part in PARTS]
    assert [int((held == 3).sum()) for held in classes] == [1, 1, 1]
    assert [int((held == 4).sum()) for held in classes] == pytest.approx([42, 6, 12], abs=1)
    assert "stratified by class" in " ".join(cut.notes)


@pytest.mark.usefixtures("small_blocks")
def test_a_class_that_a_split_lacks_is_refused_where_nothing_may_be_stratified(tmp_path: Path) -> None:
    made().with_columns(stars=pl.Series(np.arange(3_000) % 2 * 4 + 1).scatter([5, 6, 7], [2, 2, 2])).write_parquet(
        tmp_path / "t.parquet"
    )
    split = {"kind": "random", "stratify": False, "seed": 0}
    config = config_of(tmp_path / "t.parquet", {"split": split, "keep": []})
    with pytest.raises(DataError, match=r"task 'stars': no row of class '2' is in the \w+ split \(3 in the whole"):
        streamed(config, tmp_path)


@pytest.mark.usefixtures("small_blocks")
def test_many_moments_are_joined_with_their_neighbours_and_none_is_in_two_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "MOST_MOMENTS", 200)
    at = np.random.default_rng(4).integers(-(10**9), 10**9, 1_500)
    made().with_columns(at=np.concatenate([at, at])).write_parquet(tmp_path / "t.parquet")
    config = config_of(tmp_path / "t.parquet", {"split": {"kind": "time", "by": "at"}, "keep": []})
    splits = [np.concatenate([at, at])[numbers - 1] for numbers in streamed(config, tmp_path).row_numbers]
    assert splits[0].max() < splits[1].min()
    assert splits[1].max() < splits[2].min()
    assert [len(held) / 3_000 for held in splits] == pytest.approx([0.7, 0.1, 0.2], abs=0.02)


@pytest.mark.usefixtures("small_blocks")
def test_a_row_without_a_moment_is_refused_by_its_number(tmp_path: Path) -> None:
    at = pl.Series(np.arange(3_000)).scatter([1_234], [None])
    made().with_columns(at=at).write_parquet(tmp_path / "t.parquet")
    config = config_of(tmp_path / "t.parquet", {"split": {"kind": "time", "by": "at"}, "keep": []})
    with pytest.raises(DataError, match=r"'at' of data\.split\.by is missing in row 1235"):
        streamed(config, tmp_path)
