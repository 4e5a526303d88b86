"""Whether the tracking server can do its work: MLflow behind the front says so, and the fast lane's database answers.

Remembered briefly, asked once for all who want to know. Refuses to know who may be told why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

import orjson

from homeport.tracking.front.private import AwayError, Reply
from homeport.tracking.near import PEER

GOOD_FOR, BAD_FOR = 2.0, 0.5  # seconds an answer is remembered, as in `tracking/readiness.py`
_STARTING_FOR = 0.05  # a server that does not listen yet costs nothing to ask, and every start waits for this answer
_SECONDS = 5.0  # until a part counts as not answering; MLflow's own parts have three
_STARTING = "it is starting"
_LOGS = "homeport logs tracking"


class Mlflow(Protocol):
    """The private server."""

    async def ask(self, target: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        """One question."""


class Lane(NamedTuple):
    """The fast lane as readiness sees it."""

    on: bool
    why: str
    probe: Callable[[], Awaitable[object]] | None = None  # asks its database


Report = dict[str, Any]


class Ready:
    """The answer to `/ready`.

    Args:
        mlflow: the private server.
        lane: the fast lane's state now.
        artifacts: why the front does not stream artifacts itself; empty where it does.
    """

    def __init__(self, mlflow: Mlflow, lane: Callable[[], Lane], artifacts: Callable[[], str]) -> None:
        self._mlflow = mlflow
        self._lane = lane
        self._artifacts = artifacts
        self._report: Report = {}
        self._until = 0.0
        self._asking: asyncio.Task[Report] | None = None

    async def report(self, *, tell: bool) -> Report:
        """What is to be answered; strangers (not `tell`) learn which parts are not well, and not why."""
        now = asyncio.get_running_loop().time
        if now() >= self._until:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.get_running_loop().create_task(self._ask())
            self._report = await asyncio.shield(self._asking)
        report = self._report
        if tell:
            return report
        strange = {name: value for name, value in report.items() if name not in {"fast_lane", "artifacts", "note"}}
        return strange | {"problems": [{"part": problem["part"]} for problem in report["problems"]]}

    async def _ask(self) -> Report:
        lane = self._lane()
        (problems, rest), own = await asyncio.gather(self._of_mlflow(), self._of_lane(lane))
        if own is not None and not any(problem["part"] == own["part"] for problem in problems):
            problems.append(own)
        report: Report = {"ready": not problems, "problems": problems, **rest}
        report["fast_lane"] = {"on": lane.on, "why": lane.why}
        staged = self._artifacts()
        report["artifacts"] = {"streamed": not staged, "why": staged}
        if not lane.on and lane.why != _STARTING:
            report["note"] = f"fast lane off: {lane.why}"
        bad = _STARTING_FOR if any(problem["part"] == "mlflow" for problem in problems) else BAD_FOR
        self._until = asyncio.get_running_loop().time() + (bad if problems else GOOD_FOR)
        return report

    async def _of_mlflow(self) -> tuple[list[dict[str, str]], Report]:
        """Its problems, and what else it tells."""
        try:
            async with asyncio.timeout(_SECONDS):
                reply = await self._mlflow.ask("/ready", headers={PEER.decode(): "127.0.0.1 0 - -"})
            told = orjson.loads(reply.body)
            problems = list(told.pop("problems"))
            if told.pop("ready") == bool(problems):
                problems.append(_problem("mlflow", "MLflow behind the front contradicts itself", _LOGS))
        except AwayError:
            why = "it is starting; if it stays so, its log says why"
            return [_problem("mlflow", f"MLflow behind the front does not listen: {why}", _LOGS)], {}
        except TimeoutError:
            return [_problem("mlflow", f"MLflow behind the front gave no answer for {_SECONDS:.0f} s", _LOGS)], {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            kind = type(error).__name__
            return [_problem("mlflow", f"MLflow behind the front does not answer as it should: {kind}", _LOGS)], {}
        return problems, told

    async def _of_lane(self, lane: Lane) -> dict[str, str] | None:
        """What is wrong with its database, which MLflow may reach by other connections."""
        if not lane.on or lane.probe is None:
            return None
        try:
            async with asyncio.timeout(_SECONDS):
                await lane.probe()
        except TimeoutError:
            message = f"the fast lane's database gave no answer for {_SECONDS:.0f} s"
        except Exception as error:  # the driver's, the system's: a readiness that fails is an answer, too
            message = f"the fast lane's database does not answer: {type(error).__name__}: {error}"
        else:
            return None
        return _problem("database", message, "homeport logs database")


def _problem(part: str, message: str, fix: str) -> dict[str, str]:
    return {"part": part, "message": message, "fix": fix}
