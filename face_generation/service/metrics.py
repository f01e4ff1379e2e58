"""What Prometheus reads at /metrics. Each app has a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from face_generation.service.workers import Workers

disable_created_metrics()  # a series more for each, which few can use
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.25, 2.5, 5, 10, 30)


class Metrics:
    """Counts requests and images, and shows the queue."""

    def __init__(self, workers: Workers) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        prefix = "face_generation"
        self._requests = Counter(
            f"{prefix}_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            f"{prefix}_request_seconds",
            "Time from a request's head to its answer's end",
            ["method", "route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._images = Counter(f"{prefix}_images", "Images drawn", ["bundle", "kind"], registry=self.registry)
        for name, what, value in (
            ("queue_faces", "Faces that wait to be drawn", lambda: workers.waiting),
            ("drawing_faces", "Faces that are being drawn", lambda: workers.running),
            ("queue_limit_faces", "Faces that may wait", lambda: workers.capacity),
            ("workers", "Faces that are drawn at a time", lambda: workers.threads),
        ):
            Gauge(f"{prefix}_{name}", what, registry=self.registry).set_function(value)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def images(self, bundle: str, kind: str, n: int) -> None:
        self._images.labels(bundle, kind).inc(n)
