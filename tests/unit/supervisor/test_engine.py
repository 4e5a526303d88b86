"""Starting and stopping a graph, in a scripted world: no process runs and no second passes."""

from __future__ import annotations

import asyncio

import pytest

from homeport.errors import HomeportError
from homeport.model.graph import Node
from homeport.model.service import COMPLETED, HEALTHY, STARTED
from homeport.supervisor.engine import Engine
from homeport.supervisor.layout import Home
from homeport.supervisor.state import State
from tests.unit.supervisor.world import NO, Play, World, in_order, job, service

CHAIN: list[Node] = [
    service("database"),
    service("objectstore"),
    job("migrate", {"database": HEALTHY}, owner="tracking"),
    service("tracking", {"migrate": COMPLETED, "objectstore": HEALTHY}),
]


async def up(engine: Engine) -> None:
    await engine.up()


async def up_and_down(engine: Engine) -> None:
    await engine.up()
    await engine.down()


def refused(world: World, timeout: float | None = None) -> HomeportError:
    caught: list[HomeportError] = []

    async def scenario(engine: Engine) -> None:
        with pytest.raises(HomeportError) as refusal:
            await engine.up(timeout)
        caught.append(refusal.value)

    world.play(scenario)
    assert world.alive() == [], "a failed start leaves nothing running"
    assert world.roll.entries == ()
    return caught[0]


def test_everything_starts_as_early_as_its_needs_allow(home: Home) -> None:
    world = World(home, CHAIN, {"database": [Play(ready=2.0)], "objectstore": [Play(ready=5.0)]}).play(up)
    assert world.when("database starting") == world.when("objectstore starting") == 0.0
    assert world.when("migrate starting") == world.when("database healthy") == 2.0
    assert world.when("tracking starting") == world.when("objectstore healthy") == 5.0
    assert world.what[-1] == "ready"


def test_what_a_healthy_service_says_of_itself_is_its_detail_for_as_long_as_it_says_it(home: Home) -> None:
    notes = ((0.0, "only half of it works"), (60.0, ""))
    told: list[str] = []

    async def scenario(engine: Engine) -> None:
        await engine.up()
        told.append(engine.snapshot()[0].detail)
        await asyncio.sleep(90)
        told.append(engine.snapshot()[0].detail)

    World(home, [service("a")], {"a": [Play(notes=notes)]}).play(scenario)
    assert told == ["only half of it works", ""]


def test_started_is_enough_where_only_started_is_needed(home: Home) -> None:
    world = World(home, [service("a"), service("b", {"a": STARTED})], {"a": [Play(ready=9.0)]}).play(up)
    assert world.when("b starting") == world.when("a running") == 0.0
    assert world.when("ready") == 9.0


def test_a_service_without_a_probe_is_ready_when_it_runs(home: Home) -> None:
    world = World(home, [service("a", probe=None)]).play(up_and_down)
    assert world.states("a") == ["pending", "starting", "running", "stopping", "stopped"]


def test_everything_stops_after_whoever_needs_it(home: Home) -> None:
    world = World(home, CHAIN, {"tracking": [Play(stops=3.0)]}).play(up_and_down)
    stopped = world.when("tracking stopped")
    assert world.when("SIGTERM database") == world.when("SIGTERM objectstore") == stopped
    assert world.alive() == []
    assert world.states("migrate")[-1] == "completed"
    assert world.roll.entries == ()


def test_a_deaf_service_is_killed_after_its_time(home: Home) -> None:
    world = World(home, [service("a", stop_timeout=7.0, stop_signal="SIGINT")], {"a": [Play(stops=None)]})
    world.play(up_and_down)
    assert world.when("SIGKILL a") - world.when("SIGINT a") == 7.0
    assert world.events[-1].as_dict()["detail"] == "killed: did not stop in 7 s"


def test_a_second_request_kills_at_once(home: Home) -> None:
    world = World(home, [service("a", stop_timeout=60.0)], {"a": [Play(stops=None)]})

    async def scenario(engine: Engine) -> None:
        await engine.up()
        kill_now = asyncio.Event()
        asyncio.get_running_loop().call_later(2.0, kill_now.set)
        await engine.down(kill_now)

    world.play(scenario)
    assert world.when("SIGKILL a") - world.when("SIGTERM a") == 2.0


def test_a_failed_job_fails_the_start_and_blocks_whoever_needs_it(home: Home) -> None:
    nodes: list[Node] = [*CHAIN, service("serving", {"tracking": HEALTHY})]
    world = World(home, nodes, {"migrate": [Play(ends=1.0, code=3, says=b"one\ntwo\nno such table\n")]})
    error = refused(world)
    assert (error.code, error.what) == ("MIGRATE_EXITED", "migrate failed (exit 3)")
    assert error.evidence == (("last log", "one\ntwo\nno such table"),)
    assert error.log == "logs/migrate.log"
    assert error.aside == "everything this command started was stopped"
    details = {
        e.as_dict()["service"]: e.as_dict()["detail"] for e in world.events if e.as_dict().get("state") == "blocked"
    }
    assert details == {"tracking": "blocked by migrate (exit 3)", "serving": "blocked by migrate (exit 3)"}
    assert not [actor for actor in world.actors if actor.name in {"tracking", "serving"}], "never started"


def test_a_job_that_was_killed_says_so(home: Home) -> None:
    error = refused(World(home, CHAIN, {"migrate": [Play(ends=1.0, code=-9)]}))
    assert error.what == "migrate was killed (SIGKILL)"


def test_a_job_is_run_again_as_often_as_it_may(home: Home) -> None:
    nodes: list[Node] = [service("database"), job("migrate", {"database": HEALTHY}, owner="database", retries=2)]
    world = World(home, nodes, {"migrate": [Play(ends=1.0, code=1), Play(ends=1.0, code=1), Play(ends=1.0)]}).play(up)
    assert world.states("migrate").count("running") == 3
    assert world.states("migrate")[-1] == "completed"


def test_a_job_that_hangs_is_ended_after_its_timeout(home: Home) -> None:
    nodes: list[Node] = [service("database"), job("migrate", owner="database", timeout=30.0)]
    error = refused(world := World(home, nodes, {"migrate": [Play(ends=None)]}))
    assert (error.code, error.what) == ("MIGRATE_UNFINISHED", "migrate did not finish in 30 s")
    assert world.when("SIGTERM migrate") == 30.0


def test_a_service_that_never_gets_healthy_fails_the_start_with_its_last_probe(home: Home) -> None:
    error = refused(world := World(home, [service("tracking")], {"tracking": [Play(ready=None, says=b"waiting\n")]}))
    assert (error.code, error.what) == ("TRACKING_UNHEALTHY", "tracking did not become healthy in 60 s")
    assert error.evidence == (("last probe", "GET /ready -> 503: not yet"), ("last log", "waiting"))
    assert world.when("tracking failed") == 60.0


def test_a_program_that_is_not_there_fails_the_start_at_once(home: Home) -> None:
    error = refused(World(home, [service("a-b")], {"a-b": [Play(missing=True)]}))
    assert error.code == "A_B_NOT_STARTED"
    assert error.evidence == (("program", "a-b: No such file or directory"),)


def test_a_service_that_ends_before_it_is_healthy_is_tried_three_times(home: Home) -> None:
    error = refused(world := World(home, [service("a")], {"a": [Play(ends=0.05, code=1, ready=None)]}))
    assert error.what == "a exited (exit 1) before it was healthy"
    assert len(world.actors) == 3


def test_a_service_may_fail_twice_before_it_comes_up(home: Home) -> None:
    crash = Play(ends=0.05, code=1, ready=None)
    world = World(home, [service("a")], {"a": [crash, crash, Play()]}).play(up)
    assert world.what[-1] == "ready"
    assert [event.as_dict()["detail"] for event in world.events if event.as_dict().get("state") == "backoff"] == [
        "exit 1; starts again in 0.2 s",
        "exit 1; starts again in 0.4 s",
    ]


def test_a_service_that_must_not_restart_is_tried_once(home: Home) -> None:
    world = World(home, [service("a", restart=NO)], {"a": [Play(ends=0.05, code=1, ready=None)]})
    refused(world)
    assert len(world.actors) == 1


def test_a_process_that_explains_itself_is_quoted_and_not_tried_again(home: Home) -> None:
    reason = HomeportError("SCHEMA_NEWER", "the database is newer than this Homeport", fix="upgrade").as_dict()
    world = World(home, [service("a")], {"a": [Play(ends=0.05, code=1, ready=None, reason=reason)]})
    error = refused(world)
    assert (error.code, error.what, error.fix) == (
        "SCHEMA_NEWER",
        "the database is newer than this Homeport",
        "upgrade",
    )
    assert error.aside == "everything this command started was stopped"
    assert len(world.actors) == 1


def test_an_explanation_of_the_last_run_is_not_taken_for_one_of_this(home: Home) -> None:
    home.reason("a").write_text('{"code": "OLD", "what": "old"}')
    error = refused(World(home, [service("a", restart=NO)], {"a": [Play(ends=0.05, code=1, ready=None)]}))
    assert error.code == "A_EXITED"


def test_a_start_that_takes_too_long_as_a_whole_says_what_it_waits_for(home: Home) -> None:
    error = refused(World(home, CHAIN, {"database": [Play(ready=50.0)]}), timeout=10.0)
    assert (error.code, error.what) == ("START_TIMEOUT", "not everything was ready in 10 s")
    assert error.evidence == (
        ("database", "running: GET /ready -> 503: not yet"),
        ("migrate", "pending: waiting for database"),
        ("tracking", "pending: waiting for migrate"),
    )


def test_down_in_the_middle_of_a_start_leaves_nothing(home: Home) -> None:
    for moment in (0.0, 0.05, 2.0, 2.5, 2.99):
        world = World(home, CHAIN, {"database": [Play(ready=2.0)]})

        async def scenario(engine: Engine, moment: float = moment) -> None:
            starting = asyncio.create_task(engine.up())
            await asyncio.sleep(moment)
            await engine.down()
            with pytest.raises(HomeportError, match="START_INTERRUPTED"):
                await starting

        world.play(scenario)
        assert world.alive() == [], moment
        assert world.roll.entries == ()


def test_a_cancelled_start_leaves_nothing(home: Home) -> None:
    world = World(home, CHAIN, {"database": [Play(ready=2.0)]})

    async def scenario(engine: Engine) -> None:
        starting = asyncio.create_task(engine.up())
        await asyncio.sleep(2.5)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    world.play(scenario)
    assert world.alive() == []


def test_a_full_disk_ends_the_start_and_nothing_is_left(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(home.state))

    monkeypatch.setattr("homeport.supervisor.ledger.write", full)
    error = refused(World(home, CHAIN))
    assert error.code == "DISK_FULL"


def test_a_disk_that_fills_up_later_stops_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(home, [service("a")], {"a": [Play(ends=100.0, code=1), Play()]})

    async def scenario(engine: Engine) -> None:
        await engine.up()

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device", str(home.state))

        monkeypatch.setattr("homeport.supervisor.ledger.write", full)
        await asyncio.sleep(200.0)
        assert [row.state for row in engine.snapshot()] == [State.HEALTHY]
        await engine.down()

    world.play(scenario)
    assert world.states("a").count("healthy") == 2


def test_the_snapshot_names_the_owner_of_a_job(home: Home) -> None:
    rows: dict[str, dict[str, object]] = {}

    async def scenario(engine: Engine) -> None:
        await engine.up()
        rows.update({row.name: row.as_dict({"tracking": "http://x"}) for row in engine.snapshot()})
        await engine.down()

    World(home, CHAIN).play(scenario)
    assert rows["migrate"]["owner"] == "tracking"
    assert (rows["migrate"]["kind"], rows["migrate"]["state"], rows["migrate"]["health"]) == (
        "job",
        "completed",
        "none",
    )
    assert (rows["tracking"]["health"], rows["tracking"]["url"], rows["tracking"]["pid"]) == (
        "healthy",
        "http://x",
        103,
    )
    assert list(rows["tracking"]) == [
        *("name", "kind", "owner", "state", "health", "pid", "url", "restarts", "since", "detail"),
    ]


def test_events_come_in_the_order_of_things(home: Home) -> None:
    world = World(home, CHAIN).play(up_and_down)
    assert in_order(
        world.what,
        *("database healthy", "migrate completed", "tracking starting", "tracking healthy", "ready"),
        *("tracking stopping", "tracking stopped", "database stopping", "database stopped"),
    )
