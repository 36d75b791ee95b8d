"""Metrics for Prometheus, under TF Serving's names where it has the same metric."""

import prometheus_client

_MICROSECONDS = [10 * 1.8**k for k in range(33)]  # TF Serving's
_ROWS = [2**k for k in range(13)]


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        # A Gauge that only grows: prometheus_client would name a Counter ..._total, unlike TF
        # Serving.
        self.requests = prometheus_client.Gauge(
            ":tensorflow:serving:request_count",
            "Requests by model and status.",
            ["model_name", "status"],
            registry=self.registry,
        )
        self.latency = prometheus_client.Histogram(
            ":tensorflow:serving:request_latency",
            "Microseconds from a request's arrival to its response.",
            ["model_name", "API", "entrypoint"],
            buckets=_MICROSECONDS,
            registry=self.registry,
        )
        self.load_latency = prometheus_client.Histogram(
            "mptrec_serve_load_seconds",
            "Seconds to load and warm a version.",
            ["model_name", "status"],
            registry=self.registry,
        )
        self.batch_rows = prometheus_client.Histogram(
            "mptrec_serve_batch_rows",
            "Rows of a run, after requests were merged.",
            buckets=_ROWS,
            registry=self.registry,
        )
        self.in_flight = prometheus_client.Gauge(
            "mptrec_serve_requests_in_flight",
            "Requests in flight.",
            registry=self.registry,
        )
        self.version = prometheus_client.Gauge(
            "mptrec_serve_latest_version",
            "The version that serves requests without a version.",
            ["model_name"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Returns all metrics in Prometheus's text format."""
        return prometheus_client.generate_latest(self.registry)
