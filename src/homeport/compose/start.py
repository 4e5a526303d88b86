"""A start in containers: Compose does it, the engine's events tell how far it is, one event a change for people.

Whatever ends a start before all is ready, what it started is stopped. Prints nothing.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from homeport.compose import commands, containers, failure
from homeport.compose.containers import Container
from homeport.errors import HomeportError
from homeport.model.graph import Graph, Node
from homeport.model.service import Job

Event = dict[str, Any]
Found = dict[str, Container]
STOPPED = "everything this command started was stopped"
_TOO_OFTEN = 3  # a service that ended so often during its start will not come up
_WIDTH = 100
_LAST = 0.2  # s; how long what Compose did may take to be told by the engine
_TURN = 1.0  # s; the longest the loop waits before it looks at the clock
_PATIENCE = 1.5  # a start may take this much longer than Compose was told to wait: images, volumes


@dataclass(frozen=True)
class Asked:
    """What a start asks of the world: functions, so that it can be replayed in a test.

    Args:
        look: how every container is now, by service.
        lines: the last lines of a container.
        stop: stops these services; all when none are named.
    """

    look: Callable[[], Found]
    lines: Callable[[Container, int], Sequence[str]]
    stop: Callable[[Sequence[str]], None]


class Start:
    """One start of a project.

    Args:
        graph: the services and jobs that are started, and no others.
        asked: the world.
        up: the command line that starts everything and waits.
        events: the command line that tells what happens.
        environ: of both.
        directory: where both are run.
        seconds: how long everything may take.
    """

    def __init__(
        self,
        graph: Graph,
        asked: Asked,
        *,
        up: Sequence[str],
        events: Sequence[str],
        environ: Mapping[str, str],
        directory: Path,
        seconds: float,
    ) -> None:
        self._graph, self._asked = graph, asked
        self._up, self._events, self._environ = up, events, environ
        self._directory, self._seconds = directory, seconds
        self._states: dict[str, str] = {}
        self._begun: dict[str, float] = {}
        self._deaths: Counter[str] = Counter()
        self._exits: dict[str, int] = {}
        self._said = b""

    def run(self) -> Generator[Event, None, None]:
        """The events until all is ready (the last one is `ready`) or the start has failed (`failed`)."""
        begin = time.time()
        before = self._asked.look()
        for node in self._graph:
            yield self._changed(node, "pending", at=begin)
        done = False
        try:
            code = yield from self._follow(begin)
            found = self._remembered(self._asked.look())
            waiting = [node for node in self._graph if not containers.is_ready(node, found.get(node.name))]
            crashed = self._crashed()
            if code == 0 and not waiting and not crashed:
                yield from self._settle(found)
                yield {"event": "ready", "at": iso(time.time()), "seconds": round(time.time() - begin, 3)}
                done = True
                return
            error = self._explained(found, waiting, crashed, time.time() - begin)
            self._withdraw(before)
            done = True
            yield {"event": "failed", "at": iso(time.time()), "service": crashed, "error": error.as_dict()}
        finally:
            if not done:  # interrupted, or a mistake of ours
                self._withdraw(before)

    def _follow(self, begin: float) -> Generator[Event, None, int]:
        """Events while Compose works; returns its exit code, or 1 when it was not worth waiting."""
        watch = self._spawn(self._events, stderr=subprocess.DEVNULL)
        up = self._spawn(self._up, stderr=subprocess.STDOUT)
        deadline = begin + self._seconds * _PATIENCE
        try:
            with selectors.DefaultSelector() as ready:
                rest = b""
                for process in (watch, up):
                    assert process.stdout is not None
                    ready.register(process.stdout, selectors.EVENT_READ)
                ended = False
                while time.time() < deadline and not self._crashed():
                    told = ready.select(_LAST if ended else _TURN)
                    if ended and not told:
                        return up.wait()
                    for key, _ in told:
                        chunk = os.read(key.fd, 65536)
                        if not chunk:
                            ready.unregister(key.fileobj)
                            ended = ended or key.fileobj is up.stdout
                        elif key.fileobj is up.stdout:
                            self._said = (self._said + chunk)[-65536:]
                        else:
                            *whole, rest = (rest + chunk).split(b"\n")
                            for line in whole:
                                yield from self._told(line)
            return 1
        finally:
            _end(watch)
            _end(up)

    def _spawn(self, argv: Sequence[str], stderr: int) -> subprocess.Popen[bytes]:
        # In a session of its own: Ctrl-C is for us, and we say what happens to it.
        return subprocess.Popen(
            argv, env=dict(self._environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
            start_new_session=True, cwd=self._directory,
        )  # fmt: skip

    def _told(self, line: bytes) -> Iterator[Event]:
        """One line of the engine's events as events of ours."""
        try:
            data = json.loads(line)
            attributes, at, action = data["Actor"]["Attributes"], data["timeNano"] / 1e9, data["Action"]
        except (ValueError, KeyError, TypeError):
            return  # an engine that tells more than we know
        name = attributes.get(f"{commands.LABEL}.service", "")
        if name not in self._graph or attributes.get(f"{commands.LABEL}.oneoff") == "True":
            return
        node = self._graph[name]
        if action == "start":
            self._begun.setdefault(name, at)
            yield self._changed(node, "running", at=at)
        elif action == "health_status: healthy":
            yield self._changed(node, "healthy", at=at)
        elif action == "health_status: unhealthy":
            yield self._changed(node, "unhealthy", at=at)
        elif action == "die":
            yield self._died(node, attributes, at)

    def _died(self, node: Node, attributes: Mapping[str, str], at: float) -> Event:
        code = attributes.get("exitCode", "")
        if code.isdecimal():
            self._exits[node.name] = int(code)
        if not isinstance(node, Job):
            self._deaths[node.name] += 1
            return self._changed(node, "backoff", f"exit {code}", at=at)
        if code != "0":
            return self._changed(node, "failed", f"exit {code}", at=at)
        container = self._asked.look().get(node.name)
        last = self._asked.lines(container, 1) if container else []
        return self._changed(node, "completed", _short(last[-1]) if last else "", at=at)

    def _settle(self, found: Found) -> Iterator[Event]:
        """What was ready before, and so had nothing to tell."""
        for node in self._graph:
            now = containers.state(node, found.get(node.name))
            if self._states.get(node.name) != now:
                yield self._changed(node, now, at=time.time())

    def _changed(self, node: Node, state: str, detail: str = "", *, at: float) -> Event:
        self._states[node.name] = state
        job = isinstance(node, Job)
        return {
            "event": "state",
            "at": iso(at),
            "service": node.name,
            "kind": "job" if job else "service",
            "owner": node.owner if isinstance(node, Job) else node.name,
            "state": state,
            "detail": detail,
            "seconds": round(at - self._begun[node.name], 3) if node.name in self._begun else 0.0,
        }

    def _remembered(self, found: Found) -> Found:
        """The engine forgets how a container ended as soon as it has started it again."""
        return {
            name: replace(each, exit_code=each.exit_code or self._exits.get(name, 0)) for name, each in found.items()
        }

    def _crashed(self) -> str:
        return next((name for name, times in self._deaths.items() if times >= _TOO_OFTEN), "")

    def _explained(self, found: Found, waiting: Sequence[Node], crashed: str, took: float) -> HomeportError:
        said = self._said.decode(errors="replace")
        if took >= self._seconds and not crashed and not any(found.get(n.name) for n in waiting if _worse(n, found)):
            rows = tuple((node.name, containers.state(node, found.get(node.name))) for node in waiting)
            error = HomeportError(
                code="START_TIMEOUT",
                what=f"not everything was ready in {self._seconds:g} s",
                evidence=rows,
                why="something takes longer than it was given, or waits for something that does",
                fix="give it longer (--timeout), or look at the logs of what is not ready: homeport logs",
            )
        else:
            error = failure.explain(self._graph, found, lambda each: self._asked.lines(each, 40), said, crashed)
        return replace(error, aside=STOPPED)

    def _withdraw(self, before: Found) -> None:
        """Stop what this command started; what ran before it stays."""
        ran = {each.id for each in before.values() if each.runs}
        now = self._asked.look()
        ours = [name for name, each in now.items() if each.id not in ran and each.runs]
        if ours:
            self._asked.stop(ours)


def _short(line: str) -> str:
    """A job's last line, for the line of its service: clauses from the left, as many as there is room for."""
    told = ""
    for clause in line.strip().split(";"):
        longer = f"{told};{clause}" if told else clause
        if told and len(longer) > _WIDTH:
            break
        told = longer
    return told[:_WIDTH]


def _worse(node: Node, found: Found) -> bool:
    return containers.state(node, found.get(node.name)) in {"failed", "backoff", "unhealthy"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command of ours that is not needed any longer; containers are the engine's and stay."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)  # its group: Compose may be behind a wrapper
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def iso(at: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC with milliseconds."""
    whole = int(at)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((at - whole) * 1000):03d}Z"
