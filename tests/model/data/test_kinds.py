"""Kinds of columns and the remarks made on them, whatever split the odd cell falls into."""

import random
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from model.config.run import Config
from model.data.cardinality import on_buckets, on_vocabulary
from model.data.table import read_dataset
from model.schema import Dataset
from tables.errors import DataError

ROWS = 400
TASK = {"name": "y", "column": "y", "kind": "regression"}
Read = Callable[..., Dataset]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read columns beside a number `z` and a label, from CSV or from Parquet."""

    def reader(columns: dict[str, Any], parquet: bool = False, features: Any = None, **data: Any) -> Dataset:
        count = len(next(iter(columns.values())))
        base = {"z": [0.25 + row % 13 for row in range(count)], "y": [row % 5 for row in range(count)]}
        frame = pl.DataFrame({**columns, **base})
        path = tmp_path / "table"
        frame.write_parquet(path) if parquet else frame.write_csv(path)
        settings = {"kind": "table", "path": str(path), **data}
        return read_dataset(
            Config.model_validate({"name": "a", "data": settings, "features": features or {}, "tasks": [TASK]})
        )

    return reader


def numeric(dataset: Dataset) -> list[str]:
    return [feature.name for feature in dataset.features.numeric if feature.name != "z"]


def categorical(dataset: Dataset) -> list[str]:
    return [feature.name for feature in dataset.features.categorical]


def ages(count: int = ROWS) -> list[str]:
    return [str(18 + row % 70) for row in range(count)]


def line(dataset: Dataset, column: str) -> str:
    (found,) = [remark for remark in dataset.remarks if remark.startswith(f"{column}: ")]
    assert found in dataset.notes  # and so in the output and in the report
    assert "\n" not in found
    return found.removeprefix(f"{column}: ")


@pytest.mark.parametrize("marker", [r"\N", "N/A", "#N/A", "-", "None", "missing"])
def test_one_odd_cell_among_numbers_is_missing_and_named(read: Read, marker: str) -> None:
    values = ages(3000)
    values[7] = marker
    dataset = read({"age": values})
    assert numeric(dataset) == ["age"]
    assert line(dataset, "age") == (
        f"2,999 numbers and 1 other value ('{marker}', row 8): taken as numbers, that cell as missing"
    )
    missing = [np.isnan(rows.numeric[:, 0]).sum() for rows in (dataset.train, dataset.validation, dataset.test)]
    assert sum(missing) == 1


@pytest.mark.parametrize("row", range(8))
def test_outcome_does_not_depend_on_the_split_that_an_odd_cell_falls_into(read: Read, row: int) -> None:
    values = ages()
    values[row] = "N/A"
    dataset = read({"age": values})
    assert numeric(dataset) == ["age"]
    assert line(dataset, "age").startswith(f"399 numbers and 1 other value ('N/A', row {row + 1}): taken as numbers")


def test_column_of_different_numbers_is_not_lost_to_one_odd_cell(read: Read) -> None:
    values = [f"{row * 0.37:.3f}" for row in range(ROWS)]
    values[7] = r"\N"
    assert numeric(read({"amount": values})) == ["amount"]


def test_several_odd_cells_are_listed_up_to_three(read: Read) -> None:
    values = ages()
    values[3:8] = ["a", "b", "a", "c", "d"]
    assert line(read({"age": values}), "age") == (
        "395 numbers and 5 other values ('a', 'b', 'c' and 1 more, first in row 4): taken as numbers, those cells as "
        "missing"
    )


def test_too_many_odd_cells_make_categories_and_say_so(read: Read) -> None:
    values = ages()
    values[::10] = ["unknown"] * 40
    dataset = read({"age": values})
    assert categorical(dataset) == ["age"]
    assert line(dataset, "age").startswith(
        "360 numbers and 40 other values ('unknown', first in row 1): taken as categories; add what means missing to "
        "data.missing"
    )
    assert numeric(read({"age": values}, missing=["unknown"])) == ["age"]


def test_words_are_categories_without_a_word(read: Read) -> None:
    words = [("red", "green", "blue", "7")[row % 4] for row in range(ROWS)]
    dataset = read({"colour": words, "flag": [row % 2 == 0 for row in range(ROWS)]})
    assert categorical(dataset) == ["colour", "flag"]
    assert dataset.remarks == ()


def test_plain_numbers_are_numbers_without_a_word(read: Read) -> None:
    dataset = read({"age": ages(), "share": [f"{row % 17 / 16}" for row in range(ROWS)]})
    assert numeric(dataset) == ["age", "share"]
    assert dataset.remarks == ()


@pytest.mark.parametrize("parquet", [False, True])
def test_declared_columns_are_not_remarked_on_for_their_kind(read: Read, parquet: bool) -> None:
    values = {"code": ["007", "12"] * 200, "one": ["3"] * ROWS, "id": [str(row) for row in range(ROWS)]}
    assert read(values, parquet, {"categorical": ["code"], "numeric": ["one", "id"]}).remarks == ()


@pytest.mark.parametrize(
    ("cells", "setting", "low"),
    [
        (["3,5", "-0,123", "17", "1,234"], {"decimal": ","}, -0.123),
        (["1,234", "999", "12,000", "1,234,567"], {"thousands": ","}, 999),
        (["1.234,5", "999,1", "12.000", "1.234.567,25"], {"decimal": ",", "thousands": "."}, 999.1),
        (["1 234", "999", "12 000"], {"thousands": " "}, 999),
        (["1\u00a0234,5", "999,1", "12\u202f000"], {"decimal": ",", "thousands": " "}, 999.1),
        (["1'234.50", "999", "12'000"], {"thousands": "'"}, 999),
    ],
)
def test_numbers_in_another_convention_say_which_setting_reads_them(
    read: Read, cells: list[str], setting: dict[str, str], low: float
) -> None:
    values = [cells[row % len(cells)] for row in range(ROWS)]
    dataset = read({"price": values})
    assert categorical(dataset) == ["price"]
    said = line(dataset, "price")
    assert "taken as categories; set data." in said
    assert " and ".join(f'data.{key} = "{value}"' for key, value in setting.items()) in said
    mended = read({"price": values}, **setting)
    assert numeric(mended) == ["price"]
    (price,) = (f for f in mended.features.numeric if f.name == "price")
    assert price.minimum == np.float32(low)
    assert not any(remark.startswith("price: ") for remark in mended.remarks)


def test_few_numbers_with_a_sign_between_thousands_are_named_too(read: Read) -> None:
    values = ages()
    values[5] = "1,234"
    said = line(read({"amount": values}), "amount")
    assert said.startswith(
        "399 numbers and 1 other value ('1,234', row 6): taken as numbers, that cell as missing; set"
    )
    assert 'data.thousands = ","' in said


@pytest.mark.parametrize("cells", [["12%", "13.5 %"], ["$3.50", "$12"], ["3,50 €", "12,00 €"], ["EUR 3", "EUR 4.5"]])
def test_per_cent_and_currency_signs_are_remarked_on(read: Read, cells: list[str]) -> None:
    said = line(read({"price": [cells[row % 2] for row in range(ROWS)]}), "price")
    assert said.endswith(
        "taken as categories; take the per cent or currency sign away in the table to have them as numbers"
    )


def test_totals_in_the_last_row_are_remarked_on(read: Read) -> None:
    shops = [f"shop {row % 3}" for row in range(ROWS)]
    said = line(read({"shop": [*shops, "Total"]}), "shop")
    assert said.startswith("the last row (401) holds 'Total' and looks like sums of the others: leave it out")
    assert read({"shop": [*shops, "Total"]}, keep=["shop != Total"]).remarks == ()
    assert read({"shop": ["Total", *shops, "Total"]}).remarks == ()  # a value as others
    age = line(read({"age": [*ages(), "Total"]}), "age")
    assert "1 other value ('Total', row 401)" in age
    assert "looks like sums" in age


def test_text_that_holds_numbers_in_a_typed_file_is_remarked_on(read: Read) -> None:
    dataset = read({"age": ages()}, parquet=True)
    assert categorical(dataset) == ["age"]
    assert line(dataset, "age").startswith(
        "text that holds numbers alone ('18'): taken as categories; name it in features"
    )
    assert numeric(read({"age": ages()}, True, {"numeric": ["age"]})) == ["age"]


@pytest.mark.parametrize("parquet", [False, True])
def test_numbers_like_identifiers_are_remarked_on(read: Read, parquet: bool) -> None:
    dataset = read({"customer": [1000 + row for row in range(ROWS)]}, parquet)
    assert numeric(dataset) == ["customer"]
    assert line(dataset, "customer").startswith("400 different whole numbers in 400 rows, as an identifier has")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["2E5", "10", "20"], "values ('2E5', first in row 1) read as powers of ten: taken as numbers"),
        (["007", "10", "20"], "values ('007', first in row 1) read without their leading zeros: taken as numbers"),
    ],
)
def test_codes_that_read_as_numbers_are_remarked_on(read: Read, cells: list[str], said: str) -> None:
    dataset = read({"code": [cells[row % 3] for row in range(ROWS)]})
    assert numeric(dataset) == ["code"]
    assert line(dataset, "code") == f"{said}; name it in features.categorical if they are codes"


def test_decimals_and_signed_exponents_are_numbers_without_a_word(read: Read) -> None:
    cells = ["0.5", "-0.25", "1.5e+05", "1E-05", "0", "00", "-1"]
    assert all("leading" in r for r in read({"x": [cells[row % 7] for row in range(ROWS)]}).remarks)
    cells.remove("00")
    assert read({"x": [cells[row % 6] for row in range(ROWS)]}).remarks == ()


def test_dates_with_an_odd_cell_are_dates(read: Read) -> None:
    days = [f"2024-01-{1 + row % 28:02d}" for row in range(ROWS)]
    days[3] = "unknown"
    assert line(read({"day": days}), "day").startswith("looks like dates ('2024-01-01'): taken as categories")


def test_minus_sign_of_typography_is_a_minus_sign(read: Read) -> None:
    dataset = read({"x": [("\u2212" if row % 2 else "") + str(row % 50) for row in range(ROWS)]})
    assert dataset.features.numeric[0].minimum == -49.0
    assert dataset.remarks == ()


def test_na_among_country_codes_is_remarked_on(read: Read) -> None:
    countries = [("DE", "NA", "FR", "US")[row % 4] for row in range(ROWS)]
    dataset = read({"country": countries})
    assert "NA" not in dataset.features.categorical[0].vocabulary
    assert line(dataset, "country").startswith(
        "100 cells hold 'NA' (first in row 2) beside codes such as 'DE': taken as"
    )
    kept = read({"country": countries}, missing_only=[""])
    assert "NA" in kept.features.categorical[0].vocabulary
    assert kept.remarks == ()
    assert read({"country": countries}, missing=["NA"]).remarks == ()


def test_na_among_other_categories_is_noted_once_for_all_columns(read: Read) -> None:
    columns = {
        "origin": [("All other", " NA ", "Cuban")[row % 3] for row in range(ROWS)],
        "other": [("plain", "NA", "fancy")[row % 3] for row in range(ROWS)],
        "age": ["NA", *ages(ROWS - 1)],
    }
    dataset = read(columns, strip=True)
    assert (
        "Cells with 'NA' are missing: 133 of 'origin', 133 of 'other'; "
        "set data.missing_only if it is a value, else add it to data.missing." in dataset.notes
    )
    assert dataset.remarks == ()
    assert not any("'NA'" in note for note in read(columns, strip=True, missing=["NA"]).notes)
    assert any("133 of 'origin'" in note for note in read(columns, strip=True, missing=["?"]).notes)


def test_na_with_blanks_around_among_country_codes_is_remarked_on(read: Read) -> None:
    said = line(read({"country": [("DE", " NA", "FR")[row % 3] for row in range(ROWS)]}, strip=True), "country")
    assert said.startswith("133 cells hold 'NA' (first in row 2)")


@pytest.mark.parametrize("value", [3, "always", True])
def test_constants_are_remarked_on(read: Read, value: Any) -> None:
    said = line(read({"same": [value] * ROWS}, parquet=True), "same")
    assert said.startswith(f"holds '{str(value).lower() if value is True else value}' in every row")


def test_index_of_pandas_is_left_out(read: Read) -> None:
    shuffled = random.Random(1).sample(range(ROWS), ROWS)
    for name, parquet in (("__index_level_0__", True), ("Unnamed: 0", False)):
        dataset = read({name: shuffled}, parquet)
        assert dataset.features.names == ("z",)
        assert line(dataset, name).startswith("the index that pandas wrote beside the columns: left out")
        assert read({name: shuffled}, parquet, {"numeric": [name]}).features.names == (name, "z")
    assert read({"Unnamed: 2": ["a", "b"] * 200}).features.names == ("z", "Unnamed: 2")


def test_many_unknown_values_are_remarked_on(read: Read) -> None:
    values = [f"rare {row}" if row % 4 == 0 else "common" for row in range(ROWS)]
    said = line(read({"sku": values}), "sku")
    assert "% of the training rows hold a value that fewer than 5 of them share and count as unknown" in said
    assert read({"sku": ["common"] * 380 + ["other"] * 20}).remarks == ()


@pytest.mark.parametrize("parquet", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        [1_700_000_000 + row % 60 for row in range(ROWS)],
        [2**53 + row % 50 for row in range(ROWS)],
        [9_007_199_254_740_993 + row % 50 for row in range(ROWS)],
    ],
)
def test_numbers_that_float32_merges_are_remarked_on(read: Read, parquet: bool, values: Sequence[int]) -> None:
    for features in ({}, {"numeric": ["at"]}):
        said = line(read({"at": values}, parquet, features), "at")
        assert f"{len(set(values))} different numbers are " in said
        assert "name it in features.categorical, or subtract an origin in the table, such as " in said
    assert read({"at": [value - min(values) for value in values]}, parquet).remarks == ()
    assert read({"at": values}, parquet, {"categorical": ["at"], "min_count": 1}).remarks == ()


def test_decimals_beyond_float32_are_not_worth_a_remark(read: Read) -> None:
    generator = np.random.default_rng(1)
    assert read({"x": generator.normal(size=ROWS).tolist()}, parquet=True).remarks == ()


@pytest.mark.parametrize(("missing", "typed"), [(["-999"], False), (["-999.0"], True), (["-999"], True)])
def test_marker_is_missing_in_typed_columns_as_in_text(read: Read, missing: list[str], typed: bool) -> None:
    income = [-999.0 if row % 5 == 0 else 20.0 + row % 50 for row in range(ROWS)]
    segment = [-999 if row % 5 == 0 else row % 3 for row in range(ROWS)]
    dataset = read({"income": income, "segment": segment}, typed, {"categorical": ["segment"]}, missing=missing)
    assert dataset.features.numeric[0].minimum > 0.0
    assert sorted(dataset.features.categorical[0].vocabulary) == ["0", "1", "2"]


def test_key_is_the_same_text_in_every_format(read: Read) -> None:
    decimals = pl.Series([row % 3 for row in range(ROWS)], dtype=pl.Decimal(12, 2))
    floats = [float(row % 3) if row % 7 else None for row in range(ROWS)]
    text = [f"{row % 3}.0" for row in range(ROWS)]
    for column, parquet in ((decimals, True), (floats, True), (floats, False), (text, False), (text, True)):
        dataset = read({"shop": column}, parquet, {"categorical": ["shop"]})
        (shop,) = dataset.features.categorical
        assert sorted(shop.vocabulary) == ["0", "1", "2"]
        assert any(
            note.startswith("shop: numbers are categories without decimals that say nothing: '0.0")
            for note in dataset.notes
        )
        assert dataset.remarks == ()


def test_values_and_names_are_in_unicode_form_nfc(read: Read) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    dataset = read({"place": [composed, decomposed] * 200})
    assert dataset.features.categorical[0].vocabulary == (composed,)


def test_text_of_booleans_stays_what_the_table_has(read: Read) -> None:
    booleans = [row % 2 == 0 for row in range(ROWS)]
    (typed,) = read({"member": booleans}, parquet=True).features.categorical
    (text,) = read({"member": [str(value) for value in booleans]}).features.categorical
    assert set(typed.vocabulary) == {"true", "false"}
    assert set(text.vocabulary) == {"True", "False"}


@pytest.mark.parametrize(
    ("column", "advice"),
    [
        (pl.Series([date(2020, 1, 1)] * ROWS), 'write odd = ["days", "weekday"] below [features.datetime], else add'),
        (pl.Series([datetime(2020, 1, 1)] * ROWS), 'odd = ["hour", "weekday"] below [features.datetime], else add'),
        (pl.Series([["a", "b"], []] * (ROWS // 2)), "write [features.bag.odd] and pooling"),
        (pl.Series([[[1]]] * ROWS), "List(List(Int64)), which is not a feature; add it to data.drop"),
        (pl.Series([{"a": 1}] * ROWS), "which is not a feature; add it to data.drop"),
        (pl.Series([timedelta(1)] * ROWS), "which is not a feature; add it to data.drop"),
        (pl.Series([b"a"] * ROWS), "which is not a feature; add it to data.drop"),
    ],
)
def test_types_that_are_to_be_declared_say_how(read: Read, column: pl.Series, advice: str) -> None:
    with pytest.raises(DataError, match=rf"column 'odd' holds .*{re.escape(advice)}"):
        read({"odd": column}, parquet=True)


def test_page_of_values_shows_the_lines_as_they_are_printed(read: Read) -> None:
    page = (Path(__file__).parents[3] / "docs" / "values.md").read_text(encoding="utf-8")
    table = page[page.index("| line | what to do |") :]
    documented = [text for row in table.splitlines()[2:] for text in re.findall(r"`([^`]+: [^`]+)`", row.split("|")[1])]
    assert len(documented) >= 14
    ages_, one = ages(3000), ages()
    ages_[7], one[::10] = r"\N", ["unknown"] * 40
    printed = [
        *read({"age": ages_, "customer": [str(1000 + row) for row in range(3000)]}).remarks,
        *read({"age": one, "shop": [f"shop {row % 3}" for row in range(ROWS)]}).remarks,
        *read({"shop": [*(f"shop {row % 3}" for row in range(ROWS)), "Total"]}).remarks,
        *read({"age": ages()}, parquet=True).remarks,
        *read({"code": ["2E5", "10"] * 200, "day": ["2024-01-31", "2024-02-01"] * 200, "same": ["3"] * ROWS}).remarks,
        *read({"country": [("DE", "NA", "FR", "US")[row % 4] for row in range(480)]}).remarks,
        *read({"price": [("1,8", "1,4")[row % 2] for row in range(3000)]}).remarks,
        *read({"price": ["12%", "13%"] * 200, "note": [f"note {row}" for row in range(ROWS)]}).remarks,
        *read({"__index_level_0__": list(range(ROWS))}, parquet=True).remarks,
        *read({"sku": [f"rare {row}" if row % 3 == 0 else "common" for row in range(ROWS)]}).remarks,
        *read({"clicked_at": [1_700_000_000 + row % 60 for row in range(3000)]}).remarks,
        *(f"user: {remark}" for remark in on_buckets(340, 100_000, 0.003, "name it in features.categorical")),
        *(f"item: {remark}" for remark in on_buckets(20_000, 16_384, 0.7, "name it in features.categorical")),
        *(f"item: {remark}" for remark in on_vocabulary(228_000)),
    ]
    for line in documented:
        pattern = ".*".join(re.escape(piece.strip()) for piece in re.split(r"\.\.\.", line) if piece.strip())
        pattern = re.sub(r"\d+%", r"\\d+%", pattern)
        assert any(re.match(pattern, remark) for remark in printed), line


def test_column_of_markers_in_another_spelling_is_left_out(read: Read) -> None:
    """Markers compare as numbers too, so that no value is left to speak of."""
    dataset = read({"x": ["-0200"] * ROWS}, missing=["-200"])
    assert not numeric(dataset)
    assert "left out: no training row has a number there" in line(dataset, "x")
