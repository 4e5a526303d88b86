"""The control socket: newline-delimited JSON both ways, one request a connection; private by its directory and mode.

Requests: {"do": "ping" | "status" | "events" | "wait" | "restart" | "stop" | "kill"}. An answer is one line with "ok",
or a stream of events, one a line. Refuses to decide anything: it asks the engine and the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol

from homeport.errors import ExitCode, HomeportError
from homeport.supervisor.events import Event, Restarted
from homeport.supervisor.layout import Home

_LIMIT = 64 * 1024
_BEHIND = 10_000
"""Events a listener may lag before it is dropped."""

_FLUSH = 2.0
_ENDS = {"ready": frozenset({"ready", "failed", "stopped"}), "stopped": frozenset({"stopped"})}


class Hub:
    """Every event so far, and who listens for more. `heard` is set once somebody has listened."""

    def __init__(self) -> None:
        self.past: list[dict[str, object]] = []
        self._listeners: set[asyncio.Queue[dict[str, object] | None]] = set()
        self._closed = False
        self.heard = asyncio.Event()

    def tell(self, event: Event) -> None:
        """Keep an event and hand it to everybody."""
        row = event.as_dict()
        self.past.append(row)
        del self.past[:-_BEHIND]
        for queue in self._listeners.copy():
            if queue.qsize() >= _BEHIND:
                self._listeners.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(row)

    def close(self) -> None:
        """Nothing follows."""
        self._closed = True
        for queue in self._listeners:
            queue.put_nowait(None)

    async def listen(self, *, past: bool) -> AsyncGenerator[dict[str, object], None]:
        """Events as they come, after those so far if `past`."""
        queue: asyncio.Queue[dict[str, object] | None] = asyncio.Queue()
        for row in self.past if past else ():
            queue.put_nowait(row)
        self._listeners.add(queue)
        self.heard.set()
        if self._closed:
            queue.put_nowait(None)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._listeners.discard(queue)


class Owner(Protocol):
    """What the socket asks of the daemon."""

    hub: Hub

    def status(self) -> dict[str, object]:
        """How everything stands."""

    async def wait_for(self, service: str | None, timeout: float | None) -> None:
        """Wait until a service, or everything, is ready."""

    async def restart(self, service: str) -> Restarted:
        """Restart one service; returns when it is ready."""

    def stop(self, reason: str, *, kill: bool = False) -> None:
        """Ask for the end."""


class Control:
    """The listening socket of one home."""

    def __init__(self, home: Home, owner: Owner) -> None:
        self._home, self._owner = home, owner
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen.

        Raises:
            HomeportError: SOCKET_DIRECTORY_NOT_PRIVATE.
            OSError: as the system reports it.
        """
        path = self._home.socket
        self._home.check_socket_directory(create=True)
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, path=path, limit=_LIMIT)
        path.chmod(0o600)

    async def close(self) -> None:
        """Let everybody read the last events, then stop listening and remove the socket."""
        if self._server is None:
            return
        self._server.close()
        self._owner.hub.close()
        if self._open:
            _, late = await asyncio.wait(self._open, timeout=_FLUSH)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._home.socket.unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task:
            self._open.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            writer.close()
            if task:
                self._open.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(row: dict[str, object]) -> None:
            writer.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
            await writer.drain()

        try:
            request = json.loads(await reader.readline())
            answer = _ANSWERS[request["do"]]
        except (ValueError, KeyError, TypeError):
            await send({"ok": False, "error": _misunderstood().as_dict()})
            return
        answering = asyncio.ensure_future(answer(self._owner, request, send))
        gone = asyncio.ensure_future(reader.read(1))  # A client that went away needs no answer any more.
        try:
            await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        except HomeportError as error:
            await send({"ok": False, "error": error.as_dict()})
        finally:
            for task in (answering, gone):
                task.cancel()
            await asyncio.wait({answering, gone})


Send = Callable[[dict[str, object]], Awaitable[None]]
Request = dict[str, Any]


async def _ping(_: Owner, __: Request, send: Send) -> None:
    await send({"ok": True, "pid": os.getpid()})


async def _status(owner: Owner, _: Request, send: Send) -> None:
    await send({"ok": True, "status": owner.status()})


async def _events(owner: Owner, request: Request, send: Send) -> None:
    ends = _ENDS.get(request.get("until") or "stopped", _ENDS["stopped"])
    async with contextlib.aclosing(owner.hub.listen(past=True)) as events:
        async for event in events:
            await send(event)
            if event["event"] in ends:
                return


async def _wait(owner: Owner, request: Request, send: Send) -> None:
    await owner.wait_for(request.get("service"), request.get("timeout"))
    await send({"ok": True})


async def _restart(owner: Owner, request: Request, send: Send) -> None:
    restarted = await owner.restart(str(request.get("service")))
    await send({"ok": True, **restarted.as_dict()})


async def _stop(owner: Owner, request: Request, send: Send) -> None:
    async with contextlib.aclosing(owner.hub.listen(past=False)) as events:
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)  # Listening before anything is said.
        owner.stop(str(request.get("reason") or "asked to stop"), kill=request["do"] == "kill")
        with contextlib.suppress(StopAsyncIteration):
            await send(await first)
        async for event in events:
            await send(event)


_ANSWERS = {
    "ping": _ping,
    "status": _status,
    "events": _events,
    "wait": _wait,
    "restart": _restart,
    "stop": _stop,
    "kill": _stop,
}


def _misunderstood() -> HomeportError:
    return HomeportError(
        code="REQUEST_UNKNOWN",
        what="the running Homeport did not understand the request",
        why="it is probably of another version",
        fix="homeport down, then homeport up",
        exit_code=ExitCode.USAGE,
    )
