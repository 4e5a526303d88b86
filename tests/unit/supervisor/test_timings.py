"""Start timings and the critical path."""

from __future__ import annotations

from homeport.model.graph import Graph, Node
from homeport.model.service import COMPLETED, HEALTHY, STARTED
from homeport.supervisor import timings
from homeport.supervisor.engine import Engine
from homeport.supervisor.layout import Home
from homeport.supervisor.timings import Timing
from tests.unit.supervisor.world import Play, World, job, service

NODES: list[Node] = [
    service("database"),
    service("objectstore"),
    job("migrate", {"database": HEALTHY}, owner="tracking"),
    service("tracking", {"migrate": COMPLETED, "objectstore": HEALTHY}),
    service("gateway", {"objectstore": STARTED}),
]


def test_the_critical_path_is_what_each_waited_for_longest(home: Home) -> None:
    async def scenario(engine: Engine) -> None:
        await engine.up()
        await engine.down()

    plays = {"database": [Play(ready=2.0)], "objectstore": [Play(ready=1.0)], "tracking": [Play(ready=4.0)]}
    World(home, NODES, plays).play(scenario)
    found = timings.read(home)
    graph = Graph("g", NODES)
    assert timings.critical_path(graph, found) == ("database", "migrate", "tracking")
    assert found["migrate"] == Timing(started=2.0, spawned=2.0, ready=3.0)
    assert timings.text(graph, found).splitlines() == [
        "* database     @0.000 s  +2.000 s",
        "  objectstore  @0.000 s  +1.000 s",
        "* migrate      @2.000 s  +1.000 s",
        "  gateway      @0.000 s  +0.000 s",
        "* tracking     @3.000 s  +4.000 s",
    ]


def test_a_started_need_counts_from_when_it_ran() -> None:
    graph = Graph("g", [service("a"), service("b"), service("c", {"a": STARTED, "b": HEALTHY})])
    found = {"a": Timing(0.0, 0.1, 9.0), "b": Timing(0.0, 0.1, 2.0), "c": Timing(2.0, 2.1, 10.0)}
    assert timings.critical_path(graph, found) == ("b", "c")


def test_timings_that_are_not_there_or_torn_are_none(home: Home) -> None:
    assert timings.read(home) == {}
    for torn in (
        '{"nodes": {"a": {"started": 1',
        '{"nodes": [1]}',
        '{"nodes": {"a": {"started": 1}}}',
        '{"nodes": {"a": 1}}',
    ):
        home.timings.write_text(torn)
        assert timings.read(home) == {}
    assert timings.critical_path(Graph("g", NODES), {}) == ()
    assert timings.text(Graph("g", NODES), {}) == ""
