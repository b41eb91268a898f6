"""Read a running service's metrics."""

import time

import httpx
from prometheus_client.parser import text_string_to_metric_families


def metric(url: str, name: str, **labels: str) -> float:
    """Add up the samples of a metric that have these labels."""
    page = httpx.get(f"{url}/metrics", timeout=30, trust_env=False).text
    samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def settled(url: str, name: str, **labels: str) -> float:
    """Read a metric until it has stood still for two seconds: what other workers count is up to a second late."""
    value, since = metric(url, name, **labels), time.monotonic()
    while time.monotonic() - since < 2.0:
        again = metric(url, name, **labels)
        if again != value:
            value, since = again, time.monotonic()
    return value


def falls_to_zero(url: str, name: str, within_s: float = 30) -> bool:
    """Wait until a gauge is 0; it is up to a second old."""
    until = time.monotonic() + within_s
    while metric(url, name):
        if time.monotonic() > until:
            return False
    return True
