"""Made click log in Parquet files: python -m benchmarks.click_log FOLDER --rows 1000000 --files 8.

22 features (ids of users and items, a bag of tags, a moment, categories, numbers) and the labels
`click` and `conversion`. Who clicks is more likely to convert by a trait that no column shows, so
that conversions among clicked rows are a biased sample. The rows depend on the seed alone, not on
the number of files.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

USERS, ITEMS, TAGS = 1_000_000, 50_000, 1_000
CHUNK_ROWS = 50_000
"""Rows made together, from a generator of their own."""

MOST_FILE_ROWS = 2_000_000
"""Rows of a file, which is held in memory while it is written."""

CATEGORIES = {"country": 60, "device": 4, "system": 12, "browser": 20, "slot": 8, "publisher": 2_000, "topic": 200}
NUMBERS = (
    *("age", "price", "discount", "views_today", "clicks_week", "session_s"),
    *("item_rate", "user_rate", "position", "width"),
)

CONFIG = """\
name = "clicks"
[data]
kind = "table"
path = {path}
[data.split]
kind = "random"
key = "request"
[features]
rest = "drop"
numeric = {numbers}
categorical = {categories}
[features.hashed]
user = 1_000_000
item = 100_000
last_item = 100_000
[features.bag.tags]
[features.datetime]
shown_at = ["hour", "weekday"]
[[tasks]]
name = "click"
column = "click"
kind = "binary"
[[tasks]]
name = "conversion"
column = "conversion"
kind = "binary"
"""


def config_text(path: str) -> str:
    """Write the TOML configuration that trains on the log at a path."""
    quoted = '"' + path.replace("\\", "/") + '"'
    lists = {"numbers": list(NUMBERS), "categories": list(CATEGORIES)}
    return CONFIG.format(path=quoted, **{key: str(names).replace("'", '"') for key, names in lists.items()})


def write(folder: Path, rows: int, files: int, seed: int = 0) -> None:
    """Write the files `part-00000.parquet` and so on, of as many rows each as can be.

    Raises:
        ValueError: a file would have more than MOST_FILE_ROWS rows.
    """
    if -(-rows // files) > MOST_FILE_ROWS:
        raise ValueError(f"{rows:,} rows in {files} files are over {MOST_FILE_ROWS:,} a file; ask for more files")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        first, end = rows * number // files, rows * (number + 1) // files
        frame = pl.concat(list(_frames(first, end, seed)))
        frame.write_parquet(folder / f"part-{number:05}.parquet", row_group_size=122_880)


def _frames(first: int, end: int, seed: int) -> Iterator[pl.DataFrame]:
    """Make the rows from `first` up to `end`, chunk by chunk."""
    for chunk in range(first // CHUNK_ROWS, -(-end // CHUNK_ROWS)):
        start = chunk * CHUNK_ROWS
        frame = _chunk(start, seed, chunk)
        yield frame[max(first - start, 0) : min(end - start, CHUNK_ROWS)]


def _chunk(start: int, seed: int, chunk: int) -> pl.DataFrame:
    """Make one chunk of rows, the first of which is row `start` of the log."""
    draw = np.random.default_rng((seed, chunk))
    rows = CHUNK_ROWS
    user = (USERS * draw.random(rows) ** 2).astype(np.int64)
    item = (ITEMS * draw.random(rows) ** 3).astype(np.int64)
    categories = {name: (n * draw.random(rows) ** 2).astype(np.int64) for name, n in CATEGORIES.items()}
    numbers = {name: np.round(draw.gamma(2.0, 10.0, rows), 2).astype(np.float32) for name in NUMBERS}
    numbers["age"] = np.where(draw.random(rows) < 0.1, np.nan, 18 + np.floor(60 * _trait(user, 1))).astype(np.float32)
    tags, lengths = _tags(item, draw)
    hidden = draw.standard_normal(rows)  # no column shows it
    liking = 2.0 * (_trait(user, 2) - 0.5) + 2.0 * (_trait(item, 3) - 0.5) + 1.5 * (_trait(categories["slot"], 4) - 0.5)
    night = np.where(draw.random(rows) < 0.2, 0.5, 0.0)
    click = draw.random(rows) < _logistic(-2.0 + liking + night + 0.01 * numbers["discount"] + 0.7 * hidden)
    bought = draw.random(rows) < _logistic(-1.5 + liking - 0.02 * numbers["price"] + 0.7 * hidden)
    seconds = 1_700_000_000 + (np.arange(start, start + rows) // 20) + (night > 0) * 43_200
    words = {name: pl.Series(name, codes).cast(pl.String).str.pad_start(2, "c") for name, codes in categories.items()}
    return pl.DataFrame(
        {
            "request": np.arange(start, start + rows),
            "user": user,
            "item": item,
            "last_item": pl.Series(item[draw.permutation(rows)]).set(pl.Series(draw.random(rows) < 0.05), None),
            "tags": _lists(tags, lengths),
            "shown_at": pl.Series(seconds * 1_000_000).cast(pl.Datetime("us", "UTC")),
            **words,
            **numbers,
            "click": click.astype(np.int8),
            "conversion": (click & bought).astype(np.int8),
        }
    )


def _tags(item: NDArray[np.int64], draw: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw each row's tags, none to five: their numbers one after another, and how many."""
    lengths = draw.integers(0, 6, len(item))
    spread = (TAGS * draw.random(int(lengths.sum())) ** 2).astype(np.int64)
    return (spread + np.repeat(item % 50, lengths)) % TAGS, lengths


def _lists(tags: NDArray[np.int64], lengths: NDArray[np.int64]) -> pl.Series:
    """Make a column of lists of text."""
    flat = pl.DataFrame({"row": np.repeat(np.arange(len(lengths)), lengths), "tag": tags})
    held = flat.select("row", ("t" + pl.col("tag").cast(pl.String)).alias("tag"))
    grouped = held.group_by("row", maintain_order=True).agg("tag")
    every = pl.DataFrame({"row": np.arange(len(lengths))}).join(grouped, on="row", how="left", maintain_order="left")
    return every["tag"]


def _trait(ids: NDArray[np.int64], salt: int) -> NDArray[np.float64]:
    """Compute a fixed number in [0, 1) for each id, by the mixing of splitmix64."""
    z = (ids.astype(np.uint64) + np.uint64(salt * 1_000_003)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return ((z ^ (z >> np.uint64(27))) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: write the files, and the configuration beside the folder."""
    parser = argparse.ArgumentParser("python -m benchmarks.click_log", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    write(options.folder, options.rows, options.files, options.seed)
    options.folder.with_suffix(".toml").write_text(config_text(str(options.folder)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
