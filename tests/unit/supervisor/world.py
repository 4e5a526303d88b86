"""A scripted world for the engine: time that jumps, programs that do as they are told, a history to compare.

No process is started and no second passes: the event loop's clock moves to the next timer whenever nothing else is due.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homeport.model.graph import Graph, Node
from homeport.model.service import Condition, ExecProbe, Job, Probe, Restart, Service
from homeport.supervisor.engine import Engine
from homeport.supervisor.environment import MARKER
from homeport.supervisor.events import Changed, Event
from homeport.supervisor.layout import Home
from homeport.supervisor.local import LocalTarget
from homeport.supervisor.probes import Answer
from homeport.supervisor.process import Launch, NotStartedError, Process
from homeport.supervisor.register import Entry

_BLUR = 1e-6
"""Sums of tenths of seconds are not exact."""

PROBE = Probe(ExecProbe(("ask",)))


class _Instant(selectors.DefaultSelector):
    """Never waits: moves the loop's clock instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not found and timeout is None:
            raise RuntimeError("nothing will ever happen again")
        if not found and timeout:
            self.loop.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes no time."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _Instant()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def service(name: str, needs: Mapping[str, Condition] | None = None, **more: Any) -> Service:
    """A service with a probe."""
    values = {"title": name, "command": (name,), "probe": PROBE, **more}
    return Service(name=name, needs=needs or {}, **values)


def job(name: str, needs: Mapping[str, Condition] | None = None, **more: Any) -> Job:
    """A job that belongs to whatever `owner` says."""
    return Job(name=name, needs=needs or {}, **{"title": name, "command": (name,), **more})


@dataclass(frozen=True)
class Play:
    """What one run of a program does.

    Args:
        ends: seconds after which it ends by itself; None: never.
        code: its exit code, or minus the signal.
        ready: seconds after which its probe passes; None: never.
        sick: (from, to) seconds in which its probe fails.
        stops: seconds it takes after its stop signal; None: it is deaf.
        says: what it prints at once.
        reason: what it leaves in its reason file.
        missing: there is no such program.
        notes: (seconds, note): what a passing probe says of it from then on.
    """

    ends: float | None = None
    code: int = 0
    ready: float | None = 0.0
    sick: tuple[float, float] = (0.0, 0.0)
    stops: float | None = 0.1
    says: bytes = b""
    reason: Mapping[str, object] | None = None
    missing: bool = False
    notes: tuple[tuple[float, str], ...] = ()


class Actor:
    """A process that plays its part."""

    def __init__(self, world: World, name: str, play: Play, launch: Launch, pid: int) -> None:
        self.name, self.play, self.born, self.pid = name, play, world.now, pid
        self._world, self._launch = world, launch
        self._over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if play.says:
            launch.output(play.says)
        if play.ends is not None:
            asyncio.get_running_loop().call_later(play.ends, self._end, play.code)

    @property
    def ended(self) -> bool:
        return self._over.done()

    async def wait(self) -> int:
        return await asyncio.shield(self._over)

    def signal(self, number: int) -> None:
        self._world.note(f"{signal.Signals(number).name} {self.name}")
        if self.play.stops is not None:
            asyncio.get_running_loop().call_later(self.play.stops, self._end, -number)

    def kill(self) -> None:
        if not self.ended:
            self._world.note(f"SIGKILL {self.name}")
            self._end(-signal.SIGKILL)

    def healthy(self) -> bool:
        age = self._world.now - self.born
        first, last = self.play.sick
        return (
            not self.ended
            and self.play.ready is not None
            and age >= self.play.ready - _BLUR
            and not first <= age + _BLUR < last
        )

    def _end(self, code: int) -> None:
        if self.ended:
            return
        if self.play.reason is not None:
            Path(self._launch.env[MARKER]).write_text(json.dumps(self.play.reason))
        self._launch.forget(self.pid)
        self._over.set_result(code)


@dataclass
class Roll:
    """A register without a warden."""

    entries: tuple[Entry, ...] = ()

    def open(self) -> None:
        pass

    def add(self, entry: Entry) -> None:
        self.entries += (entry,)

    def remove(self, pgid: int) -> None:
        self.entries = tuple(entry for entry in self.entries if entry.pgid != pgid)

    def close(self) -> None:
        pass


@dataclass
class World:
    """Scripts by service name, one play a run (the last one repeats), and everything that happened."""

    home: Home
    nodes: Sequence[Node]
    plays: Mapping[str, Sequence[Play]] = field(default_factory=dict)
    history: list[tuple[float, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)
    roll: Roll = field(default_factory=Roll)
    _runs: dict[str, int] = field(default_factory=dict)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def note(self, what: str) -> None:
        self.history.append((round(self.now, 3), what))

    def engine(self) -> Engine:
        graph = Graph("world", self.nodes)
        return Engine(
            graph,
            LocalTarget(graph, self.home),
            self.home,
            emit=self._emit,
            clock=lambda: 1_800_000_000.0 + self._clock(),
            spawn=self._spawn,
            probe=self._probe,
            register=self.roll,
            caller={"PATH": "/bin"},
            chance=lambda: 0.0,
        )

    def play(self, scenario: Callable[[Engine], Awaitable[None]]) -> World:
        """Run a scenario to its end."""

        async def main() -> None:
            await scenario(self.engine())

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main())
        return self

    @property
    def what(self) -> list[str]:
        """The history without times."""
        return [text for _, text in self.history]

    def when(self, what: str) -> float:
        """When something happened first."""
        return next(at for at, text in self.history if text == what)

    def states(self, name: str) -> list[str]:
        """The states a service went through."""
        return [event.state for event in self.events if isinstance(event, Changed) and event.service == name]

    def alive(self) -> list[str]:
        return [actor.name for actor in self.actors if not actor.ended]

    def _clock(self) -> float:
        try:
            return self.now
        except RuntimeError:
            return 0.0

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Changed):
            self.note(f"{event.service} {event.state}")
        else:
            self.note(str(event.as_dict()["event"]))

    async def _spawn(self, launch: Launch) -> Process:
        name = Path(launch.env[MARKER]).stem
        run = self._runs[name] = self._runs.get(name, 0) + 1
        plays = self.plays.get(name) or [Play(ends=1.0) if isinstance(self._node(name), Job) else Play()]
        play = plays[min(run, len(plays)) - 1]
        await asyncio.sleep(0)
        if play.missing:
            raise NotStartedError(launch.argv[0], "No such file or directory")
        actor = Actor(self, name, play, launch, 100 + len(self.actors))
        self.actors.append(actor)
        launch.register(actor.pid)
        return actor

    async def _probe(self, asked: Service) -> Answer:
        actor = next((actor for actor in reversed(self.actors) if actor.name == asked.name), None)
        passed = actor is not None and actor.healthy()
        if actor is None or not passed:
            return Answer(passed=False, text="GET /ready -> 503: not yet")
        said = [note for since, note in actor.play.notes if self.now - actor.born >= since - _BLUR]
        return Answer(passed=True, text="GET /ready -> 200", note=said[-1] if said else "")

    def _node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)


def in_order(history: Iterable[str], *wanted: str) -> bool:
    """Whether these happened, in this order, whatever else did."""
    rest = iter(history)
    return all(one in rest for one in wanted)


UNLESS_STOPPED, ON_FAILURE, NO = Restart.UNLESS_STOPPED, Restart.ON_FAILURE, Restart.NO
