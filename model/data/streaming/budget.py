"""Disk space of a cache, known before a byte of it is written."""

import shutil
from pathlib import Path

from model.config.run import Config
from model.data.streaming.survey import Survey
from tables.config import TableData
from tables.errors import DataError

GIB = 2**30

RECORD_BYTES = 2**24
"""Room for the manifest, vocabularies aside, and for the samples."""


def bytes_needed(found: Survey, config: Config) -> int:
    """Compute the size of a cache, that of the arrays exactly."""
    schema, rows = found.coder.features, int(found.counts.sum())
    row = 4 * len(schema.numeric) + 4 * len(schema.single) + 8 * (len(found.tasks) + len(schema.datetimes) + 1)
    row += 8 * len(schema.bags) + (4 if found.coder.weight is not None else 0)
    _, validation, test = found.counts.tolist()
    judged = 2 * len(config.report.by) * test + (8 * (validation + test) if config.group_metric is not None else 0)
    return int(rows * row + judged + 4 * found.bag_values + 8 * 3 * len(schema.bags))


def check_space(found: Survey, folder: Path, config: Config) -> None:
    """Refuse to write a cache for which the disk, or the configuration, has no room.

    A cache that is there will be written over, and its space counts as free.

    Raises:
        DataError: one sentence.
    """
    assert isinstance(config.data, TableData)
    needed, rows = bytes_needed(found, config), int(found.counts.sum())
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    held = sum(file.stat().st_size for file in folder.glob("*")) if folder.is_dir() else 0
    free, most = shutil.disk_usage(place).free + held, config.data.cache_gib * GIB
    said = f"{folder}: the cache of {rows:,} rows takes {needed / GIB:.2f} GiB, and"
    if most and needed > most:
        raise DataError(f"{said} data.cache_gib allows {config.data.cache_gib:g}; raise it, or read fewer columns")
    if needed + RECORD_BYTES > free:
        raise DataError(f"{said} {free / GIB:.2f} GiB are free there; make room, or name another disk by --models")
