"""The whole way of a large table: trained, killed at a random moment, resumed, published, served.

The service is asked rows with ids, tags and categories that nobody has seen, and its answers are
compared with those of the trained network in torch.
"""

import http.client
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import Verdict
from benchmarks.scale.setting import Setting, at_most, say
from benchmarks.scale.streaming import FEW, READ, SETTINGS, Job, read_time
from benchmarks.scale.watched import Each, Watched
from benchmarks.servers import Launch, running

CLOSE = 1e-5
"""Distance from torch's answer as a share of max(1, |answer|), as publishing checks it."""


@dataclass(frozen=True)
class Told:
    """Course of the whole way.

    Attributes:
        courses: of the commands, the last of which was not killed.
        rows: that the service was asked.
        farthest: the largest distance of its answers, gate weights included, from torch's.
    """

    courses: list[Watched]
    rows: int
    farthest: float


def tell(job: Job, kills: Sequence[Each], scratch: Path) -> Told:
    """Train, kill as often as there are `kills`, resume, publish, serve, ask and compare."""
    courses = []
    for kill in kills:
        courses.append(job.start(kill))
        if not courses[-1].killed:
            raise RuntimeError(f"the command has ended before it was killed, after {courses[-1].seconds:,.0f} s")
    kept = scratch / "checkpoint.pt"
    courses.append(job.start(lambda course: _keep(job.work / "checkpoint.pt", kept)))
    out = scratch / "answers.json"
    command = [str(job.config), str(job.work), str(kept), str(out), "--set", *job.settings]
    subprocess.run([sys.executable, "-m", "benchmarks.scale.answers", *command], check=True)
    expected = json.loads(out.read_text())
    got = ask(job.models, expected["instances"], scratch / "service.log")
    return Told(courses, len(got), farthest(expected, got))


def _keep(checkpoint: Path, place: Path) -> bool:
    """Give the newest checkpoint a second name, since publishing removes it; kill nothing."""
    with suppress(FileNotFoundError):
        fresh = place.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        os.link(checkpoint, fresh)
        fresh.replace(place)
    return False


def ask(models: Path, rows: Sequence[dict[str, Any]], log: Path) -> list[dict[str, Any]]:
    """Start the service on the models and ask for the rows' predictions."""
    environment = {
        "MMOE_MODELS": str(models), "MMOE_HOST": "127.0.0.1", "MMOE_PORT": "{port}", "MMOE_LOG_LEVEL": "warning",
    }  # fmt: skip
    launch = Launch((sys.executable, "-m", "service"), "/health/ready", environment, timeout_s=300)
    with (
        running(launch, frozenset(os.sched_getaffinity(0)), log) as server,
        closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection,
    ):
        body = json.dumps({"instances": rows})
        connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
    if answer.status != 200:
        raise RuntimeError(f"the service has answered {answer.status}: {text[:300]}")
    return list(json.loads(text)["predictions"])


def farthest(expected: dict[str, Any], got: Sequence[dict[str, Any]]) -> float:
    """Find the largest distance of an answer from torch's, as a share of max(1, |answer|)."""
    distances = [0.0]
    for kind in ("tasks", "gate_weights"):
        for task, wanted in expected[kind].items():
            right = np.array(wanted)
            given = np.array([row[kind][task] for row in got])
            distances.append(float((np.abs(given - right) / np.maximum(1.0, np.abs(right))).max()))
    return max(distances)


def story(setting: Setting) -> Iterator[Verdict]:
    """Tell it of the large table, beside a plain run on the smaller one, within the limit."""
    rows, few_rows = setting.rows, setting.rows // FEW
    few_job, job = (
        Job(setting.log(of), setting.scratch / f"models-{of}", SETTINGS, setting.limit) for of in (few_rows, rows)
    )
    for models in (few_job.models, job.models):
        shutil.rmtree(models, ignore_errors=True)
    few = few_job.start()
    shutil.rmtree(few_job.models)
    trained = few.line("epoch 1/1")
    assert trained is not None
    moment = random.uniform(0.05, 0.9) * FEW * trained.cpu_s  # a little less than what the large table takes
    say(f"to be killed after {moment:.0f} CPU s")
    told = tell(job, [lambda course: course.cpu_s > moment], setting.scratch)
    shutil.rmtree(job.models)
    yield from _verdicts(setting, few, told)


def _verdicts(setting: Setting, few: Watched, told: Told) -> Iterator[Verdict]:
    seconds, cpu_s = (sum(getattr(course, name) for course in told.courses) for name in ("seconds", "cpu_s"))
    when = ", ".join(f"'{course.last_words}'" for course in told.courses if course.killed)
    words = f"yes: {seconds:,.0f} s, {cpu_s:,.0f} CPU s; killed after {when}"
    yield Verdict(
        f"{setting.rows:,} rows train within {setting.limit >> 30} GiB, are killed, resume", "yes", words, True
    )
    peaks = [max(course.peak_mb for course in told.courses), few.peak_mb]
    bar = f"peak anonymous memory of {setting.rows:,} rows over that of {setting.rows // FEW:,}"
    yield at_most(bar, 1.3, peaks[0] / peaks[1], f"{peaks[0]:,.0f} and {peaks[1]:,.0f} MB")
    bar = "served: largest distance of an answer from torch's, half of the rows with unseen values"
    yield at_most(bar, CLOSE, told.farthest, f"{told.rows} rows")
    yield from (read_time(course, setting.rows) for course in told.courses if course.line(READ) is not None)
