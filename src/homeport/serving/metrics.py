"""What is counted, for Prometheus: one page for all workers, whichever of them is asked.

That is prometheus_client's multiprocess mode. Names follow the Prometheus conventions. The directory of the counters
is set by the master before this is imported.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_OF_MODEL = ["model", "version"]

REQUESTS = Counter(
    "homeport_serving_requests", "Scoring requests answered.", [*_OF_MODEL, "protocol", "status"], registry=None
)
LATENCY = Histogram(
    "homeport_serving_request_seconds", "From the whole body read to the answer sent.", _OF_MODEL, buckets=_SECONDS,
    registry=None,
)  # fmt: skip
IN_FLIGHT = Gauge(
    "homeport_serving_in_flight", "Requests being answered.", _OF_MODEL, multiprocess_mode="livesum", registry=None
)
WAITING = Gauge(
    "homeport_serving_waiting", "Requests waiting for a turn.", _OF_MODEL, multiprocess_mode="livesum", registry=None
)
RELOADS = Counter("homeport_serving_reloads", "Versions brought into service.", ["model"], registry=None)
LOAD_SECONDS = Histogram(
    "homeport_serving_load_seconds", "From the download to the swap.", ["model"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0), registry=None,
)  # fmt: skip
FAILURES = Counter("homeport_serving_reload_failures", "Versions that could not be served.", ["model"], registry=None)
INFO = Gauge(
    "homeport_serving_model_info", "1 for every version that is served.", [*_OF_MODEL, "alias", "predictor"],
    multiprocess_mode="livemax", registry=None,
)  # fmt: skip
REGISTRY = Gauge(
    "homeport_serving_registry_up", "Whether the registry answered last time (the worst worker's view).",
    multiprocess_mode="livemin", registry=None,
)  # fmt: skip
SHADOWS = Counter("homeport_serving_shadows", "Answers compared with a shadow's.", ["model", "result"], registry=None)
STRANGERS = Counter("homeport_serving_strangers", "Requests refused for want of a key.", registry=None)
DROPPED = Counter(
    "homeport_serving_prediction_log_dropped", "Predictions that were not kept: the queue was full.", registry=None
)
LOG_FAILURES = Counter(
    "homeport_serving_prediction_log_failures", "Predictions or writes that failed, by kind.", ["kind"], registry=None
)


@dataclass(frozen=True)
class Labels:
    """A model version as labels."""

    model: str
    version: str


class Meter:
    """One model version's counters in this worker, looked up once."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._latency = LATENCY.labels(labels.model, labels.version)
        self._requests: dict[tuple[str, int], Any] = {}
        self.answered = 0
        self.failed = 0
        self.buckets = [0] * (len(_SECONDS) + 1)

    def count(self, protocol: str, status: int, seconds: float) -> None:
        """One request answered."""
        counter = self._requests.get((protocol, status))
        if counter is None:
            counter = REQUESTS.labels(self._labels.model, self._labels.version, protocol, str(status))
            self._requests[protocol, status] = counter
        counter.inc()
        self._latency.observe(seconds)
        self.answered += 1
        self.failed += status >= 400  # noqa: PLR2004 - HTTP
        self.buckets[bisect_left(_SECONDS, seconds)] += 1

    def levels(self, in_flight: int, waiting: int) -> None:
        """What is under way just now."""
        IN_FLIGHT.labels(self._labels.model, self._labels.version).set(in_flight)
        WAITING.labels(self._labels.model, self._labels.version).set(waiting)


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """The seconds within which that share of the requests was answered, to a bucket's precision; None without any."""
    reached, wanted = 0, share * sum(buckets)
    for bound, count in zip((*_SECONDS, _SECONDS[-1]), buckets, strict=True):
        reached += count
        if count and reached >= wanted:
            return bound
    return None


def together(workers: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What workers tell of the versions they serve, added up.

    Args:
        workers: of each {"served": {"name/version": {"answered", "failed", "in_flight", "buckets"}}}, or a failure.

    Returns:
        "name/version" -> answered, failed and in_flight in requests, latency {"p50", "p99"} in s or None.
    """
    told: dict[str, list[Mapping[str, Any]]] = {}
    for worker in workers:
        for version, row in worker.get("served", {}).items():
            told.setdefault(version, []).append(row)
    found = {}
    for version, rows in told.items():
        buckets = [sum(column) for column in zip(*(row["buckets"] for row in rows), strict=True)]
        found[version] = {
            **{key: sum(row[key] for row in rows) for key in ("answered", "failed", "in_flight")},
            "latency": {"p50": quantile(buckets, 0.5), "p99": quantile(buckets, 0.99)},
        }
    return found


def show_served(served: Iterable[tuple[str, str, str, str]]) -> None:
    """What this worker serves now, as (model, version, alias, predictor); what it served before is 0."""
    now = {tuple(each) for each in served}
    for labels in _shown - now:
        INFO.labels(*labels).set(0)
    for labels in now:
        INFO.labels(*labels).set(1)
    _shown.update(now)


_shown: set[tuple[str, ...]] = set()


def page() -> tuple[bytes, str]:
    """All workers' metrics, and their content type."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # the library is typed but for this
    return generate_latest(registry), CONTENT_TYPE_LATEST
