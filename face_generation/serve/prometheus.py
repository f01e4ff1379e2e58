"""The metrics that Prometheus reads at /metrics. Each app has its own registry."""

from collections.abc import Callable
from functools import partial

import onnxruntime
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

import face_generation
from face_generation.serve.workers import Workers

disable_created_metrics()  # they are one more series for each metric, which few can use
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
PREFIX = "face_generation"
SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.25, 2.5, 5, 10, 30)


class Metrics:
    """Counts requests, images and time, and shows the queues."""

    def __init__(self, workers: Workers, photos: Workers) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = {"version": face_generation.__version__, "onnxruntime": onnxruntime.__version__}
        Gauge(f"{PREFIX}_build_info", "What runs here", list(build), registry=self.registry).labels(**build).set(1)
        self._requests = self._counter("requests", "Requests answered", "method", "route", "status")
        self._seconds = self._seconds_of(
            "request_duration", "From a request's head to its answer's end", "method", "route"
        )
        self._images = self._counter("images", "Images drawn", "bundle", "kind")
        waited = self._seconds_of("queue_wait", "From when a job came until it began", "queue")
        took = self._seconds_of("job_duration", "From when a job began to its end", "queue")
        gauges: dict[str, tuple[str, Callable[[Workers], float]]] = {
            "queue_length": ("Jobs that wait", lambda queue: queue.waiting),
            "queue_capacity": ("Jobs that may wait", lambda queue: queue.capacity),
            "jobs_running": ("Jobs that are being done", lambda queue: queue.running),
            "workers": ("Jobs that are done at a time", lambda queue: queue.threads),
            "saturation_ratio": ("Jobs that wait or run, divided by workers", lambda queue: queue.saturation),
        }
        queues = {"faces": workers, "photos": photos}
        for name, queue in queues.items():
            queue.watch = partial(_observe, waited.labels(name), took.labels(name))
        for title, (what, value) in gauges.items():
            gauge = Gauge(f"{PREFIX}_{title}", what, ["queue"], registry=self.registry)
            for name, queue in queues.items():
                gauge.labels(name).set_function(partial(value, queue))

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", what, labels, registry=self.registry)

    def _seconds_of(self, name: str, what: str, *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}_seconds", what, labels, buckets=SECONDS, registry=self.registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def images(self, bundle: str, kind: str, n: int) -> None:
        self._images.labels(bundle, kind).inc(n)


def _observe(waiting: Histogram, taking: Histogram, waited: float, took: float) -> None:
    waiting.observe(waited)
    taking.observe(took)
