"""Notices that a child process has ended, without reaping it: its id stays taken until whoever asked is done with it.

Linux has pidfd for that, macOS kqueue; where neither works (an old kernel, a strict sandbox) a thread waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable


def watch(pid: int, loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
    """Call `ended` once in the loop, after the child `pid` has ended."""
    try:
        handle, close = _handle(pid)
    except ProcessLookupError:
        loop.call_soon(ended)
        return
    except OSError:
        name = f"wait-{pid}"
        threading.Thread(target=_wait_in_thread, args=(pid, loop, ended), daemon=True, name=name).start()
        return

    def seen() -> None:
        loop.remove_reader(handle)
        close()
        ended()

    loop.add_reader(handle, seen)


def _handle(pid: int) -> tuple[int, Callable[[], None]]:
    """A descriptor that becomes readable when the process has ended, and how to close it."""
    if sys.platform == "linux":
        pidfd = os.pidfd_open(pid)
        return pidfd, lambda: os.close(pidfd)
    else:  # noqa: RET505 - type checkers know platforms by if and else
        queue = select.kqueue()
        wanted = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD | select.KQ_EV_ONESHOT, select.KQ_NOTE_EXIT)
        try:
            queue.control([wanted], 0)
        except OSError:
            queue.close()
            raise
        return queue.fileno(), queue.close


def _wait_in_thread(pid: int, loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with contextlib.suppress(RuntimeError):  # The loop may be closed: then nobody waits.
        loop.call_soon_threadsafe(ended)
