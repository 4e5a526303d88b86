"""A start replayed: scripted programs in place of Compose and of the engine's events."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from homeport.compose.containers import Container
from homeport.compose.start import Asked, Start
from homeport.model.graph import Graph
from homeport.model.service import COMPLETED, Job, Port, Probe, Service, TcpProbe

JOB = Job(name="migrate", title="m", command=("x",), owner="tracking")
TRACKING = Service(
    name="tracking", title="t", command=("x",), ports=(Port("main", 1),), probe=Probe(TcpProbe()),
    needs={"migrate": COMPLETED},
)  # fmt: skip
GRAPH = Graph("g", [JOB, TRACKING])
WELL = [Container("m", "migrate", "exited"), Container("t", "tracking", "running", "healthy")]


@dataclass
class World:
    """What is there, one look after the other (the last one stays), and what was asked to stop."""

    looks: list[list[Container]]
    lines: list[str] = field(default_factory=list)
    stopped: list[Sequence[str]] = field(default_factory=list)

    def look(self) -> dict[str, Container]:
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return {each.service: each for each in found}

    def start(self, place: Path, events: list[dict[str, Any]], up: str = "exit 0", seconds: float = 30) -> Start:
        script = place / "events"
        script.write_text("".join(json.dumps(event) + "\n" for event in events))
        asked = Asked(self.look, lambda _container, _lines: self.lines, self.stopped.append)
        # Events come before Compose says that it is done, as the engine tells them.
        ready = place / "told"
        return Start(
            GRAPH, asked, up=["sh", "-c", f"while [ ! -e {ready} ]; do sleep 0.01; done; {up}"],
            events=["sh", "-c", f"cat {script}; touch {ready}; exec sleep 60"], environ=dict(os.environ),
            directory=place, seconds=seconds,
        )  # fmt: skip


def told(service: str, action: str, **attributes: str) -> dict[str, Any]:
    labels = {"com.docker.compose.service": service, "com.docker.compose.oneoff": "False", **attributes}
    return {"Action": action, "Actor": {"Attributes": labels}, "timeNano": time.time_ns()}


def test_a_start_tells_each_change_and_ends_with_ready(tmp_path: Path) -> None:
    world = World([[], WELL], lines=["schema created"])
    events = list(
        world.start(
            tmp_path,
            [
                told("migrate", "start"),
                told("migrate", "die", exitCode="0"),
                told("tracking", "start"),
                told("tracking", "health_status: healthy"),
                told("somebody", "start"),
            ],
        ).run()
    )
    changes = [(event["service"], event["state"], event["detail"]) for event in events if event["event"] == "state"]
    assert changes == [
        ("migrate", "pending", ""),
        ("tracking", "pending", ""),
        ("migrate", "running", ""),
        ("migrate", "completed", "schema created"),
        ("tracking", "running", ""),
        ("tracking", "healthy", ""),
    ]
    assert events[-1]["event"] == "ready"
    assert world.stopped == []


def test_what_was_ready_before_is_told_at_the_end(tmp_path: Path) -> None:
    events = list(World([WELL]).start(tmp_path, []).run())
    assert [(event["service"], event["state"]) for event in events[2:-1]] == [
        ("migrate", "completed"),
        ("tracking", "healthy"),
    ]


def test_a_failed_job_ends_the_start_and_what_was_started_is_stopped(tmp_path: Path) -> None:
    failed = [Container("m", "migrate", "exited", exit_code=1), Container("x", "other", "running")]
    world = World(
        [[Container("o", "tracking", "running", "healthy")], [*failed, Container("n", "tracking", "running")]]
    )
    events = list(world.start(tmp_path, [told("migrate", "die", exitCode="1")], up="echo no; exit 1").run())
    assert events[-1]["event"] == "failed"
    assert events[-1]["error"]["code"] == "MIGRATE_EXITED"
    assert events[-1]["error"]["aside"] == "everything this command started was stopped"
    assert world.stopped == [["other", "tracking"]]


def test_what_ran_before_is_left_alone(tmp_path: Path) -> None:
    old = Container("o", "tracking", "running", "healthy")
    world = World([[old], [old, Container("m", "migrate", "exited", exit_code=1)]])
    assert list(world.start(tmp_path, [], up="exit 1").run())[-1]["event"] == "failed"
    assert world.stopped == []


@pytest.mark.parametrize(
    "last",
    [
        Container("t", "tracking", "restarting", exit_code=3, restarts=3),
        # Just started again: the engine has forgotten how it ended.
        Container("t", "tracking", "running", "starting", exit_code=0, restarts=3),
    ],
    ids=["between two starts", "started again"],
)
def test_a_service_that_dies_three_times_is_not_waited_for(tmp_path: Path, last: Container) -> None:
    crashing = [Container("m", "migrate", "exited"), last]
    world = World([[], crashing])
    deaths = [told("tracking", "die", exitCode="3")] * 3
    begin = time.monotonic()
    events = list(world.start(tmp_path, deaths, up="exec sleep 60").run())
    assert events[-1]["error"]["code"] == "TRACKING_EXITED"
    assert "exit 3" in events[-1]["error"]["what"]
    assert world.stopped == [["tracking"]]
    assert time.monotonic() - begin < 30


def test_a_start_that_takes_too_long_says_what_it_waited_for(tmp_path: Path) -> None:
    waiting = [Container("m", "migrate", "running"), Container("t", "tracking", "created")]
    events = list(World([[], waiting]).start(tmp_path, [], up="exec sleep 60", seconds=0.2).run())
    assert events[-1]["error"]["code"] == "START_TIMEOUT"
    assert {row["label"]: row["text"] for row in events[-1]["error"]["evidence"]} == {
        "migrate": "running",
        "tracking": "pending",
    }


def test_whoever_stops_listening_stops_what_was_started(tmp_path: Path) -> None:
    world = World([[], [Container("t", "tracking", "running")]])
    start = world.start(tmp_path, [told("tracking", "start")], up="exec sleep 60").run()
    for event in start:
        if event["state"] == "running":
            break
    start.close()
    assert world.stopped == [["tracking"]]


@pytest.mark.parametrize("line", ["half a li", "[]", '{"Action": "start"}'])
def test_an_event_that_is_not_understood_is_passed_over(tmp_path: Path, line: str) -> None:
    start = World([[], WELL]).start(tmp_path, [])
    (tmp_path / "events").write_text(line + "\n")
    assert list(start.run())[-1]["event"] == "ready"
