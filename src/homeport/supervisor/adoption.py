"""Buries and, at the end, kills what services' descendants leave behind. Linux only; elsewhere it does nothing.

The daemon becomes the parent of orphans below it (prctl(2), PR_SET_CHILD_SUBREAPER), as an init does: a daemonized
grandchild stays within reach, and no zombie stays in a container whose first process is Homeport.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Collection

from homeport.supervisor import identity

_SET_CHILD_SUBREAPER = 36
"""From linux/prctl.h, since Linux 3.4."""

_PAUSE = 0.01
_PATIENCE = 2.0


class Adoption:
    """Orphans of one daemon. `ours` names the children that somebody else waits for."""

    def __init__(self, ours: Callable[[], Collection[int]]) -> None:
        self._ours = ours

    def begin(self) -> None:
        """Adopt from now on, and bury whoever ends."""
        if not identity.LINUX:
            return
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._bury)

    async def end(self) -> None:
        """Everything is stopped: whatever still lives below us escaped from its service, and is killed."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while (orphans := self._orphans()) and asyncio.get_running_loop().time() < deadline:
            for pid in orphans:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(_PAUSE)
            self._bury()

    def _bury(self) -> None:
        for pid in self._orphans():
            if not identity.alive(pid):
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def _orphans(self) -> list[int]:
        ours = set(self._ours())
        return [pid for pid in identity.children(os.getpid()) if pid not in ours]
