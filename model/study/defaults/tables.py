"""The tables of the study: small ones that Python packages carry, and the two of other studies."""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
from sklearn import datasets

from model.config.run import Config
from tables.errors import DataError

CONFIGS = Path(__file__).parents[3] / "scripts" / "configs"
SPLITS, FEW_SPLITS = 10, 3
"""Splits of a small and of a large table."""

LAST_SHARES = (0.1, 0.2, 0.3)
"""Shares of the latest rows that are for test, in the splits of a table that is split by time."""

Task = Mapping[str, Any]


@dataclass(frozen=True)
class StudyTable:
    """A table, its tasks, and how often it is split.

    Attributes:
        of: what the rows are and where they come from.
        configured: makes the configuration of a split from its number and a folder for the rows.
    """

    name: str
    of: str
    splits: int
    configured: Callable[[int, Path], Config]


def study_tables() -> list[StudyTable]:
    """List the tables, the smaller ones first."""
    return [
        _small(
            "penguins",
            "penguins of the Palmer archipelago (palmerpenguins); two birds without measures are left out",
            _packaged("palmerpenguins", "data/penguins.csv", lambda rows: rows.filter(pl.col("body_mass_g") != "NA")),
            [_multiclass("species"), _binary("sex", "male"), _regression("body_mass_g")],
        ),
        _small("wine", "wines by their cultivar (scikit-learn)", _sklearn("wine"), [_multiclass("target")]),
        _small(
            "breast_cancer",
            "cell nuclei, malign or benign (scikit-learn)",
            _sklearn("breast_cancer"),
            [_binary("target", 1)],
        ),
        _small(
            "diabetes",
            "progress of diabetes in a year (scikit-learn); sex is the second task",
            _sklearn("diabetes"),
            [_regression("target"), {"name": "sex", "column": "sex", "kind": "binary", "positive_if": "> 0"}],
        ),
        _small(
            "weather",
            "days in Seattle (vega_datasets): the day's highest temperature and its weather from the rest and the day "
            "of the year",
            _packaged("vega_datasets", "_data/seattle-weather.csv", _day_of_year),
            [_regression("temp_max"), _multiclass("weather")],
        ),
        _small(
            "digits",
            "written digits of 8 x 8 pixels (scikit-learn): which one, and whether it is odd",
            _sklearn("digits"),
            [
                _multiclass("target"),
                {"name": "odd", "column": "target", "kind": "binary", "positive_in": [1, 3, 5, 7, 9]},
            ],
        ),
        _large("census_income", "Census-Income, as in [census.md](census.md)"),
        _large("census_education", "Census-Income, as in [census.md](census.md)"),
        _large(
            "hotel", "hotel bookings, as in [hotel.md](hotel.md); the latest tenth, fifth and three tenths for test"
        ),
    ]


def _multiclass(column: str) -> Task:
    return {"name": column, "column": column, "kind": "multiclass"}


def _regression(column: str) -> Task:
    return {"name": column, "column": column, "kind": "regression"}


def _binary(column: str, positive: str | int) -> Task:
    return {"name": column, "column": column, "kind": "binary", "positive": positive}


def _small(name: str, of: str, rows: Callable[[], pl.DataFrame], tasks: list[Task]) -> StudyTable:
    def configured(split: int, folder: Path) -> Config:
        path = folder / f"{name}.csv"
        if not path.exists():
            beside = path.with_suffix(f".{os.getpid()}.partial")
            rows().write_csv(beside)
            os.replace(beside, path)
        data = {"kind": "table", "path": str(path), "split": {"kind": "random", "seed": split}}
        return Config.model_validate({"name": name, "data": data, "tasks": tasks, "train": {"seed": split}})

    return StudyTable(name, of, SPLITS, configured)


def _large(name: str, of: str) -> StudyTable:
    def configured(split: int, folder: Path) -> Config:
        told = tomllib.loads((CONFIGS / f"{name}.toml").read_text(encoding="utf-8"))
        told.pop("model", None)
        how = told["data"]["split"]
        how |= {"test": LAST_SHARES[split]} if how["kind"] == "time" else {"seed": split}
        return Config.model_validate(told | {"train": {"seed": split}})

    return StudyTable(name, of, FEW_SPLITS, configured)


def _sklearn(name: str) -> Callable[[], pl.DataFrame]:
    def rows() -> pl.DataFrame:
        found = getattr(datasets, f"load_{name}")()
        names = found.get("feature_names")
        return pl.DataFrame(found.data, schema=list(names), orient="row").with_columns(target=pl.Series(found.target))

    return rows


def _packaged(package: str, path: str, mend: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[], pl.DataFrame]:
    def rows() -> pl.DataFrame:
        found = find_spec(package)  # not imported: its file is all that is wanted
        if found is None or not found.submodule_search_locations:
            raise DataError(
                f"the table of {package} is not there; `pip install -c constraints.txt -e '.[train,study]'` brings it"
            )
        return mend(pl.read_csv(Path(found.submodule_search_locations[0]) / path, infer_schema=False))

    return rows


def _day_of_year(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(day=pl.col("date").str.to_date("%Y/%m/%d").dt.ordinal_day()).drop("date")
