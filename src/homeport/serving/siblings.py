"""Workers of one server ask each other: a reload must reach all of them, whichever the kernel gave the request to.

One datagram socket pair a worker, made before the fork and inherited by all: no path, no port, nobody else can speak.
A worker that was replaced takes over its predecessor's inbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

Answer = dict[str, Any]
Handler = Callable[[dict[str, Any]], Awaitable[Answer]]
_BUFFER = 2**22
_LARGEST = 2**18


@dataclass(frozen=True)
class Mesh:
    """The inboxes of all workers; made in the master."""

    inboxes: tuple[tuple[socket.socket, socket.socket], ...]  # (read by its worker, written by the others)

    @classmethod
    def of(cls, workers: int) -> Mesh:
        """Inboxes for so many workers."""
        pairs = []
        for _ in range(workers):
            reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            for end in (reader, writer):
                end.setblocking(False)
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            pairs.append((reader, writer))
        return cls(tuple(pairs))

    def close(self) -> None:
        """Close every inbox; a server's workers hold theirs for life."""
        for reader, writer in self.inboxes:
            reader.close()
            writer.close()


class Siblings:
    """One worker's end.

    Args:
        mesh: every inbox.
        index: this worker.
        handlers: what others may ask of this worker, by name; each answers a JSON-able dict.
    """

    def __init__(self, mesh: Mesh, index: int, handlers: Mapping[str, Handler]) -> None:
        self._mesh = mesh
        self._index = index
        self._handlers = handlers
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Listen to the inbox, on the running loop; what lies in it was meant for a predecessor."""
        inbox = self._mesh.inboxes[self._index][0]
        with contextlib.suppress(BlockingIOError):
            while inbox.recv(_LARGEST):
                pass
        asyncio.get_running_loop().add_reader(inbox.fileno(), self._on_message)

    async def ask_all(self, what: str, arguments: dict[str, Any], seconds: float) -> list[Answer]:
        """Every worker's answer, this one's too, in order; a worker that does not answer in time says so instead."""
        workers = range(len(self._mesh.inboxes))
        return list(await asyncio.gather(*(self._ask(worker, what, arguments, seconds) for worker in workers)))

    async def _ask(self, worker: int, what: str, arguments: dict[str, Any], seconds: float) -> Answer:
        try:
            async with asyncio.timeout(seconds):
                if worker == self._index:
                    return {"worker": worker, "pid": os.getpid(), **await self._handlers[what](arguments)}
                number = f"{os.getpid()}-{next(self._numbers)}"
                future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
                self._waiting[number] = future
                try:
                    self._send(worker, {"id": number, "from": self._index, "what": what, "arguments": arguments})
                    return {"worker": worker, **await future}
                finally:
                    del self._waiting[number]
        except TimeoutError:
            return {"worker": worker, "ok": False, "error": f"no answer within {seconds:.0f} s"}
        except OSError as error:
            return {"worker": worker, "ok": False, "error": f"cannot be reached: {error.strerror}"}

    def _send(self, worker: int, message: Answer) -> None:
        self._mesh.inboxes[worker][1].send(orjson.dumps(message))

    def _on_message(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                message = orjson.loads(self._mesh.inboxes[self._index][0].recv(_LARGEST))
                if "what" in message:
                    task = asyncio.ensure_future(self._answer(message))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                elif (future := self._waiting.get(message["id"])) is not None and not future.done():
                    future.set_result(message["answer"])

    async def _answer(self, message: Answer) -> None:
        try:
            answer = await self._handlers[message["what"]](message["arguments"])
        except Exception as error:  # the asker must hear of it
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(OSError):  # the asker's inbox is full: it sees a timeout
            self._send(message["from"], {"id": message["id"], "answer": {"pid": os.getpid(), **answer}})
