"""Report of the measurements: results.json, results.csv, results.md and results.png."""

import csv
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path

from benchmarks.bars import Extras, Verdict, judge
from benchmarks.cases import Case
from benchmarks.contenders import BY_HAND, FLOOR
from benchmarks.results import Measurement, Spread, cases_of, contenders_of, ratio, select

PACKAGES = ("onnxruntime", "numpy", "fastapi", "pydantic", "uvicorn", "uvloop", "httptools", "orjson", "pysimdjson")


@dataclass(frozen=True)
class SuiteResults:
    """Figures of one run of the suite.

    Attributes:
        command: as a person would type it.
        machine: facts about the machine and the versions, by name.
    """

    command: str
    machine: dict[str, str]
    results: list[Measurement]
    extras: Extras


def machine() -> dict[str, str]:
    """Describe the machine and the versions."""
    models = [line.partition(":")[2].strip() for line in _read("/proc/cpuinfo") if line.startswith("model name")]
    wrk = subprocess.run([shutil.which("wrk") or "false", "-v"], capture_output=True, text=True, check=False).stdout
    return {
        "processor": f"{models[0] if models else platform.processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": next((line.split()[1] for line in _read("/proc/meminfo")), "unknown") + " kB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load generator": " ".join(wrk.split("Copyright")[0].split()),
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def write(run: SuiteResults, directory: Path) -> list[Verdict]:
    """Write all files and return the verdicts."""
    directory.mkdir(parents=True, exist_ok=True)
    verdicts = judge(run.results, run.extras)
    (directory / "results.md").write_text(markdown(run, verdicts))
    record = asdict(run) | {"bars": [asdict(verdict) for verdict in verdicts]}
    (directory / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    with (directory / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Measurement)])
        writer.writeheader()
        writer.writerows(asdict(measurement) for measurement in run.results)
    return verdicts


def markdown(run: SuiteResults, verdicts: Sequence[Verdict]) -> str:
    """Write the whole report."""
    parts = [f"`{run.command}`", "\n".join(f"- {name}: {value}" for name, value in run.machine.items())]
    parts += ["## Bars", bars_table(verdicts), "## Cases", _EXPLANATION]
    for group in dict.fromkeys((case.model, case.form) for case in cases_of(run.results)):
        cases = [case for case in cases_of(run.results) if (case.model, case.form) == group]
        parts += [f"### {group[0]}, {group[1]}", _table(_HEAD, [r for c in cases for r in _rows(run.results, c)])]
    parts += ["## Beside the cases", *_beside(run)]
    return "\n\n".join(parts) + "\n"


def bars_table(verdicts: Sequence[Verdict]) -> str:
    """Write the bars as a table."""
    words = {True: "yes", False: "**no**", None: "-"}
    return _table(
        ["bar", "required", "measured", "met"], [[v.bar, v.required, v.measured, words[v.met]] for v in verdicts]
    )


_HEAD = [
    "rows",
    "conc.",
    "server",
    "requests/s",
    "over by hand",
    "of floor",
    "p50 ms",
    "p99 ms",
    "CPU µs",
    "server",
    "load",
]
_EXPLANATION = (
    "Median (least to most) over the repeats. CPU µs is the CPU time of the server's processes per request; server and "
    "load are CPU time over wall time: where the server is near 1 and the load generator well below, the generator is "
    "not the bottleneck."
)


def _rows(results: Sequence[Measurement], case: Case) -> list[list[str]]:
    rows = []
    for name in contenders_of(results, case):
        own = select(results, case, name)
        ratios = [ratio(results, case, name, other, lambda m: m.requests_per_s) for other in (BY_HAND, FLOOR)]
        failed = sum(m.failed for m in own)
        rows.append(
            [str(case.rows), str(case.connections), name + (f" ({failed} failed)" if failed else "")]
            + [str(Spread.of(m.requests_per_s for m in own))]
            + ["-" if spread is None else f"{spread.median:.2f}" for spread in ratios]
            + [f"{Spread.of(figures).median:.2f}" for figures in zip(*map(_figures, own), strict=True)]
        )
    return rows


def _figures(m: Measurement) -> tuple[float, ...]:
    return m.p50_ms, m.p99_ms, m.cpu_us, m.server_share, m.generator_share


def _beside(run: SuiteResults) -> list[str]:
    extras, names = run.extras, list(dict.fromkeys(m.contender for m in run.results))
    largest = {name: max(m.memory_mb for m in run.results if m.contender == name) for name in names}
    servers = [
        [name, str(Spread.of(extras.start_cpu_s[name])) if name in extras.start_cpu_s else "-", f"{largest[name]:.0f}"]
        for name in names
    ]
    parts = [_table(["server", "start to ready, CPU s", "largest resident memory, MB"], servers)]
    if extras.memory_mb:
        parts.append("Memory of a worker over the million rows, MB: " + ", ".join(f"{m:.1f}" for m in extras.memory_mb))
    if extras.stages_us:
        stages = list(dict.fromkeys(stage for by_stage in extras.stages_us.values() for stage in by_stage))
        rows = [[case, *(f"{by.get(stage, 0):.1f}" for stage in stages)] for case, by in extras.stages_us.items()]
        parts.append(_table(["mean time, µs, as the service counts it", *stages], rows))
    return parts


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _read(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
