"""What is said when a service or a job fails: what happened, the evidence, and where to read on.

A process that explained itself in its reason file is quoted exactly; only the others are described from outside.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from homeport.errors import ExitCode, HomeportError
from homeport.model.graph import Graph, Node
from homeport.model.service import Job
from homeport.supervisor.layout import Home
from homeport.supervisor.status import ServiceStatus

_LINES = 3
_LINE = 300
STOPPED = "everything this command started was stopped"


@dataclass(frozen=True)
class Failure:
    """An error, in few words too (`brief`), and whether the process explained it itself."""

    error: HomeportError
    brief: str
    explained: bool = False


@dataclass(frozen=True)
class Witness:
    """What is known about one service from outside: its node, its home, its last lines and its last failed probe."""

    node: Node
    home: Home
    lines: Sequence[str] = ()
    probe: str = ""

    def exited(self, code: int, when: str = "") -> Failure:
        """The process ended by itself or was killed."""
        brief = ended(code)
        verb = "was killed" if code < 0 else "failed" if isinstance(self.node, Job) else "exited"
        return self._explained(brief) or self._failure("EXITED", f"{self.node.name} {verb} ({brief}){when}", brief)

    def unhealthy(self, seconds: float) -> Failure:
        """The process runs and no probe passed in time."""
        what = f"{self.node.name} did not become healthy in {seconds:g} s"
        brief = f"not healthy in {seconds:g} s"
        return self._explained(brief) or self._failure("UNHEALTHY", what, brief)

    def unfinished(self, seconds: float) -> Failure:
        """A job took too long."""
        brief = f"not finished in {seconds:g} s"
        return self._failure("UNFINISHED", f"{self.node.name} did not finish in {seconds:g} s", brief)

    def not_started(self, program: str, reason: str) -> Failure:
        """There is no process: the system refused."""
        error = self._failure("NOT_STARTED", f"{self.node.name} could not be started", "not started").error
        return Failure(replace(error, evidence=(("program", f"{program}: {reason}"),)), "not started")

    def _failure(self, issue: str, what: str, brief: str) -> Failure:
        last = "\n".join(line[:_LINE] for line in [line for line in self.lines if line.strip()][-_LINES:])
        evidence = tuple(row for row in (("last probe", self.probe), ("last log", last)) if row[1])
        fix = f"homeport logs {self.node.name} shows all it said"
        code = f"{self.node.name.upper().replace('-', '_')}_{issue}"
        return Failure(HomeportError(code, what, fix=fix, evidence=evidence, log=self._log()), brief)

    def _explained(self, brief: str) -> Failure | None:
        try:
            data = json.loads(self.home.reason(self.node.name).read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(data, dict) or not data.get("what"):
            return None
        error = HomeportError.from_dict(data)
        return Failure(error if error.log else replace(error, log=self._log()), brief, explained=True)

    def _log(self) -> str:
        path = self.home.log(self.node.name)
        return str(path.relative_to(self.home.root))


def ended(code: int) -> str:
    """How a process ended, in few words: "exit 1" or "SIGKILL"."""
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def too_slow(seconds: float, waiting: Iterable[ServiceStatus]) -> HomeportError:
    """Not everything was ready in the time the caller gave."""
    return HomeportError(
        code="START_TIMEOUT",
        what=f"not everything was ready in {seconds:g} s",
        evidence=_standing(waiting),
        why="something takes longer than it was given, or waits for something that does",
        fix="give it longer (--timeout), or look at the logs of what is not ready: homeport logs",
    )


def unexpected(node: Node, error: BaseException) -> Failure:
    """A mistake of ours, not of the service."""
    found = HomeportError(
        code="SUPERVISOR_ERROR",
        what=f"the supervisor made a mistake with {node.name}",
        evidence=(("error", f"{type(error).__name__}: {error}"),),
        why="this is a defect in Homeport",
        fix="report it with logs/homeport.log",
    )
    return Failure(found, "supervisor error")


def unknown(name: str, graph: Graph) -> HomeportError:
    """Nothing is called that."""
    return HomeportError(
        code="SERVICE_UNKNOWN",
        what=f'there is no service or job "{name}"',
        fix=f"name one of: {', '.join(node.name for node in graph)}",
        exit_code=ExitCode.USAGE,
    )


def stopping(name: str) -> HomeportError:
    """Too late for a restart."""
    what = f"{name} was not restarted: everything is being stopped"
    return HomeportError(code="STOPPING", what=what, fix="homeport up")


def interrupted() -> HomeportError:
    """The start was not allowed to finish."""
    return HomeportError(
        code="START_INTERRUPTED",
        what="the start was interrupted",
        why="somebody asked Homeport to stop before everything was ready",
        fix="homeport up",
        exit_code=ExitCode.INTERRUPTED,
    )


def not_ready(rows: Sequence[ServiceStatus]) -> HomeportError:
    """Somebody waited for these in vain."""
    names = ", ".join(row.name for row in rows) or "Homeport"
    return HomeportError(
        code="NOT_READY",
        what=f"{names} {'are' if len(rows) > 1 else 'is'} not ready",
        evidence=_standing(rows),
        fix="homeport status shows how everything stands",
        exit_code=ExitCode.NOT_READY,
    )


def _standing(rows: Iterable[ServiceStatus]) -> tuple[tuple[str, str], ...]:
    return tuple((row.name, f"{row.state}{f': {row.detail}' if row.detail else ''}") for row in rows)
