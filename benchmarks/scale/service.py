"""Bars of the service with a million ids; benchmarks/large_tables.py measures them."""

from collections.abc import Iterator

from benchmarks.bars import Verdict
from benchmarks.large_models import HASHED, SMALL, VOCABULARY
from benchmarks.large_tables import BUCKETS, VALUES, measure, table, verdicts
from benchmarks.scale.setting import Setting, say


def service(setting: Setting) -> Iterator[Verdict]:
    """Start services of two workers, and ask them one row at a time by turns."""
    ids = {HASHED: BUCKETS, VOCABULARY: VALUES}
    found = measure((SMALL, HASHED, VOCABULARY), ids, 3 * setting.repeats, setting.scratch)
    say(table(found))
    yield from verdicts(found)
