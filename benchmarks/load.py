"""Load by wrk on a URL, and its figures.

Wrk writes raw prepared requests, so it costs little.
"""

import json
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parent / "lua" / "post.lua"


class LoadError(RuntimeError):
    """The load generator could not be run, or a server answered with errors."""


@dataclass(frozen=True)
class Load:
    """Figures of one burst of load.

    Attributes:
        requests_per_s: answered requests, errors included.
        refused: answers with a status of 400 or more.
        broken: connections or requests that failed or timed out.
        generator_share: CPU time of wrk over wall time; near 1.0 the generator is the bottleneck.
    """

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int
    generator_share: float


def put_load(
    url: str,
    bodies: Path,
    content_type: str,
    *,
    connections: int,
    seconds: float,
    cpus: frozenset[int],
) -> Load:
    """Post the bodies in turn for some seconds from the given cores, on connections that stay.

    Args:
        url: where to post.
        bodies: file that `bodies.write_bodies` made.
        content_type: of the bodies.
        connections: open at a time.
        seconds: length of the load; at least 1.
        cpus: cores of the generator.

    Raises:
        LoadError: wrk is missing or ended without figures.
    """
    cores = ",".join(str(cpu) for cpu in sorted(cpus))
    command = ["taskset", "-c", cores, "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    command += ["--timeout", "30s", "-s", str(SCRIPT), url, "--", str(bodies), content_type]
    before = _children_cpu_s()
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    except FileNotFoundError as error:
        raise LoadError(
            f"cannot run {error.filename}; install wrk and util-linux (Debian: apt-get install wrk)"
        ) from error
    return parse_figures(run.stdout + run.stderr, _children_cpu_s() - before)


def parse_figures(text: str, cpu_s: float) -> Load:
    """Read the FIGURES line that post.lua prints.

    Raises:
        LoadError: there is none.
    """
    lines = [line for line in text.splitlines() if line.startswith("FIGURES ")]
    if not lines:
        raise LoadError(f"wrk printed no figures but: {text.strip()[-500:]}")
    figures = json.loads(lines[-1].removeprefix("FIGURES "))
    seconds = figures["duration_us"] / 1e6
    return Load(
        requests_per_s=figures["requests"] / seconds,
        p50_ms=figures["p50_us"] / 1e3,
        p99_ms=figures["p99_us"] / 1e3,
        refused=figures["refused"],
        broken=figures["broken"],
        generator_share=cpu_s / seconds,
    )


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
