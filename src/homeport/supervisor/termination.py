"""How a process is ended: asked, waited for, killed with its whole group. Knows nothing of services."""

from __future__ import annotations

import asyncio
import signal

from homeport.supervisor.failures import ended
from homeport.supervisor.process import Process

_STUCK = 10.0
"""Seconds a killed process may stay: one that hangs in the kernel (a dead network disk) cannot be waited for."""


async def terminate(process: Process, stop_signal: str, seconds: float, kill_now: asyncio.Event) -> str:
    """End a process and its group; returns how it ended, for people.

    Args:
        process: what to end; its leader gets the signal, its whole group SIGKILL.
        stop_signal: the name of the signal that asks it to end.
        seconds: how long it may take.
        kill_now: set when nobody wants to wait any longer.
    """
    if not kill_now.is_set():
        process.signal(getattr(signal, stop_signal))
        if await _ended(process, seconds, kill_now):
            return ended(await process.wait())
    process.kill()
    if not await _ended(process, _STUCK):
        return f"pid {process.pid} hangs in the kernel and could not be killed"
    return "killed" if kill_now.is_set() else f"killed: did not stop in {seconds:g} s"


async def _ended(process: Process, seconds: float, interrupt: asyncio.Event | None = None) -> bool:
    """Wait for the process to end, at most so long and until interrupted; whether it ended."""
    waits = {asyncio.create_task(process.wait())}
    if interrupt is not None:
        waits.add(asyncio.create_task(_set(interrupt)))
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
    return process.ended


async def _set(event: asyncio.Event) -> int:
    return int(await event.wait())
