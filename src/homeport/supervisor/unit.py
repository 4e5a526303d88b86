"""The life of one service or job: wait for its needs, start, watch, start again, stop.

Decides what happens to this one node; what it needs from the world (processes, probes, the others) it is handed by the
engine as `Works`. Every change of state goes through `move`, which asks the table.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from homeport.errors import HomeportError
from homeport.model.graph import Node
from homeport.model.service import Condition, Job, Probe, Restart, Service
from homeport.supervisor import backoff, health
from homeport.supervisor.failures import Failure, unexpected
from homeport.supervisor.files import disk_error
from homeport.supervisor.process import NotStartedError, Process
from homeport.supervisor.state import FINAL, Cause, State, apply, holds
from homeport.supervisor.status import ServiceStatus
from homeport.supervisor.termination import terminate

if TYPE_CHECKING:
    from homeport.supervisor.works import Works


class Unit:
    """One node and what has become of it."""

    def __init__(self, node: Node, works: Works) -> None:
        self.node = node
        self.state = State.PENDING
        self.detail = ""
        self.since = works.now()
        self.restarts = 0
        self.process: Process | None = None
        self.failure: Failure | None = None
        self.culprit: Unit | None = None
        self.last_probe = ""
        self.begun = 0.0
        self._works = works
        self._life: asyncio.Task[None] | None = None
        self._marks = {condition: asyncio.Event() for condition in Condition}
        self._came_up = False
        self._calm_since: float | None = None
        self._backoff = backoff.Backoff()

    @property
    def probe(self) -> Probe | None:
        """How health is asked; a job has none."""
        return self.node.probe if isinstance(self.node, Service) else None

    @property
    def status(self) -> ServiceStatus:
        """How it stands now."""
        name = self.node.name
        return ServiceStatus(
            name=name,
            kind="job" if isinstance(self.node, Job) else "service",
            owner=self.node.owner if isinstance(self.node, Job) else name,
            state=self.state,
            probed=self.probe is not None,
            pid=self.process.pid if self.process and not self.process.ended else None,
            restarts=self.restarts,
            since=self.since,
            detail=self.detail or self._waiting(),
        )

    def move(self, cause: Cause, detail: str = "") -> bool:
        """Change the state as the table says; False when the cause comes too late to mean anything."""
        following = apply(self.state, cause)
        if following is None:
            return False
        self.state, self.detail, self.since = following, detail, self._works.now()
        if following is State.STARTING:
            self.begun = _time()
        for condition, mark in self._marks.items():
            mark.set() if holds(condition, following) else mark.clear()
        self._works.changed(self)
        return True

    def begin(self) -> None:
        """Start living, again if it had ended."""
        self.failure = self.culprit = None
        self._backoff = backoff.Backoff()
        self.move(Cause.BEGIN)
        self._life = asyncio.get_running_loop().create_task(self._live(), name=f"unit-{self.node.name}")

    async def end(self, kill_now: asyncio.Event) -> None:
        """Stop: signal, wait, kill. Returns when nothing of it is left. Final states stay what they are."""
        self.move(Cause.STOP)
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])
        how = await self._terminate(kill_now)
        self.move(Cause.EXITED, how)

    async def until(self, condition: Condition) -> None:
        """Wait until the condition holds."""
        while not holds(condition, self.state):
            await self._marks[condition].wait()

    def block(self, other: Unit) -> bool:
        """Something it needs failed or is blocked itself; False when it does not wait any longer."""
        if self.state is not State.PENDING:
            return False
        culprit = self.culprit = other.culprit or other
        self.failure = culprit.failure
        return self.move(
            Cause.NEED_FAILED,
            f"blocked by {culprit.node.name} ({culprit.failure.brief if culprit.failure else culprit.state})",
        )

    async def _live(self) -> None:
        try:
            await self._needs()
            if self.state in FINAL:
                return
            await (self._job(self.node) if isinstance(self.node, Job) else self._service(self.node))
        except HomeportError as error:
            await self._lose(Failure(error, error.what))
        except Exception as error:
            await self._lose(unexpected(self.node, error))

    async def _needs(self) -> None:
        """Wait until everything it needs holds at the same time."""
        while missing := self._missing():
            others = {name: self._works.unit(name) for name in missing}
            if self.state is State.PENDING:
                lost = next(
                    (others[name] for name in missing if others[name].state in {State.FAILED, State.BLOCKED}), None
                )
                if lost:
                    self.block(lost)
                    return
            await others[missing[0]].until(self.node.needs[missing[0]])

    def _waiting(self) -> str:
        waits = self.state in {State.PENDING, State.BACKOFF} and (missing := self._missing())
        return f"waiting for {', '.join(missing)}" if waits else ""

    def _missing(self) -> list[str]:
        """What it needs and does not hold now."""
        needs = self.node.needs.items()
        return [name for name, condition in needs if not holds(condition, self._works.unit(name).state)]

    async def _job(self, job: Job) -> None:
        for left in range(job.retries, -1, -1):
            failure = await self._run_once(job)
            if failure is None:
                # What a job says last is what it did, in its own words.
                self.move(Cause.FINISHED, next(iter(self._works.witness(self).lines[-1:]), ""))
                return
            if not left:
                await self._lose(failure)
                return
            await self._retry(failure.brief, calm=0.0)

    async def _run_once(self, job: Job) -> Failure | None:
        """One run of a job; None when it exited 0."""
        process = await self._start()
        if isinstance(process, Failure):
            return process
        try:
            async with asyncio.timeout(job.timeout):
                code = await process.wait()
        except TimeoutError:
            failure = self._works.witness(self).unfinished(job.timeout)
            await self._terminate(asyncio.Event())
            return failure
        self.process = None
        return self._works.witness(self).exited(code) if code else None

    async def _service(self, service: Service) -> None:
        attempts = 0
        while True:
            attempts += 1
            failure, code = await self._attempt(service)
            calm = _time() - self._calm_since if self._calm_since is not None else 0.0
            self._calm_since = None
            if not self._came_up:
                retry = attempts < backoff.ATTEMPTS and service.restart is not Restart.NO and not failure.explained
                if not retry or code is None:
                    await self._lose(failure)
                    return
            elif not backoff.again(service.restart, 1 if code is None else code):
                if code == 0:
                    self.failure = failure
                    self.move(Cause.ENDED, "ended by itself (exit 0)")
                else:
                    await self._lose(failure)
                return
            await self._terminate(asyncio.Event())
            await self._retry(failure.brief, calm)

    async def _attempt(self, service: Service) -> tuple[Failure, int | None]:
        """One start of a service, to its end. The exit code is None when it still runs or never did."""
        process = await self._start()
        if isinstance(process, Failure):
            return process, None
        if service.probe is None:
            self.thrived()
        running = asyncio.create_task(process.wait())
        watching = asyncio.create_task(health.watch(service, self._works.ask, self))
        try:
            await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done() and service.probe:
                watching.result()
                return self._works.witness(self).unhealthy(service.probe.start_timeout), None
            code = running.result()
        finally:
            running.cancel()
            watching.cancel()
            await asyncio.wait({running, watching})
        self.process = None
        when = "" if self._calm_since is not None else " before it was healthy"
        return self._works.witness(self).exited(code, when), code

    async def _start(self) -> Process | Failure:
        self.last_probe = ""
        self.move(Cause.NEEDS_MET)
        try:
            self.process = await self._works.start(self)
        except NotStartedError as error:
            return self._works.witness(self).not_started(error.program, error.reason)
        except OSError as error:
            return Failure(disk_error(error, f"{self.node.name} could not be started"), "not started")
        except HomeportError as error:
            return Failure(error, "not started")
        self.move(Cause.SPAWNED)
        return self.process

    # What its probe says; see health.Patient.

    def passed(self, note: str) -> None:
        """A check passed, and the service had this to say."""
        if self._calm_since is None:
            self.thrived()
        if not self.move(Cause.PASSED, note):
            self.detail = note

    def missed(self, text: str) -> None:
        """A check failed before the first one passed."""
        self.last_probe = self.detail = text

    def ailing(self, text: str) -> None:
        """So many checks failed in a row that it is unhealthy."""
        self.last_probe = text
        self.move(Cause.FAILING, text)

    def thrived(self) -> None:
        """It came up; from now on it is started again and again."""
        self._came_up = True
        self._calm_since = _time()

    async def _retry(self, brief: str, calm: float) -> None:
        pause = self._backoff.pause(calm, self._works.chance())
        self.restarts += 1
        self.move(Cause.RETRY, f"{brief}; starts again in {pause:.1f} s")
        await asyncio.sleep(pause)
        self.detail = ""
        await self._needs()

    async def _terminate(self, kill_now: asyncio.Event) -> str:
        """End the process if there is one; returns how, for people."""
        if self.process is None:
            return ""
        how = await terminate(self.process, self.node.stop_signal, self.node.stop_timeout, kill_now)
        self.process = None
        return how

    async def _lose(self, failure: Failure) -> None:
        """Fail for good. Said at once; a process that still runs is ended after that."""
        self.failure = failure
        self.move(Cause.GIVE_UP, failure.error.what)
        await self._terminate(asyncio.Event())


def _time() -> float:
    return asyncio.get_running_loop().time()
