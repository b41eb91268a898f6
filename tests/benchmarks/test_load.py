import shutil
from pathlib import Path

import pytest

from benchmarks.load import LoadError, parse_figures, put_load

FIGURES = (
    'FIGURES {"requests": 3000, "duration_us": 2000000, "refused": 1, "broken": 2, '
    '"p50_us": 1500, "p99_us": 9000, "maximum_us": 10000}'
)


def test_figures_are_read_from_the_line_that_the_script_prints() -> None:
    load = parse_figures(f"Running 2s test\n{FIGURES}\n", cpu_s=0.5)
    assert (load.requests_per_s, load.p50_ms, load.p99_ms) == (1500.0, 1.5, 9.0)
    assert (load.refused, load.broken, load.generator_share) == (1, 2, 0.25)


def test_output_without_figures_is_an_error_that_shows_it() -> None:
    with pytest.raises(LoadError, match="unable to connect"):
        parse_figures("unable to connect to 127.0.0.1:1 Connection refused", cpu_s=0.0)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_port_without_a_server_is_an_error(tmp_path: Path) -> None:
    bodies = tmp_path / "one.bodies"
    bodies.write_bytes(b"2 -\n{}")
    with pytest.raises(LoadError, match="onnect"):
        put_load("http://127.0.0.1:9", bodies, "application/json", connections=1, seconds=1, cpus=frozenset({0}))
