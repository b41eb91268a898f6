"""Metrics of a running service."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx
from prometheus_client.parser import text_string_to_metric_families

T = TypeVar("T")

LONGEST_S = 30
"""Figures that have not come by then do not come."""
PAUSE_S = 0.02
"""Between two readings, so that they leave the cores to the service."""


def metric(url: str, name: str, **labels: str) -> float:
    """Add up the samples of a metric that have these labels."""
    page = httpx.get(f"{url}/metrics", timeout=30, trust_env=False).text
    samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def settled(url: str, name: str, *, at_least: float = 0, **labels: str) -> float:
    """Read a metric until it has stood still for two seconds.

    Other workers publish their counts once a second. Below `at_least` it may stand still for
    `LONGEST_S`: a worker that gets no core is late.
    """
    value, since = metric(url, name, **labels), time.monotonic()
    while time.monotonic() - since < (2.0 if value >= at_least else LONGEST_S):
        again = metric(url, name, **labels)
        if again != value:
            value, since = again, time.monotonic()
    return value


def awaited(read: Callable[[], T], wanted: T) -> T:
    """Read until the wanted value comes, for at most `LONGEST_S`; return it."""
    until = time.monotonic() + LONGEST_S
    while (value := read()) != wanted:
        assert time.monotonic() < until, f"{wanted!r} has not come in {LONGEST_S} s, but {value!r}"
        time.sleep(PAUSE_S)
    return value
