"""When each part of a start began and was ready, and the chain that made it take as long as it did.

Kept in run/timings.json for `homeport graph --timings`. Knows nothing of processes: it is told states and times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from homeport.model.graph import Graph
from homeport.model.service import STARTED
from homeport.supervisor.files import read_json, write_json
from homeport.supervisor.layout import Home
from homeport.supervisor.state import ALIVE, State
from homeport.supervisor.status import ServiceStatus


@dataclass(frozen=True)
class Timing:
    """Seconds after the start began: its needs were met (`started`), it ran (`spawned`), it was ready (`ready`)."""

    started: float
    spawned: float
    ready: float


Timings = Mapping[str, Timing]


class Stopwatch:
    """Notes when each node first reached a stage."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, float]] = {}

    def note(self, status: ServiceStatus, seconds: float) -> None:
        """A node stands like this, so many seconds after the start began."""
        seen, seconds = self._seen.setdefault(status.name, {}), round(seconds, 6)
        if status.state is State.STARTING:
            seen.setdefault("started", seconds)
        elif status.state in ALIVE | {State.COMPLETED}:
            seen.setdefault("spawned", seconds)
        if status.ready:
            seen.setdefault("ready", seconds)

    @property
    def timings(self) -> dict[str, Timing]:
        """Of every node that is ready."""
        return {
            name: Timing(**row) for name, row in self._seen.items() if row.keys() >= {"started", "spawned", "ready"}
        }


def critical_path(graph: Graph, timings: Timings) -> tuple[str, ...]:
    """The chain of nodes, first to last, each of which was what the next one waited for longest."""
    known = [node.name for node in graph if node.name in timings]
    if not known:
        return ()
    path = [max(known, key=lambda name: timings[name].ready)]
    while True:
        needs = {name: condition for name, condition in graph[path[-1]].needs.items() if name in timings}
        if not needs:
            return tuple(reversed(path))
        path.append(
            max(needs, key=lambda name: timings[name].spawned if needs[name] is STARTED else timings[name].ready)
        )


def text(graph: Graph, timings: Timings) -> str:
    """One line a node in start order: `@offset +duration`, as systemd-analyze; `*` marks the critical path."""
    path = set(critical_path(graph, timings))
    names = [name for name in graph.start_order if name in timings]
    width = max((len(name) for name in names), default=0)
    lines = []
    for name in names:
        timing = timings[name]
        mark = "*" if name in path else " "
        lines.append(f"{mark} {name:<{width}}  @{timing.started:.3f} s  +{timing.ready - timing.started:.3f} s")
    return "\n".join(lines)


def write(home: Home, timings: Timings) -> None:
    """Keep the timings of the last start.

    Raises:
        OSError: as the disk reports it.
    """
    rows = {name: {"started": t.started, "spawned": t.spawned, "ready": t.ready} for name, t in timings.items()}
    write_json(home.timings, {"nodes": rows})


def read(home: Home) -> dict[str, Timing]:
    """The timings of the last start; empty when there was none."""
    rows = (read_json(home.timings) or {}).get("nodes")
    if not isinstance(rows, dict):
        return {}
    try:
        return {name: Timing(**{key: float(value) for key, value in row.items()}) for name, row in rows.items()}
    except (AttributeError, TypeError, ValueError):
        return {}
