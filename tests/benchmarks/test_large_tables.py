"""The made models are what the service takes, and a bar is judged by its own figures."""

from pathlib import Path

import pytest

from benchmarks import large_models
from benchmarks.large_models import HASHED, SMALL, VOCABULARY
from benchmarks.large_tables import Measured, measure, table


@pytest.mark.parametrize("kind", [SMALL, HASHED, VOCABULARY])
def test_the_same_seed_writes_the_same_model(kind: str, tmp_path: Path) -> None:
    one, other = (large_models.write(tmp_path / place, kind, 300) for place in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()


def test_the_made_models_are_served_and_measured(tmp_path: Path) -> None:
    found = measure((SMALL, HASHED, VOCABULARY), {HASHED: 2000, VOCABULARY: 2000}, 2, tmp_path)
    assert [one.kind for one in found] == [SMALL, HASHED, VOCABULARY]
    for one in found:
        assert len(one.worker_cpu_s) == len(one.anonymous_mb) == 2
        assert 0 < max(one.worker_cpu_s) < one.start_cpu_s
        assert min(one.anonymous_mb) > 10
        assert len(one.p50_us) == 2
    assert table(found).count("met") + table(found).count("MISSED") == 6


def test_a_bar_is_missed_by_the_worst_worker() -> None:
    small = Measured(SMALL, 1.0, 1.0, [0.5, 0.5], 1.5, [50.0, 60.0], [100.0, 200.0])
    large = Measured(HASHED, 1.0, 1.0, [0.5, 3.1], 4.0, [60.0, 111.0], [139.0, 290.0])
    told = table([small, large])
    assert "hashed: start to ready, CPU s a worker: 3.10 (at most 3): MISSED" in told
    assert "hashed: memory of a worker beyond a small model's, MB: 61.00 (at most 60): MISSED" in told
    assert "hashed: p50 of one row over the small model's: 1.42 (at most 1.4): MISSED" in told
