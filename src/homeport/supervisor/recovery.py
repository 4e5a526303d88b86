"""Cleans up after a supervisor that was killed, before anything new starts. The caller holds the home's lock.

The dead one's warden usually has done it all; if it was killed too, what run/state.json lists and what carries this
home's marker is stopped here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from homeport.supervisor import identity, ledger
from homeport.supervisor.events import Recovered
from homeport.supervisor.layout import Home
from homeport.supervisor.lock import held
from homeport.supervisor.register import marker

_WARDEN_PATIENCE = 15.0
_PATIENCE = 5.0
_TICK = 0.02


def recover(home: Home, *, clock: Callable[[], float] = time.time) -> Recovered | None:
    """Stop whatever a killed supervisor left; None when there was nothing to clean up.

    Args:
        home: its lock is held by the caller, so that whoever wrote its state is dead.
        clock: seconds since the epoch.
    """
    left = ledger.read(home)
    _wait(lambda: not held(home.warden_lock), _WARDEN_PATIENCE)
    groups = [one.pgid for one in left.processes if identity.same(one.pgid, one.started)] if left else []
    strays = set(identity.marked(marker(home))) | {pgid for pgid in groups if identity.alive(pgid)}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in strays:
            with contextlib.suppress(OSError):
                (os.killpg if number is signal.SIGKILL and pid in groups else os.kill)(pid, number)
        if _wait(lambda: not any(identity.alive(pid) for pid in strays), _PATIENCE if strays else 0.0):
            break
    for pid in identity.marked(marker(home)):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    ledger.clear(home)
    home.socket.unlink(missing_ok=True)
    if left is None and not strays:
        return None
    services = tuple(one.name for one in left.processes if one.name) if left else ()
    return Recovered(clock(), left.pid if left else 0, services, len(strays))


def _wait(check: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_TICK)
    return True
