"""What happens to a running graph: crashes, bad health, requested restarts. Scripted; no second passes."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from homeport.errors import HomeportError
from homeport.model.service import HEALTHY, ExecProbe, Probe
from homeport.supervisor.backoff import Backoff, again
from homeport.supervisor.engine import Engine
from homeport.supervisor.layout import Home
from homeport.supervisor.process import Process
from homeport.supervisor.state import State
from homeport.supervisor.unit import Unit
from tests.unit.supervisor.world import NO, ON_FAILURE, UNLESS_STOPPED, Play, World, service


def after(world: World, seconds: float) -> dict[str, State]:
    """The states so long after everything was ready."""
    found: dict[str, State] = {}

    async def scenario(engine: Engine) -> None:
        await engine.up()
        await asyncio.sleep(seconds)
        found.update({row.name: row.state for row in engine.snapshot()})
        await engine.down()

    world.play(scenario)
    assert world.alive() == []
    return found


def spawns(world: World, name: str = "a") -> list[float]:
    return [at for at, what in world.history if what == f"{name} starting"]


def test_a_service_that_crashes_comes_back_after_growing_pauses(home: Home) -> None:
    crash = Play(ends=1.0, code=-11)
    world = World(home, [service("a")], {"a": [crash] * 9 + [Play()]})
    assert after(world, 300.0) == {"a": State.HEALTHY}
    times = spawns(world)
    pauses = [round(later - earlier - 1.0, 3) for earlier, later in pairwise(times)]
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]


def test_the_pause_is_short_again_after_a_minute_of_health(home: Home) -> None:
    plays = [Play(ends=1.0, code=1), Play(ends=1.0, code=1), Play(ends=61.0, code=1), Play()]
    world = World(home, [service("a")], {"a": plays})
    after(world, 300.0)
    times = spawns(world)
    assert round(times[3] - times[2], 3) == 61.2


def test_a_service_that_ends_by_itself_follows_its_policy(home: Home) -> None:
    for policy, code, state in (
        (NO, 0, State.STOPPED),
        (NO, 1, State.FAILED),
        (ON_FAILURE, 0, State.STOPPED),
        (ON_FAILURE, 1, State.HEALTHY),
        (UNLESS_STOPPED, 0, State.HEALTHY),
    ):
        world = World(home, [service("a", restart=policy)], {"a": [Play(ends=5.0, code=code), Play()]})
        assert after(world, 60.0) == {"a": state}, (policy, code)


def test_a_service_that_restarts_waits_until_what_it_needs_is_healthy_again(home: Home) -> None:
    nodes = [service("database"), service("tracking", {"database": HEALTHY})]
    plays = {"database": [Play(ends=10.0, code=1), Play(ready=20.0)], "tracking": [Play(ends=10.0, code=1), Play()]}
    world = World(home, nodes, plays)
    assert after(world, 100.0) == {"database": State.HEALTHY, "tracking": State.HEALTHY}
    second = spawns(world, "tracking")[1]
    assert second == [at for at, what in world.history if what == "database healthy"][1]


def test_a_service_that_still_serves_is_left_alone_when_what_it_needs_restarts(home: Home) -> None:
    nodes = [service("database"), service("tracking", {"database": HEALTHY})]
    world = World(home, nodes, {"database": [Play(ends=10.0, code=1), Play()]})
    after(world, 100.0)
    assert len(spawns(world, "tracking")) == 1


def test_three_failed_probes_in_a_row_are_bad_health_and_one_pass_is_good_again(home: Home) -> None:
    probe = Probe(ExecProbe(("ask",)), interval=5.0, failures=3)
    world = World(home, [service("a", probe=probe)], {"a": [Play(sick=(8.0, 28.0))]})
    after(world, 100.0)
    assert world.states("a") == [
        "pending",
        "starting",
        "running",
        "healthy",
        "unhealthy",
        "healthy",
        "stopping",
        "stopped",
    ]
    assert world.when("a unhealthy") == 20.0
    details = [event.as_dict() for event in world.events if event.as_dict().get("state") == "unhealthy"]
    assert details[0]["detail"] == "GET /ready -> 503: not yet"


def test_two_failed_probes_are_not_bad_health(home: Home) -> None:
    probe = Probe(ExecProbe(("ask",)), interval=5.0, failures=3)
    world = World(home, [service("a", probe=probe)], {"a": [Play(sick=(8.0, 18.0))]})
    after(world, 100.0)
    assert "unhealthy" not in world.states("a")


def test_a_probe_that_hangs_counts_as_failed(home: Home) -> None:
    world = World(home, [service("a", probe=Probe(ExecProbe(("ask",)), timeout=5.0, start_timeout=12.0))])
    caught: list[HomeportError] = []

    async def scenario(engine: Engine) -> None:
        engine._ask = lambda _: asyncio.Event().wait()  # type: ignore[assignment, return-value]  # never answers
        with pytest.raises(HomeportError) as refusal:
            await engine.up()
        caught.append(refusal.value)

    world.play(scenario)
    assert caught[0].evidence[0] == ("last probe", "ask -> no answer in 5 s")
    assert world.when("a failed") == 12.0


def test_a_restart_on_request_returns_when_the_service_is_healthy_again(home: Home) -> None:
    world = World(home, [service("a"), service("b", {"a": HEALTHY})], {"a": [Play(), Play(ready=3.0)]})

    async def scenario(engine: Engine) -> None:
        await engine.up()
        restarted = await engine.restart("a")
        assert round(restarted.seconds, 1) == 3.1
        assert engine.ready
        assert engine.snapshot()[0].restarts == 0, "only restarts of its own are counted"
        await engine.down()

    world.play(scenario)
    assert world.states("a")[1:8] == ["starting", "running", "healthy", "stopping", "stopped", "pending", "starting"]
    assert len(spawns(world, "b")) == 1


def test_two_requests_at_once_are_one_restart(home: Home) -> None:
    world = World(home, [service("a")])

    async def scenario(engine: Engine) -> None:
        await engine.up()
        await asyncio.gather(engine.restart("a"), engine.restart("a"))
        await engine.down()

    world.play(scenario)
    assert len(spawns(world)) == 2


def test_a_restart_that_does_not_come_back_is_reported_and_tried_on(home: Home) -> None:
    bad = Play(ends=0.05, code=7, ready=None)
    world = World(home, [service("a")], {"a": [Play(), *[bad] * 9, Play()]})

    async def scenario(engine: Engine) -> None:
        await engine.up()
        with pytest.raises(HomeportError, match="A_UNHEALTHY"):
            await engine.restart("a")
        await engine.wait_for("a", None)
        await engine.down()

    world.play(scenario)


def test_a_restart_of_nothing_known_names_what_there_is(home: Home) -> None:
    async def scenario(engine: Engine) -> None:
        await engine.up()
        with pytest.raises(HomeportError) as refusal:
            await engine.restart("x")
        assert (refusal.value.code, refusal.value.fix) == ("SERVICE_UNKNOWN", "name one of: a")
        await engine.down()

    World(home, [service("a")]).play(scenario)


def test_a_restart_during_a_stop_starts_nothing(home: Home) -> None:
    world = World(home, [service("a")], {"a": [Play(stops=5.0)]})

    async def scenario(engine: Engine) -> None:
        await engine.up()
        restarting = asyncio.create_task(engine.restart("a"))
        await asyncio.sleep(1.0)
        await engine.down()
        with pytest.raises(HomeportError, match="STOPPING"):
            await restarting

    world.play(scenario)
    assert len(spawns(world)) == 1
    assert world.alive() == []


def test_a_service_stopped_by_failure_can_be_restarted_on_request(home: Home) -> None:
    world = World(home, [service("a", restart=NO)], {"a": [Play(ends=5.0, code=1), Play()]})

    async def scenario(engine: Engine) -> None:
        await engine.up()
        await asyncio.sleep(10.0)
        assert engine.snapshot()[0].state is State.FAILED
        await engine.restart("a")
        assert engine.ready
        await engine.down()

    world.play(scenario)


def test_waiting_for_a_service_that_never_comes_ends_with_what_is_known(home: Home) -> None:
    world = World(home, [service("a", restart=NO)], {"a": [Play(ends=5.0, code=1)]})

    async def scenario(engine: Engine) -> None:
        await engine.up()
        await engine.wait_for(None, 1.0)
        await asyncio.sleep(10.0)
        with pytest.raises(HomeportError) as refusal:
            await engine.wait_for("a", None)
        assert (refusal.value.code, refusal.value.exit_code) == ("NOT_READY", 3)
        assert refusal.value.evidence == (("a", "failed: a exited (exit 1)"),)
        await engine.down()

    world.play(scenario)


def test_a_restart_that_the_disk_refuses_is_tried_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(home, [service("a")], {"a": [Play(ends=10.0, code=1), Play()]})

    async def scenario(engine: Engine) -> None:
        await engine.up()
        real = engine.start
        refusals = iter([OSError(28, "No space left on device"), HomeportError("DISK_FULL", "full")])

        async def start(unit: Unit) -> Process:
            error = next(refusals, None)
            if error:
                raise error
            return await real(unit)

        monkeypatch.setattr(engine, "start", start)
        await asyncio.sleep(60.0)
        assert engine.ready
        assert engine.snapshot()[0].restarts == 3
        await engine.down()

    world.play(scenario)


def test_policies() -> None:
    table = {(policy, code): again(policy, code) for policy in (NO, ON_FAILURE, UNLESS_STOPPED) for code in (0, 1, -9)}
    assert [key for key, value in table.items() if value] == [
        *((ON_FAILURE, 1), (ON_FAILURE, -9)),
        *((UNLESS_STOPPED, 0), (UNLESS_STOPPED, 1), (UNLESS_STOPPED, -9)),
    ]


def test_chance_shortens_a_pause_by_half_at_most() -> None:
    assert Backoff().pause(0.0, 1.0) == pytest.approx(0.1)
    assert Backoff(failures=1000).pause(0.0, 0.0) == 30.0
