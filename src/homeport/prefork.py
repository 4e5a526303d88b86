"""A server of several processes: one bound socket a worker, workers forked from one image, a dead one replaced.

What is imported before the fork is shared by all workers. Refuses to know what a worker serves.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable

from homeport.errors import HomeportError
from homeport.program import port_taken

# Workers that die this often within this many seconds are not replaced again: the fault is not theirs.
_MOST_DEATHS, _DEATHS_WINDOW = 5, 30.0
_BACKLOG = 2048

Serve = Callable[[int, socket.socket], None]


def listeners(who: str, host: str, port: int, count: int, setting: str) -> list[socket.socket]:
    """One bound socket a worker where the kernel spreads connections over them (Linux), else one for all.

    With one shared socket, keep-alive connections often all land on one worker and the others idle.

    Args:
        who: the service, for the error.
        host: where to listen.
        port: where to listen.
        count: number of workers.
        setting: the setting that chooses another port, for the error.

    Raises:
        HomeportError: PORT_TAKEN.
    """
    sockets = []
    for _ in range(count if sys.platform == "linux" else 1):
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if count > 1 and sys.platform == "linux":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise port_taken(who, host, port, setting, error) from error
        sockets.append(listener)
    return sockets


class Master:
    """Forks the workers, replaces one that dies, and passes on what stops them.

    Args:
        name: the service whose log tells why workers die.
        count: number of workers.
        sockets: bound sockets from `listeners`.
        serve: called in each worker with its index and its socket; a worker ends when it returns.
        died: called in the master with the pid of a worker that ended unasked, before it is replaced.
        early: how many workers, from the first, are forked before `prepare`.
        prepare: what takes time and only the later workers need, such as an import.
    """

    def __init__(
        self,
        name: str,
        count: int,
        sockets: list[socket.socket],
        serve: Serve,
        died: Callable[[int], None] | None = None,
        early: int = 0,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._name = name
        self._early = early
        self._prepare = prepare
        self._count = count
        self._sockets = sockets
        self._serve = serve
        self._died = died
        self._workers: dict[int, int] = {}  # pid -> index
        self._deaths: list[float] = []
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            HomeportError: WORKERS_DIE when workers keep dying.
        """
        for listener in self._sockets:
            listener.listen(_BACKLOG)
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, self._on_stop)
        for index in range(self._early):
            self._fork(index)
        try:
            if self._prepare is not None:
                self._prepare()
        except BaseException:
            self._on_stop(signal.SIGTERM, None)
            raise
        # What is alive now is shared by all workers; the collector must not touch it and so copy its pages.
        gc.collect()
        gc.freeze()
        for index in range(self._early, self._count):
            if not self._stopping:
                self._fork(index)
        while self._workers:
            pid, status = os.wait()
            if pid in self._workers:  # others are children of what the workers serve
                self._on_death(pid, self._workers.pop(pid), status)

    def _fork(self, index: int) -> None:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for sig in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(sig, signal.SIG_DFL)  # until the worker takes them
                die_with_parent()
                self._serve(index, self._sockets[index % len(self._sockets)])
                code = 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        self._workers[pid] = index
        if self._stopping:  # the signal came between the fork and the line above
            os.kill(pid, signal.SIGTERM)

    def _on_death(self, pid: int, index: int, status: int) -> None:
        if self._stopping:
            return
        code = os.waitstatus_to_exitcode(status)
        now = time.monotonic()
        self._deaths = [at for at in self._deaths if now - at < _DEATHS_WINDOW] + [now]
        sys.stderr.write(f"worker {index} ended ({code}), starting another\n")
        if self._died is not None:
            self._died(pid)
        if len(self._deaths) >= _MOST_DEATHS:
            self._on_stop(signal.SIGTERM, None)
            raise HomeportError(
                code="WORKERS_DIE",
                what=f"the workers of {self._name} ended {_MOST_DEATHS} times within {_DEATHS_WINDOW:.0f} s",
                evidence=(("last exit", str(code)),),
                why="what ended them stands in the lines above this one in the log",
                fix=f"homeport logs {self._name}",
            )
        self._fork(index)

    def _on_stop(self, sig: int, _frame: object) -> None:
        self._stopping = True
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def die_with_parent() -> None:
    """A worker whose master was killed serves nobody: end with it (Linux; elsewhere whoever runs the group ends it)."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
