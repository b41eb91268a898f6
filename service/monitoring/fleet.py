"""Live traffic over all instances of a service, summed by the Prometheus that scrapes them.

For the dashboard, and never on the way of a prediction: one query in a thread, bounded in time
and bytes, and one answer for all who ask within a few seconds.
"""

import asyncio
import http.client
import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, NamedTuple

from typing_extensions import TypedDict

from service.artifact.manifest import Manifest
from service.errors import MalformedRequest
from service.monitoring.windows import POINTS, WINDOWS, tier_of
from service.system.quoting import cut, quote
from service.system.redirects import NoRedirect

TIMEOUT_S = 3.0
MOST_BYTES = 4 << 20
FRESH_S = 4.0
_MOST_KEPT = 64


class InstanceRows(TypedDict):
    """Rows of one instance, named as Prometheus names it."""

    instance: str
    rows: float


class FleetTask(TypedDict):
    """Gate of a task over all instances; null without rows."""

    utilisation: list[float] | None
    entropy: float | None
    normalised_entropy: float | None


class FleetAnswer(TypedDict):
    """Gates of a model version over a window of all instances' traffic."""

    model: str
    version: int
    window: str
    window_s: float
    rows: float
    instances: list[InstanceRows]
    tasks: dict[str, FleetTask]


class PrometheusError(Exception):
    """Prometheus that does not answer, or not as expected."""


class _Asked(NamedTuple):
    model: str
    version: int
    window: str


class Fleet:
    """Figures over all instances.

    Args:
        url: address of a Prometheus, such as http://prometheus:9090.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._asking = asyncio.Lock()
        self._kept: dict[_Asked, tuple[float, FleetAnswer]] = {}

    async def report(self, name: str, version: int, manifest: Manifest, window: str) -> FleetAnswer:
        """Sum a window of a version's traffic over all instances.

        Args:
            name: under which the model is served.
            version: whose traffic it is.
            manifest: of the version.
            window: one of WINDOWS.

        Raises:
            MalformedRequest: no such window.
            PrometheusError: it cannot be asked.
        """
        if window not in WINDOWS:
            raise MalformedRequest(f"the window is {quote(window)}", f"one of {', '.join(WINDOWS)}, as in ?window=5m")
        asked = _Asked(name, version, window)
        async with self._asking:
            at, kept = self._kept.get(asked, (-math.inf, None))
            if kept is not None and time.monotonic() - at < FRESH_S:
                return kept
            answer = _answer(asked, manifest, await asyncio.to_thread(_ask, self._url, _query(asked)))
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[asked] = time.monotonic(), answer
            return answer


def _query(asked: _Asked) -> str:
    """Write one query for all figures, each with its name as a label.

    They are of the same moment so, and it is asked once.
    """
    of = f"{{model={json.dumps(asked.model)},version={json.dumps(str(asked.version))}}}[{asked.window}]"
    sums = {
        "rows": f"sum by (instance) (increase(mmoe_gate_rows_total{of}))",
        "weight": f"sum by (task, expert) (increase(mmoe_gate_weight_total{of}))",
        "entropy": f"sum by (task) (increase(mmoe_gate_entropy_nats_total{of}))",
    }
    return " or ".join(f'label_replace({sum}, "figure", "{figure}", "", "")' for figure, sum in sums.items())


def _ask(url: str, query: str) -> list[dict[str, Any]]:
    """Evaluate a query; the series with their labels and values.

    Raises:
        PrometheusError: it does not answer in time, or not as expected.
    """
    address = f"{url}?{urllib.parse.urlencode({'query': query, 'timeout': f'{TIMEOUT_S:g}s'})}"
    until = time.monotonic() + TIMEOUT_S
    try:
        opener = urllib.request.build_opener(NoRedirect)
        with opener.open(address, timeout=TIMEOUT_S) as response:
            document = json.loads(_read(response, until))
            series: list[dict[str, Any]] = document["data"]["result"]
            return [one["metric"] | {"value": float(one["value"][1])} for one in series]
    except urllib.error.HTTPError as error:
        with error:
            raise PrometheusError(f"it answers {error.code}") from error
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, IndexError) as error:
        raise PrometheusError(cut(f"{type(error).__name__}: {error}")) from error


def _read(response: http.client.HTTPResponse, until: float) -> bytes:
    """Read an answer to its end, in bounded time and bytes."""
    parts, size = list[bytes](), 0
    while part := response.read1(1 << 16):
        size += len(part)
        if size > MOST_BYTES:
            raise ValueError(f"the answer has more than {MOST_BYTES} bytes")
        if time.monotonic() > until:
            raise TimeoutError(f"the answer took more than {TIMEOUT_S:g} s")
        parts.append(part)
    return b"".join(parts)


def _answer(asked: _Asked, manifest: Manifest, series: list[dict[str, Any]]) -> FleetAnswer:
    of = {figure: [one for one in series if one.get("figure") == figure] for figure in ("rows", "weight", "entropy")}
    instances = sorted((one.get("instance", ""), one["value"]) for one in of["rows"] if math.isfinite(one["value"]))
    rows = math.fsum(value for _, value in instances)
    weights = {(one.get("task"), one.get("expert")): one["value"] for one in of["weight"]}
    nats = {one.get("task"): one["value"] for one in of["entropy"]}
    tier = tier_of(asked.window)
    assert tier is not None
    return {
        "model": asked.model,
        "version": asked.version,
        "window": asked.window,
        "window_s": POINTS * tier.resolution_s,
        "rows": rows,
        "instances": [{"instance": instance, "rows": value} for instance, value in instances],
        "tasks": {
            task: _task([weights.get((task, str(e)), 0.0) for e in range(manifest.experts)], nats.get(task), manifest)
            for task in manifest.task_names
        },
    }


def _task(weights: list[float], nats: float | None, manifest: Manifest) -> FleetTask:
    """Divide by the sum of the weights, which is the rows as far as this task's series tell."""
    total = math.fsum(weights)
    if not total > 0:
        return {"utilisation": None, "entropy": None, "normalised_entropy": None}
    entropy = None if nats is None else nats / total
    most = math.log(manifest.seen_experts) if manifest.seen_experts > 1 else math.inf
    return {
        "utilisation": [weight / total for weight in weights],
        "entropy": entropy,
        "normalised_entropy": None if entropy is None else min(max(entropy / most, 0.0), 1.0),
    }
