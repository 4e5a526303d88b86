"""The platform as stations: fronts, group commit, PostgreSQL's cores and log, model servers. And a small team's load.

Every number that goes in stands here, with where it was measured or that it is assumed. docs/how-to/load-test.md says
the same in words.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from queueing_engine import Clock, Flush, Gather, Station


@dataclass(frozen=True)
class Times:
    """Seconds of one core that a request takes.

    Args:
        front: by kind, in a tracking server's front, one process.
        read: by kind, in PostgreSQL, of what reads.
        group: in PostgreSQL, of one group of writes, whatever its size.
        row: in PostgreSQL, of each row of a group.
        flush: of PostgreSQL's log to its disk; not of a core.
        predict: of one row, in a model server.
        network: there and back; nobody's core.
        balancer: of any request, in Traefik; its cores are counted, waiting for them is not simulated.
    """

    front: Mapping[str, float]
    read: Mapping[str, float]
    group: float
    row: float
    flush: float
    predict: float
    network: float
    balancer: float


# CPU time a request of each process, one replica, by `benchmarks/replicas.py` on 2026-11-22, on an idle machine. A
# group alone: ADR 10. Assumed: the flush (a cloud's network disk; here it takes 0.15 ms), the network, update-run.
MEASURED = Times(
    front=MappingProxyType({
        "log-metric": 113e-6, "log-batch": 370e-6, "create-run": 127e-6, "update-run": 127e-6, "runs/get": 228e-6,
        "runs/search": 1_621e-6, "get-history": 279e-6, "experiments/search": 362e-6,
    }),
    read=MappingProxyType({
        "runs/get": 275e-6, "runs/search": 5_146e-6, "get-history": 785e-6, "experiments/search": 174e-6,
    }),
    group=210e-6, row=19e-6, flush=1e-3, predict=201e-6, network=0.5e-3, balancer=245e-6,
)  # fmt: skip
LOG_BYTES = 800  # of PostgreSQL's log for a metric value, measured after a checkpoint


def measured(rows: Sequence[Mapping[str, Any]], beside: Times = MEASURED) -> Times:
    """The times in what `replicas.py --json` wrote (its rows of one replica), over the others."""
    one = {row["kind"]: row["cost"] for row in rows if row["replicas"] == 1}
    front = {kind: one[kind]["tracking"] / 1e6 for kind in beside.front if kind in one}
    read = {kind: one[kind]["database"] / 1e6 for kind in beside.read if kind in one}
    batch = one.get("log-batch", {}).get("database")
    return replace(
        beside, front={**beside.front, **front}, read={**beside.read, **read},
        row=batch / 1e6 / 100 if batch else beside.row,
        predict=one["predict"]["serving"] / 1e6 if "predict" in one else beside.predict,
        balancer=one["log-metric"]["balancer"] / 1e6 if "log-metric" in one else beside.balancer,
    )  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One kind of request of a team: how many a second, and how many rows each writes (0: it reads)."""

    kind: str
    rate: float
    rows: int = 0


# Ten trainings at once, each run of ten minutes logs two metrics a second one by one and a batch of 100 every ten
# seconds; five people open a page every ten seconds; an application asks for twenty predictions a second.
TEAM = (
    Call("log-metric", 20.0, rows=1),
    Call("log-batch", 1.0, rows=100),
    Call("create-run", 10 / 600, rows=4),
    Call("update-run", 10 / 600, rows=1),
    Call("experiments/search", 0.5),
    Call("runs/search", 0.5),
    Call("runs/get", 0.5),
    Call("get-history", 0.5),
)
PREDICTIONS = 20.0
ARTIFACT_BYTES = 1e6  # a second: a model of 50 MB a run up, and as much down somewhere, every hundred seconds
MEMORY_MIB = MappingProxyType({"tracking": 302, "serving": 280})  # measured, a replica (docs/benchmarks.md)
CONNECTIONS = MappingProxyType({"fast": 9, "most": 146})  # of one tracking replica: in use by the fast lane; allowed


@dataclass(frozen=True)
class Site:
    """What there is of everything.

    Args:
        tracking: replicas.
        serving: replicas, one worker each.
        cores: of PostgreSQL.
        fronts: hot processes of one tracking replica.
    """

    tracking: int
    serving: int
    cores: int


@dataclass
class Seen:
    """What a simulation saw.

    Args:
        latencies: by kind, seconds.
        front: utilisation of the fronts.
        database: of PostgreSQL's cores.
        log: share of the time in which the log was being flushed.
        serving: utilisation of the model servers.
        refused: predictions that found a full queue.
        done: requests answered a second.
        rows: of a group, on average.
    """

    latencies: dict[str, list[float]] = field(default_factory=dict)
    front: float = 0.0
    database: float = 0.0
    log: float = 0.0
    serving: float = 0.0
    refused: int = 0
    done: float = 0.0
    rows: float = 0.0

    def quantile(self, share: float, *kinds: str) -> float:
        """Milliseconds of these kinds together (all, when none is named)."""
        chosen = [np.asarray(self.latencies[kind]) for kind in kinds or self.latencies if self.latencies.get(kind)]
        return float(np.quantile(np.concatenate(chosen), share)) * 1000 if chosen else float("nan")


@dataclass
class Simulation:
    """One site under a team's load times `scale`, for so many seconds, of which the first tenth is not counted."""

    site: Site
    scale: float
    seconds: float = 4.0
    times: Times = MEASURED
    queue: int = 64  # HOMEPORT_SERVING_QUEUE
    seed: int = 20_260_101

    def run(self) -> Seen:
        """Let it happen."""
        clock, chance, seen = Clock(), random.Random(self.seed), Seen()
        database, log = Station(clock, self.site.cores), Flush(clock, self.times.flush)

        def commit(rows: int, then: object) -> None:
            database.submit(self.times.group + rows * self.times.row, partial(log.submit, then))  # type: ignore[arg-type] # Then

        fronts = [Station(clock, 1) for _ in range(self.site.tracking)]
        groups = [Gather(commit) for _ in fronts]
        servers = [Station(clock, 1, room=self.queue) for _ in range(self.site.serving)]
        written = 0

        def answered(kind: str, begun: float) -> None:
            if begun > self.seconds / 10:
                seen.latencies.setdefault(kind, []).append(clock.now - begun + self.times.network)

        def arrive(call: Call, turn: int) -> None:
            nonlocal written
            at = turn % len(fronts)
            then = partial(answered, call.kind, clock.now)
            if call.rows:
                written += call.rows
                fronts[at].submit(self.times.front[call.kind], partial(groups[at].submit, call.rows, then))
            else:
                read = partial(database.submit, self.times.read[call.kind], then)
                fronts[at].submit(self.times.front[call.kind], read)  # type: ignore[arg-type] # it never refuses
            clock.after(chance.expovariate(call.rate * self.scale), partial(arrive, call, turn + 1))

        def ask(turn: int) -> None:
            then = partial(answered, "predict", clock.now)
            if not servers[turn % len(servers)].submit(self.times.predict, then):
                seen.refused += 1
            clock.after(chance.expovariate(PREDICTIONS * self.scale), partial(ask, turn + 1))

        for number, call in enumerate(TEAM):
            clock.after(chance.expovariate(call.rate * self.scale), partial(arrive, call, number))
        clock.after(chance.expovariate(PREDICTIONS * self.scale), partial(ask, 0))
        clock.run(self.seconds)
        seen.front = sum(front.utilisation(self.seconds) for front in fronts) / len(fronts)
        seen.database = database.utilisation(self.seconds)
        seen.log = log.worked / self.seconds
        seen.serving = sum(server.utilisation(self.seconds) for server in servers) / len(servers)
        seen.done = sum(map(len, seen.latencies.values())) / (0.9 * self.seconds)
        seen.rows = written / max(1, sum(group.groups for group in groups))
        return seen


def needed(scale: float, times: Times = MEASURED, most: float = 0.7) -> Site:
    """The least of everything that is busy at most `most` of the time; two replicas of each: one may be lost."""
    front = sum(call.rate * times.front[call.kind] for call in TEAM) * scale
    rows = sum(call.rate * call.rows for call in TEAM) * scale
    reads = sum(call.rate * times.read[call.kind] for call in TEAM if not call.rows) * scale
    tracking = max(2, int(np.ceil(front / most)))
    # Each replica sends at most one small group after the other: so many a second, if there are so many writes.
    writes = sum(call.rate for call in TEAM if call.rows) * scale
    groups = min(writes, tracking / (times.group + times.flush))
    cores = max(1, int(np.ceil((reads + rows * times.row + groups * times.group) / most)))
    return Site(tracking, max(2, int(np.ceil(PREDICTIONS * scale * times.predict / most))), cores)
