"""What the front counts, for Prometheus: plain numbers on the way, made into metrics only when somebody asks.

Refuses to know requests; `app.py` says what happened.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

BOUNDS = (
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
CLASSES = ("gone", "1xx", "2xx", "3xx", "4xx", "5xx")


class Gauges(Protocol):
    """What a group of writes tells of itself."""

    depth: int  # requests that wait for their group
    groups: int  # committed
    rows: int  # written by them
    group_seconds: float  # spent on them


class Meter:
    """One route's numbers."""

    __slots__ = ("buckets", "failed", "fast", "passed", "refused", "seconds")

    def __init__(self) -> None:
        self.fast = 0  # answered here
        self.passed = 0  # left to MLflow
        self.refused = 0  # 429: too much at once
        self.failed = 0  # by an exception that nobody foresaw
        self.seconds = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)  # of `fast`

    def answered(self, seconds: float) -> None:
        """One request, answered here."""
        self.fast += 1
        self.seconds += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1


class Counts:
    """The front's numbers."""

    def __init__(self) -> None:
        self.routes: dict[str, Meter] = {}
        self.classes = [0] * len(CLASSES)  # of what was passed through
        self.passing = 0  # under way
        self.mlflow = Meter()  # latency of what was passed through

    def route(self, name: str) -> Meter:
        """That route's numbers."""
        found = self.routes.get(name)
        if found is None:
            found = self.routes[name] = Meter()
        return found

    def passed(self, status: int, seconds: float) -> None:
        """One request was passed through."""
        self.classes[min(max(status // 100, 0), len(CLASSES) - 1)] += 1
        self.mlflow.answered(seconds)


class State(Protocol):
    """What is asked when somebody reads the metrics."""

    def lane(self) -> tuple[bool, str]:
        """Whether the fast lane is on, and if not, why."""

    def pool(self) -> tuple[int, int]:
        """Connections open, and of those idle."""

    def groups(self) -> Mapping[str, Gauges]:
        """The groups of writes, by name."""

    def waiting(self) -> int:
        """Requests that wait for a private server that is starting."""


def page(counts: Counts, state: State) -> tuple[bytes, bytes]:
    """The page, and its content type."""
    # Only where somebody reads them: the library is not small.
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(lambda: _families(counts, state)))
    return generate_latest(registry), CONTENT_TYPE_LATEST.encode()


class _Collector:
    def __init__(self, families: Callable[[], Iterable[Any]]) -> None:
        self.collect = families

    def describe(self) -> list[Any]:
        """Nothing beforehand: routes come and go with the fast lane."""
        return []


def _families(counts: Counts, state: State) -> Iterable[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    requests = CounterMetricFamily(
        "homeport_tracking_requests", "Requests of hot calls, by what became of them.", labels=["route", "outcome"]
    )
    seconds = HistogramMetricFamily(
        "homeport_tracking_request_seconds",
        "From the headers to the end of the answer; route mlflow is all that is passed through.",
        labels=["route"],
    )
    for name, meter in sorted(counts.routes.items()):
        for outcome in ("fast", "passed", "refused", "failed"):
            requests.add_metric([name, outcome], getattr(meter, outcome))
        seconds.add_metric([name], _cumulated(meter), meter.seconds)
    seconds.add_metric(["mlflow"], _cumulated(counts.mlflow), counts.mlflow.seconds)
    yield requests
    yield seconds
    passed = CounterMetricFamily(
        "homeport_tracking_passed", "Requests passed through to MLflow, by status.", labels=["status"]
    )
    for name, count in zip(CLASSES, counts.classes, strict=True):
        passed.add_metric([name], count)
    yield passed
    yield GaugeMetricFamily("homeport_tracking_passing", "Requests that MLflow is working on.", value=counts.passing)
    yield GaugeMetricFamily(
        "homeport_tracking_waiting", "Requests that wait for MLflow's start.", value=state.waiting()
    )
    on, _ = state.lane()
    yield GaugeMetricFamily("homeport_tracking_fast_lane", "Whether the fast lane is on.", value=int(on))
    opened, idle = state.pool()
    pool = GaugeMetricFamily("homeport_tracking_pool_connections", "Connections to the database.", labels=["state"])
    pool.add_metric(["open"], opened)
    pool.add_metric(["idle"], idle)
    yield pool
    yield from _of_groups(state.groups())


def _of_groups(groups: Mapping[str, Gauges]) -> Iterable[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    depth = GaugeMetricFamily("homeport_tracking_queue", "Writes that wait for their group.", labels=["group"])
    committed = CounterMetricFamily("homeport_tracking_groups", "Groups committed.", labels=["group"])
    rows = CounterMetricFamily("homeport_tracking_group_rows", "Rows written in groups.", labels=["group"])
    seconds = CounterMetricFamily("homeport_tracking_group_seconds", "Time spent on groups.", labels=["group"])
    for name, group in sorted(groups.items()):
        depth.add_metric([name], group.depth)
        committed.add_metric([name], group.groups)
        rows.add_metric([name], group.rows)
        seconds.add_metric([name], group.group_seconds)
    yield from (depth, committed, rows, seconds)


def _cumulated(meter: Meter) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), meter.buckets, strict=True):
        total += count
        found.append((bound, total))
    return found
