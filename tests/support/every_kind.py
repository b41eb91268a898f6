"""Rows of every kind of feature, made by hand: texts, and their codes by the contract."""

import numpy as np
from sklearn.utils import murmurhash3_32

from model.schema import (
    FIRST_VALUE,
    MISSING,
    MISSING_TIME,
    UNKNOWN,
    BagFeature,
    Bags,
    CategoricalFeature,
    Dataset,
    DatetimeFeature,
    FeatureSchema,
    HashedFeature,
    NumericFeature,
    Rows,
    Task,
    TextFeature,
)

MARKERS = ("?", "-1")
"""Texts that mean "no value" beside the empty one."""

COLOURS = ("red", "green", "blue")
SCHEMA = FeatureSchema(
    numeric=(
        NumericFeature("age", 40.0, 10.0, 20.0, 60.0, missing_share=0.1, bin_edges=(20.0, 30.0, 40.0, 60.0)),
        NumericFeature("hours", 5.0, 2.0, 0.0, 10.0, bin_edges=(0.0, 4.0, 6.0, 10.0)),
    ),
    categorical=(
        CategoricalFeature("colour", COLOURS, missing_share=0.1),
        CategoricalFeature("shape", ("round", "square")),
        CategoricalFeature("last_colour", COLOURS, table="colour"),
    ),
    hashed=(HashedFeature("user", 50, missing_share=0.1, collision_share=0.4), HashedFeature("item", 40)),
    bags=(
        BagFeature("tags", "|", vocabulary=("new", "São Paulo", "x y"), missing_share=0.2, unknown_share=0.1),
        BagFeature("seen", ", ", "sum", buckets=40, mean_values=2.0, table="item"),
    ),
    datetimes=(
        DatetimeFeature("at", ("hour", "weekday", "days"), 0, 2_000_000_000, 11_000.25, 6_000.5, missing_share=0.1),
        DatetimeFeature("born", ("day_of_year",), -2_000_000_000, 1_000_000_000),
    ),
)
TASKS = (
    Task("price", "regression", mean=100.0, std=20.0),
    Task("sold", "binary", ("no", "yes")),
    Task("grade", "multiclass", ("a", "b", "c")),
)
IDS = ("", "?", "7", "user 8", "é" * 40, "日本語", "x" * 500, "-1", *(f"id {n}" for n in range(30)))
TAGS = ("new", "São Paulo", "x y", "never met", "é" * 300, "", "?")


def code_of(feature: TextFeature, text: str) -> int:
    """Encode one value as docs/artifact.md says."""
    if text in ("", *MARKERS):
        return MISSING
    buckets = 0 if isinstance(feature, CategoricalFeature) else feature.buckets
    if buckets:
        return FIRST_VALUE + int(murmurhash3_32(text.encode(), 0, positive=True)) % buckets
    assert not isinstance(feature, HashedFeature)
    return FIRST_VALUE + feature.vocabulary.index(text) if text in feature.vocabulary else UNKNOWN


def bags_of(cells: list[list[int]]) -> Bags:
    """Lay out the codes of cells one after another, MISSING left out."""
    kept = [[code for code in cell if code != MISSING] for cell in cells]
    offsets = np.cumsum([0, *map(len, kept)]).astype(np.int64)
    return Bags(np.array([code for cell in kept for code in cell], np.int32), offsets)


def rows_of(texts: list[list[str]], numeric: object, times: object, features: FeatureSchema = SCHEMA) -> Rows:
    """Encode rows of texts (B, C + H + G), numbers (B, N) and moments (B, K)."""
    columns = dict(zip(features.texts, zip(*texts, strict=True), strict=True))
    codes = [[code_of(f, text) for text in columns[f]] for f in features.single]
    bags = tuple(
        bags_of([[code_of(f, v) for v in cell.split(f.separator)] for cell in columns[f]]) for f in features.bags
    )
    labels = np.zeros((len(texts), len(TASKS)))
    return Rows(
        np.array(numeric, np.float32).reshape(len(texts), -1),
        np.array(codes, np.int32).reshape(-1, len(texts)).T.copy(),
        labels,
        np.array(texts, dtype=object),
        bags,
        np.array(times, np.int64).reshape(len(texts), -1) if features.datetimes else None,
    )


def make_rows(count: int, seed: int) -> Rows:
    """Draw rows with missing, unknown, long and non-ASCII values, and labels that follow."""
    random = np.random.default_rng(seed)
    numeric = random.uniform([20.0, 0.0], [60.0, 10.0], (count, 2))
    numeric[random.random(count) < 0.1, 0] = np.nan
    times = random.integers([0, -2_000_000_000], [2_000_000_000, 1_000_000_000], (count, 2))
    times[random.random(count) < 0.1, 0] = MISSING_TIME
    texts = []
    for _ in range(count):
        tags, seen = (random.choice(values, random.integers(5)) for values in (TAGS, IDS))
        one = [random.choice([*COLOURS, "", "?", "mauve"]), random.choice(["round", "square"]), random.choice(COLOURS)]
        texts.append([*map(str, one), *map(str, random.choice(IDS, 2)), "|".join(tags), ", ".join(seen)])
    rows = rows_of(texts, numeric, times)
    hidden = (numeric[:, 1] - 5.0) / 2.0 + (rows.codes[:, 0] == 2) + (rows.codes[:, 3] % 2) - 1.0
    rows.labels[:] = np.column_stack([100.0 + 10.0 * hidden, hidden > 0.0, np.digitize(hidden, [-1.0, 1.0])])
    return rows


def make_dataset() -> Dataset:
    """Make splits of the schema above."""
    train, validation, test = (make_rows(count, seed) for seed, count in enumerate((300, 100, 100)))
    return Dataset(SCHEMA, TASKS, train, validation, test, source="made", digest="sha256:0")
