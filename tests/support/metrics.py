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
    """Read a metric until several workers in a row give the same: what others count is up to 50 ms late."""
    value, alike = metric(url, name, **labels), 0
    while alike < 20:
        again = metric(url, name, **labels)
        value, alike = again, alike + 1 if again == value else 0
    return value


def falls_to_zero(url: str, name: str, within_s: float = 30) -> bool:
    """Wait until a gauge is 0; it is up to a second old."""
    until = time.monotonic() + within_s
    while metric(url, name):
        if time.monotonic() > until:
            return False
    return True
