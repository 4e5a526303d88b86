"""Asks one service again and again, and tells it what the answers mean: passed, missed, ailing.

The semantics of `model.Probe`: often until the first pass, then at leisure; so many failures in a row are bad health.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from homeport.model.service import Service
from homeport.supervisor.probes import Answer, Ask, describe


class Patient(Protocol):
    """Who hears of it."""

    def passed(self, note: str) -> None:
        """A check passed, and the service had this to say."""

    def missed(self, text: str) -> None:
        """A check failed before the first one passed."""

    def ailing(self, text: str) -> None:
        """So many checks failed in a row that it is unhealthy."""


async def watch(service: Service, ask: Ask, patient: Patient) -> None:
    """Ask for as long as the service runs; returns only when the first pass did not come in time.

    Args:
        service: has just been started; without a probe nothing is asked.
        ask: asks once.
        patient: hears of it.
    """
    probe = service.probe
    if probe is None:
        await asyncio.Event().wait()
        return
    deadline = _time() + probe.start_timeout
    said = False
    while not (answer := await _ask(service, ask, min(probe.timeout, deadline - _time()))).passed:
        late = _time() >= deadline
        if not (late and said):  # The last one was cut short: what the one before said is worth more.
            patient.missed(answer.text)
            said = True
        if late:
            return
        await asyncio.sleep(max(0.0, min(probe.start_interval, deadline - _time())))
    patient.passed(answer.note)
    failures = 0
    while True:
        await asyncio.sleep(probe.interval)
        answer = await _ask(service, ask, probe.timeout)
        failures = 0 if answer.passed else failures + 1
        if answer.passed:
            patient.passed(answer.note)
        elif failures >= probe.failures:
            patient.ailing(answer.text)


async def _ask(service: Service, ask: Ask, patience: float) -> Answer:
    try:
        async with asyncio.timeout(patience):
            return await ask(service)
    except TimeoutError:
        return Answer(passed=False, text=f"{describe(service)} -> no answer in {max(patience, 0.0):.3g} s")


def _time() -> float:
    return asyncio.get_running_loop().time()
