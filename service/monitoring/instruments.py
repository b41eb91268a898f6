"""Instruments of the metrics: labels, buckets, and the sums of a worker's events.

The sets are fixed, so that no caller can make a series: whatever is not listed counts as "other".

An event is five numbers; `fold` adds many at once to the worker's sums (`shared_sums.py`):

    request   code, rows, parse_s, render_s, total_s
    run       RUN, requests, rows, queue_s, run_s

    code = ((model * ROUTES + route) * STATUSES + status) * (VERSIONS + 1) + version;
           the version is VERSIONS for none

    place 0          histograms of the stages and of the runs
    place 1 to 7     sums by version, of VERSION_SUMS one each
    place 8 + model  requests by route and status
"""

from collections.abc import Callable, Iterator
from struct import Struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.monitoring.shared_sums import Body, Shape

ROUTES = (
    "predict",
    "gates",
    "traffic",
    "models",
    "metadata",
    "labels",
    "v2_infer",
    "v2",
    "grpc_infer",
    "grpc",
    "admin",
    "health",
    "metrics",
    "docs",
    "page",
    "other",
)
_CODES = (
    *(200, 204, 304, 307),
    *(400, 401, 403, 404, 405, 408, 409, 411, 413, 415, 421, 422, 429, 431),
    *(499, 500, 501, 503, 504),
)
STATUSES = (*map(str, _CODES), "other")
REASONS = (
    "malformed",
    "invalid_features",
    "too_large",
    "media_type",
    "head_too_large",
    "slow_client",
    "model_not_found",
    "gates_unavailable",
    "version_conflict",
    "transfer_coding",
    "host_not_allowed",
    "unauthorised",
    "wrong_keys",
    "forbidden",
    "overloaded",
    "not_ready",
    "run_directory_gone",
    "deadline",
    "artifact",
    "internal",
    "other",
)
MODELS = 33
"""Model names told apart: the first is for calls of no loaded model, the last for all others."""
VERSIONS = 128
"""Model versions told apart at a time.

The one unloaded longest ago gives its place to the next.
"""

_MS = 1e-3
SECONDS = tuple(x * _MS for x in (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000))
"""Upper bounds of the latency buckets, from 50 us."""
COUNTS = tuple(float(2**power) for power in range(15))
"""Upper bounds of the buckets of rows and requests of a run, 1 to 16,384."""

RUN = -1.0
event: Callable[[float, float, float, float, float], bytes] = Struct("5f").pack
"""Write an event as it is buffered."""
NOT_MEASURED = float("nan")
_KEYS = len(ROUTES) * len(STATUSES)
VERSION_SUMS = ("rows", "successes", "success_s", "parse_s", "render_s", "failures", "failure_s")
"""Sums kept by version: predicted rows, and of inferences how many there were and their times."""
_INFERENCES = [ROUTES.index(route) for route in ("predict", "v2_infer", "grpc_infer")]
_OK = STATUSES.index("200")
_HISTOGRAMS, _VERSIONS = 0, 1
_REQUESTS = _VERSIONS + len(VERSION_SUMS)
PLACES = _REQUESTS + MODELS


class Instrument(NamedTuple):
    """Histogram: the kind of event and column of its values, and the words of its sums."""

    name: str
    of_runs: bool
    column: int
    bounds: tuple[float, ...]
    start: int

    @property
    def end(self) -> int:
        """Return the word after the last.

        The words are a count per bound, one beyond the last bound, and the sum.
        """
        return self.start + len(self.bounds) + 2


def _instruments() -> tuple[Instrument, ...]:
    found, start = [], 0
    for name, of_runs, column, bounds in (
        ("parse", False, 2, SECONDS),
        ("queue", True, 3, SECONDS),
        ("run", True, 4, SECONDS),
        ("render", False, 3, SECONDS),
        ("total", False, 4, SECONDS),
        ("batch_rows", True, 2, COUNTS),
        ("batch_requests", True, 1, COUNTS),
    ):
        found.append(Instrument(name, of_runs, column, bounds, start))
        start = found[-1].end
    return tuple(found)


INSTRUMENTS = _instruments()
STAGES = ("parse", "queue", "run", "render", "total")
SHAPE = Shape(PLACES, max(_KEYS, VERSIONS, INSTRUMENTS[-1].end))


def request_code(model: int, route: str, status: int, version: int | None) -> int:
    """Return the number that stands for where a request counts.

    What is not listed counts as "other".

    It is exact in float32, which holds whole numbers to 2^24.

    Args:
        model: place of the model's name.
        route: one of ROUTES.
        status: of HTTP.
        version: place of the version; None where no loaded one was asked.
    """
    route_at = ROUTES.index(route if route in ROUTES else "other")
    status_at = STATUSES.index(str(status) if str(status) in STATUSES else "other")
    key = (model * len(ROUTES) + route_at) * len(STATUSES) + status_at
    return key * (VERSIONS + 1) + (VERSIONS if version is None else version)


def fold(current: Callable[[int], Body], events: NDArray[np.float32]) -> dict[int, Body]:
    """Return the bodies, by place, that adding events (n, 5) to the current ones gives."""
    changed: dict[int, Body] = {}

    def body(place: int) -> Body:
        if place not in changed:
            changed[place] = current(place).copy()
        return changed[place]

    kind = events[:, 0]
    requests, runs = events[kind >= 0], events[kind == RUN]
    for instrument in INSTRUMENTS:
        _observe(body(_HISTOGRAMS), instrument, (runs if instrument.of_runs else requests)[:, instrument.column])
    if len(requests):
        codes, versions = np.divmod(requests[:, 0].astype(int), VERSIONS + 1)
        models, keys = np.divmod(codes, _KEYS)
        for place, values in enumerate(_version_sums(requests, keys), start=_VERSIONS):
            body(place)[:VERSIONS] += np.bincount(versions, weights=values, minlength=VERSIONS + 1)[:VERSIONS]
        for model in np.unique(models):
            counts = np.bincount(keys[models == model], minlength=_KEYS)
            body(_REQUESTS + int(model))[:_KEYS] += counts
    return changed


def forget_version(current: Callable[[int], Body], version: int) -> dict[int, Body]:
    """Return the bodies, by place, without the sums of one place in the table of versions."""
    changed = {place: current(place).copy() for place in range(_VERSIONS, _REQUESTS)}
    for body in changed.values():
        body[version] = 0
    return changed


def _version_sums(requests: NDArray[np.float32], keys: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """Yield what each request adds to its version's sums, in the order of VERSION_SUMS."""
    routes, statuses = np.divmod(keys, len(STATUSES))
    inferences = np.isin(routes, _INFERENCES)
    done, failed = inferences & (statuses == _OK), inferences & (statuses != _OK)
    parse_s, render_s, total_s = np.nan_to_num(requests[:, 2:].T)
    yield requests[:, 1].astype(np.float64)
    yield from (done * 1.0, done * total_s, done * parse_s, done * render_s)
    yield from (failed * 1.0, failed * total_s)


def _observe(body: Body, instrument: Instrument, values: NDArray[np.float32]) -> None:
    values = values[~np.isnan(values)]
    bins = np.searchsorted(instrument.bounds, values)  # a bound belongs to the bucket that it ends
    body[instrument.start : instrument.end - 1] += np.bincount(bins, minlength=len(instrument.bounds) + 1)
    body[instrument.end - 1] += values.sum(dtype=np.float64)


class Figures(NamedTuple):
    """Sums of a worker, read from the bodies of all places, (PLACES, words)."""

    bodies: Body

    def histogram(self, name: str) -> tuple[list[tuple[str, float]], float]:
        """Return the cumulative buckets as (upper bound, count), "+Inf" last, and the sum."""
        instrument = next(instrument for instrument in INSTRUMENTS if instrument.name == name)
        words = self.bodies[_HISTOGRAMS, instrument.start : instrument.end]
        bounds = [*(f"{bound:.10g}" for bound in instrument.bounds), "+Inf"]
        return list(zip(bounds, np.cumsum(words[:-1]).tolist(), strict=True)), float(words[-1])

    def version(self, version: int) -> dict[str, float]:
        """Return the sums of the version at a place of the table, by VERSION_SUMS."""
        return dict(zip(VERSION_SUMS, self.bodies[_VERSIONS:_REQUESTS, version].tolist(), strict=True))

    def rows(self, version: int) -> float:
        """Return the rows of the version at a place of the table."""
        return float(self.bodies[_VERSIONS, version])

    def models(self) -> list[int]:
        """List the places of the models that were asked."""
        return np.flatnonzero(self.bodies[_REQUESTS:].any(axis=1)).tolist()

    def requests(self, model: int) -> NDArray[np.float64]:
        """Return the requests of a model, (ROUTES, STATUSES)."""
        return self.bodies[_REQUESTS + model, :_KEYS].reshape(len(ROUTES), len(STATUSES))
