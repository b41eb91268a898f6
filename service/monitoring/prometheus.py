"""Prometheus exposition: one answer over all workers, on a registry of its own."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.gates import Drift
from service.monitoring.comparison import ShadowFigures
from service.monitoring.counters import Metrics
from service.monitoring.gauges import WorkerNumbers
from service.monitoring.instruments import REASONS, ROUTES, STAGES, STATUSES, VERSIONS, Figures
from service.monitoring.recording import GateTraffic
from service.monitoring.report import drifts
from service.monitoring.shadow_metrics import shadow_metrics
from service.monitoring.traffic import Traffic
from service.monitoring.windows import TIERS

DRIFT_WINDOW = TIERS[1]
LEVELS = {"stable": 0, "too_few_rows": 0, "moderate": 1, "major": 2}
"""Values of the drift level; too few rows do not raise an alarm."""

Workers = list[tuple[WorkerNumbers, Figures, bool]]
Labels = tuple[str, ...]
Samples = Mapping[Labels, float]
Refused = Callable[[], Sequence[tuple[str, int]]]
Compared = Callable[[], Sequence[ShadowFigures]]
Others = Callable[[], Iterable[Metric]]


def registry(
    metrics: Metrics, traffic: Traffic, refused: Refused, shadows: Compared, others: Others = tuple
) -> CollectorRegistry:
    """Make the registry to render; collecting reads the shared memory and changes nothing."""
    made = CollectorRegistry(auto_describe=False)
    made.register(InstanceCollector(metrics, traffic, refused, shadows, others))
    return made


class InstanceCollector(Collector):
    """Collector of the sums of all workers.

    Args:
        metrics: of any worker.
        traffic: of the same worker.
        refused: lists the versions that must not be served, as the same worker sees it.
        shadows: tells what comparisons of versions have found.
        others: gives metrics that are not the workers' own.
    """

    def __init__(
        self, metrics: Metrics, traffic: Traffic, refused: Refused, shadows: Compared, others: Others = tuple
    ) -> None:
        self._metrics, self._traffic, self._refused, self._shadows = metrics, traffic, refused, shadows
        self._others = others

    def describe(self) -> list[Metric]:
        """Describe nothing beforehand: the names are all this registry's own."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, summed up over the workers."""
        workers = self._metrics.workers()
        yield from _requests(workers)
        yield from _records(workers)
        yield from _histograms(workers)
        yield from _models(workers)
        refused: Samples = {(name, str(version)): 1.0 for name, version in self._refused()[:VERSIONS]}
        text = "1 for a version on disk that must not be served, as GET /v1/models says why."
        yield _gauge("mmoe_model_refused", text, ("model", "version"), refused)
        yield from _processes(workers)
        yield from shadow_metrics(self._shadows())
        yield from self._others()
        yield from _gates({(t.gates.model, t.gates.version): t for t in reversed(self._traffic.all())}.values())


def _requests(workers: Workers) -> Iterator[Metric]:
    """Yield what came and what was refused."""
    counts: dict[Labels, float] = defaultdict(float)
    for numbers, figures, _ in workers:
        for model in figures.models():
            requests = figures.requests(model)
            for route, status in zip(*requests.nonzero(), strict=True):
                counts[ROUTES[route], STATUSES[status], numbers.model(model)] += float(requests[route, status])
    yield _counter("mmoe_requests", "Answered requests.", ("route", "status", "model"), counts)
    refused: dict[Labels, float] = {(reason,): 0.0 for reason in REASONS}
    for numbers, _, _ in workers:
        for reason, count in numbers.rejected().items():
            refused[(reason,)] += count
    yield _counter("mmoe_rejected_requests", "Requests that were refused.", ("reason",), refused)


def _records(workers: Workers) -> Iterator[Metric]:
    """Yield what became of the records of requests."""
    counts: dict[str, float] = defaultdict(float)
    for numbers, _, _ in workers:
        for record, count in numbers.recorded().items():
            counts[record] += count
    for name, text, record, reasons in (
        ("prediction_log_dropped_rows", "Rows lost to the prediction log.", "prediction_rows", ("queue", "disk")),
        ("label_log_dropped_rows", "Rows of labels lost to the label log.", "label_rows", ("disk",)),
        ("trace_dropped_requests", "Requests whose spans are lost.", "trace_requests", ("queue", "export")),
    ):
        dropped: Samples = {(reason,): counts[f"{record}_dropped_{reason}"] for reason in reasons}
        yield _counter(f"mmoe_{name}", text, ("reason",), dropped)
    for name, text, record in (
        ("prediction_log_written_rows", "Rows written to the prediction log.", "prediction_rows_written"),
        ("label_log_written_rows", "Rows of labels written to the label log.", "label_rows_written"),
        ("log_dropped_lines", "Lines of requests lost to the log.", "log_lines_dropped"),
    ):
        yield _counter(f"mmoe_{name}", text, (), {(): counts[record]})


def _histograms(workers: Workers) -> Iterator[Metric]:
    """Yield how long the stages took and how much was joined."""
    stages = HistogramMetricFamily(
        "mmoe_stage_duration_seconds",
        "Time a request spends in parse, render and total; the longest wait in the queue of each run, and the run.",
        labels=["stage"],
    )
    for stage in STAGES:
        stages.add_metric([stage], *_merged(workers, stage))
    yield stages
    for name, text in (
        ("batch_rows", "Rows joined into a run."),
        ("batch_requests", "Requests joined into a run."),
    ):
        family = HistogramMetricFamily(f"mmoe_{name}", text)
        family.add_metric([], *_merged(workers, name))
        yield family


def _merged(workers: Workers, name: str) -> tuple[list[tuple[str, float]], float]:
    """Add up a histogram over the workers."""
    parts = [figures.histogram(name) for _, figures, _ in workers]
    columns = zip(*(buckets for buckets, _ in parts), strict=True)
    return [(column[0][0], sum(count for _, count in column)) for column in columns], sum(total for _, total in parts)


def _models(workers: Workers) -> Iterator[Metric]:
    """Yield what is loaded and how many rows it has predicted."""
    rows: dict[Labels, float] = defaultdict(float)
    loaded: dict[Labels, float] = defaultdict(float)
    latest: dict[Labels, tuple[float, float]] = {}
    for numbers, figures, is_alive in workers:
        for entry in numbers.versions():
            key = entry.model, str(entry.version)
            rows[key] += figures.rows(entry.index)
            if entry.loaded and is_alive:
                loaded[key] += 1
                latest[key] = max(latest.get(key, (0.0, 0.0)), (entry.loaded_at, entry.load_s))
    labels = "model", "version"
    yield _counter("mmoe_rows", "Predicted rows.", labels, rows)
    yield _gauge("mmoe_model_workers", "Workers that have the model version loaded.", labels, loaded)
    for name, text, at in (
        ("mmoe_model_loaded_timestamp_seconds", "When the model version was last loaded, since 1970.", 0),
        ("mmoe_model_load_duration_seconds", "How long loading, checking and warming it last took.", 1),
    ):
        yield _gauge(name, text, labels, {key: value[at] for key, value in latest.items()})


def _processes(workers: Workers) -> Iterator[Metric]:
    """Yield figures of the processes: gauges of those alive, counters of all."""
    every = [numbers.gauges() for numbers, _, _ in workers]
    alive = [gauges for gauges, (_, _, is_alive) in zip(every, workers, strict=True) if is_alive]
    for name, text, value in (
        ("mmoe_workers", "Worker processes that are alive.", len(alive)),
        ("mmoe_queue_rows", "Rows that wait to be run.", sum(g.queue_rows for g in alive)),
        ("mmoe_process_resident_memory_bytes", "Memory of all workers.", sum(g.memory_bytes for g in alive)),
        ("mmoe_process_open_fds", "Open file descriptors of all workers.", sum(g.open_files for g in alive)),
        (
            "mmoe_process_start_time_seconds",
            "Start of the oldest worker, since 1970.",
            min((g.started for g in alive), default=0),
        ),
    ):
        yield _gauge(name, text, (), {(): value})
    for name, text, total in (
        ("mmoe_worker_restarts", "Workers that were started in place of another.", sum(g.restarts for g in every)),
        ("mmoe_process_cpu_seconds", "Processor time of all workers, dead ones included.", sum(g.cpu_s for g in every)),
    ):
        yield _counter(name, text, (), {(): total})


def _gates(versions: Iterable[GateTraffic]) -> Iterator[Metric]:
    """Yield what the gates did, as sums.

    A ratio of rates is then a mean over any time and any number of instances.
    """
    rows: dict[Labels, float] = {}
    weights: dict[Labels, float] = {}
    entropy: dict[Labels, float] = {}
    similarity: dict[Labels, float] = {}
    baseline: dict[Labels, float] = {}
    found: dict[Labels, Drift] = {}
    for traffic in versions:
        gates, sums = traffic.gates, traffic.total()
        version = gates.model, str(gates.version)
        rows[version] = float(sums.rows)
        for t, task in enumerate(gates.tasks):
            entropy[*version, task] = float(sums.entropy[t])
            for e in filter(partial(gates.sees, task), range(gates.experts)):
                weights[*version, task, str(e)] = float(sums.weights[t, e])
                baseline[*version, task, str(e)] = gates.baseline.tasks[task].utilisation[e]
            for o in range(t + 1, len(gates.tasks)):
                similarity[*version, task, gates.tasks[o]] = float(sums.similarity[t, o])
        recent = traffic.series(DRIFT_WINDOW).over_time()
        found |= {(*version, task): drift for task, drift in drifts(gates, recent).items()}
    by_version, by_task = ("model", "version"), ("model", "version", "task")
    yield _counter("mmoe_gate_rows", "Rows whose gate weights were recorded.", by_version, rows)
    yield _counter("mmoe_gate_weight", "Sum of the gate weights of an expert.", (*by_task, "expert"), weights)
    yield _counter("mmoe_gate_entropy_nats", "Sum of the rows' gate entropies.", by_task, entropy)
    yield _counter("mmoe_gate_similarity", "Sum of the rows' similarity of two gates.", (*by_task, "other"), similarity)
    yield _gauge("mmoe_gate_baseline_weight", "Mean gate weight on validation rows.", (*by_task, "expert"), baseline)
    text = "Divergence (base 2) of the last 5 minutes' utilisation from the baseline."
    yield _gauge("mmoe_gate_drift_jensen_shannon", text, by_task, {key: d.jensen_shannon for key, d in found.items()})
    text = "Distance of the last 5 minutes' weights from the baseline."
    distances = {key: d.stability_index for key, d in found.items()}
    yield _gauge("mmoe_gate_drift_population_stability_index", text, by_task, distances)
    text = "Verdict on the last 5 minutes: 0 stable or too few rows, 1 moderate, 2 major."
    yield _gauge("mmoe_gate_drift_level", text, by_task, {key: LEVELS[d.level] for key, d in found.items()})


def _counter(name: str, text: str, labels: Labels, samples: Samples) -> Metric:
    """Make a counter; its name gets the suffix _total."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, total in samples.items():
        family.add_metric(values, total)
    return family


def _gauge(name: str, text: str, labels: Labels, samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples.items():
        family.add_metric(values, value)
    return family
