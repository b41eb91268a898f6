import csv
import json
from pathlib import Path

from benchmarks.bars import Extras
from benchmarks.beside import parse_stages
from benchmarks.cases import full
from benchmarks.contenders import BY_HAND, FLOOR, SERVICE
from benchmarks.plot import draw
from benchmarks.report import SuiteResults, write
from benchmarks.results import Measurement


def _run() -> SuiteResults:
    results = [
        Measurement(name, c.model, c.form, c.rows, c.connections, r, 1000.0 * (r + 1), 1.0, 2.0, 0, 1.0, 0.2, 80.0)
        for c in full()
        for name in (SERVICE, FLOOR, BY_HAND)
        for r in range(2)
    ]
    extras = Extras(start_cpu_s={SERVICE: [0.8]}, memory_mb=[80.0, 80.5], stages_us={"one row": {"parse": 2.0}})
    return SuiteResults("python -m benchmarks", {"processor": "a fast one"}, results, extras)


def test_all_forms_of_the_report_hold_every_case(tmp_path: Path) -> None:
    run = _run()
    write(run, tmp_path)
    record = json.loads((tmp_path / "results.json").read_text())
    assert len(record["results"]) == len(run.results)
    with (tmp_path / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(run.results)
    text = (tmp_path / "results.md").read_text()
    assert text.count(f"| {SERVICE} |") == len(full()) + 1
    assert "1,500 (1,000 to 2,000)" in text
    assert "80.0, 80.5" in text
    assert "| one row | 2.0 |" in text


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    draw(_run().results, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_stages_are_summed_over_labels() -> None:
    text = "\n".join(
        [
            "# HELP x_seconds Time.",
            'x_seconds_sum{model="a",stage="parse"} 0.5',
            'x_seconds_count{model="a",stage="parse"} 10.0',
            'x_seconds_sum{model="b",stage="parse"} 0.25',
            'x_seconds_count{model="b",stage="parse"} 5.0',
            'x_seconds_bucket{model="b",stage="run",le="0.1"} 7.0',
            "other_sum 3.0",
        ]
    )
    assert parse_stages(text) == {"parse": (0.75, 15.0)}
