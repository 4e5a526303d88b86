"""A server of several processes: one bound socket a worker, workers forked from one image, a dead one replaced.

What is imported before the fork is shared by all workers. Refuses to know what a worker serves.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence

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

    A worker may be a master itself.

    Args:
        name: the service whose log tells why workers die.
        count: number of workers.
        serve: called in each worker with its index and its socket; a worker ends when it returns.
        sockets: bound sockets from `listeners`.
        died: called in the master with the pid of a worker that ended unasked, before it is replaced.
        in_turn: whether the first worker is to end before the others are told to.
        strict: whether a HomeportError in a worker ends all: it is raised in the master.
    """

    def __init__(
        self,
        *,
        name: str,
        count: int,
        serve: Serve,
        sockets: Sequence[socket.socket],
        died: Callable[[int], None] | None = None,
        in_turn: bool = False,
        strict: bool = False,
    ) -> None:
        self._name = name
        self._count = count
        self._sockets = sockets
        self._serve = serve
        self._died = died
        self._in_turn = in_turn
        self._reasons = os.pipe() if strict else None
        self._workers: dict[int, int] = {}  # pid -> index
        self._deaths: list[float] = []
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            HomeportError: WORKERS_DIE when workers keep dying; where it is `strict`, a worker's own.
        """
        for listener in self._sockets:
            listener.listen(_BACKLOG)
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, self._on_stop)
        # What is alive now is shared by all workers; the collector must not touch it and so copy its pages.
        gc.collect()
        gc.freeze()
        for index in range(self._count):
            if not self._stopping:
                self._fork(index)
        while self._workers:
            pid, status = os.wait()
            if pid in self._workers:  # others are children of what the workers serve
                self._on_death(pid, self._workers.pop(pid), status)

    def _fork(self, index: int) -> None:
        master = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for sig in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(sig, signal.SIG_DFL)  # until the worker takes them
                die_with_parent(master)
                self._serve(index, self._sockets[index % len(self._sockets)])
                code = 0
            except HomeportError as error:
                self._tell(error)
            except BaseException:
                traceback.print_exc()
            finally:
                with contextlib.suppress(Exception):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)
        self._workers[pid] = index
        if self._stopping:  # the signal came between the fork and the line above
            self._stop()

    def _tell(self, error: HomeportError) -> None:
        """In a worker: what ended it, for the master or at least for the log."""
        if self._reasons is None:
            sys.stderr.write(error.block() + "\n")
        else:
            os.write(self._reasons[1], json.dumps(error.as_dict()).encode() + b"\n")

    def _told(self) -> HomeportError | None:
        """What a worker said that ended."""
        if self._reasons is None:
            return None
        os.set_blocking(self._reasons[0], False)
        try:
            line = os.read(self._reasons[0], 65536).split(b"\n", 1)[0]
        except BlockingIOError:
            return None
        return HomeportError.from_dict(json.loads(line))

    def _on_death(self, pid: int, index: int, status: int) -> None:
        told = self._told()
        if told is not None:
            self._end()
            raise told
        if self._stopping:
            self._stop()
            return
        code = os.waitstatus_to_exitcode(status)
        now = time.monotonic()
        self._deaths = [at for at in self._deaths if now - at < _DEATHS_WINDOW] + [now]
        sys.stderr.write(f"worker {index} of {self._name} ended ({code}), starting another\n")
        sys.stderr.flush()
        if self._died is not None:
            self._died(pid)
        if len(self._deaths) >= _MOST_DEATHS:
            self._end()
            raise HomeportError(
                code="WORKERS_DIE",
                what=f"the workers of {self._name} ended {_MOST_DEATHS} times within {_DEATHS_WINDOW:.0f} s",
                evidence=(("last exit", str(code)),),
                why="what ended them stands in the lines above this one in the log",
                fix=f"homeport logs {self._name}",
            )
        self._fork(index)

    def _on_stop(self, _sig: int, _frame: object) -> None:
        self._stopping = True
        self._stop()

    def _stop(self) -> None:
        """Tell those whose turn it is to end."""
        first = [pid for pid, index in self._workers.items() if index == 0]
        for pid in first if self._in_turn and first else tuple(self._workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _end(self) -> None:
        """End all workers, in their turn, and wait for them."""
        self._stopping = True
        while self._workers:
            self._stop()
            pid, _ = os.wait()
            self._workers.pop(pid, None)


def die_with_parent(parent: int) -> None:
    """A worker whose master was killed serves nobody: end with it (Linux; elsewhere whoever runs the group ends it)."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before the line above
        os._exit(1)
