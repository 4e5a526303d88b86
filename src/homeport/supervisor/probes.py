"""Asks a service whether it is healthy: over HTTP, by a connection, by a command. One question, one answer.

How often it is asked and what follows from the answers is the unit's business.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from homeport.model.service import ExecProbe, HttpProbe, Service, TcpProbe
from homeport.model.values import resolve
from homeport.supervisor.environment import environment
from homeport.supervisor.layout import Home
from homeport.supervisor.local import LocalTarget
from homeport.supervisor.process import Launch, NotStartedError, Spawn

_BODY = 64 * 1024
_SHOWN = 300
_OK_FIRST, _OK_LAST = 200, 299


@dataclass(frozen=True)
class Answer:
    """Whether the check passed, and what was asked and answered, for people.

    Args:
        passed: whether it is healthy.
        text: what was asked and answered.
        note: what a healthy service has to say of itself: the `note` of its JSON answer.
    """

    passed: bool
    text: str
    note: str = ""


Ask = Callable[[Service], Awaitable[Answer]]


class LocalProbes:
    """Asks services of one graph on this machine.

    Args:
        target: knows their addresses.
        home: their working directory.
        caller: the environment they were started from.
        spawn: starts the command of an ExecProbe.
        register: see `Launch`; a probe's command must not outlive the supervisor either.
        forget: see `Launch`.
    """

    def __init__(
        self,
        target: LocalTarget,
        home: Home,
        caller: Mapping[str, str],
        *,
        spawn: Spawn,
        register: Callable[[int], None],
        forget: Callable[[int], None],
    ) -> None:
        self._target, self._home, self._caller, self._spawn = target, home, caller, spawn
        self._register, self._forget = register, forget

    async def __call__(self, service: Service) -> Answer:
        """Ask once. Never raises but for cancellation; who waits too long cancels."""
        if service.probe is None:
            return Answer(passed=True, text="")
        match service.probe.check:
            case HttpProbe(path=path, port=port):
                return await _http(*self._target.address(service.name, port), path)
            case TcpProbe(port=port):
                return await _tcp(*self._target.address(service.name, port))
            case ExecProbe() as check:
                return await self._exec(service, check)
            case unknown:
                assert_never(unknown)

    async def _exec(self, service: Service, check: ExecProbe) -> Answer:
        argv = tuple(resolve(value, service.name, self._target) for value in check.command)
        output = bytearray()
        launch = Launch(
            argv=argv,
            env=environment(service, self._target, self._home, self._caller),
            cwd=self._home.root,
            output=lambda chunk: output.extend(chunk[-_BODY:]),
            register=self._register,
            forget=self._forget,
        )
        try:
            process = await self._spawn(launch)
        except NotStartedError as error:
            return Answer(passed=False, text=str(error))
        try:
            code = await process.wait()
        finally:
            process.kill()
        lines = output[-_BODY:].decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        return Answer(passed=code == 0, text=f"{_short(argv)} -> exit {code}{f': {_line(last)}' if last else ''}")


def describe(service: Service) -> str:
    """What the service's probe asks, for people."""
    match service.probe and service.probe.check:
        case HttpProbe(path=path):
            return f"GET {path}"
        case TcpProbe(port=port):
            return f'connect to port "{port}"'
        case ExecProbe(command=command):
            return " ".join(part for part in command if isinstance(part, str))
        case _:
            return "no probe"


async def _http(host: str, port: int, path: str) -> Answer:
    """GET as HTTP/1.0: the answer ends with the connection, so that it needs no parsing beyond the first line."""
    asked = f"GET {path}"
    try:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            request = f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: homeport-probe\r\nAccept: */*\r\n\r\n"
            writer.write(request.encode())
            answer = await _read(reader)
        finally:
            writer.transport.abort()  # Closing would wait for a service that does not read.
    except OSError as error:
        return Answer(passed=False, text=f"{asked} -> {_reason(error)}")
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if not head.startswith(b"HTTP/") or len(status) < 2 or not status[1].isdigit():  # noqa: PLR2004 - version and status
        return Answer(passed=False, text=f"{asked} -> no HTTP answer")
    code = int(status[1])
    if _OK_FIRST <= code <= _OK_LAST:
        return Answer(passed=True, text=f"{asked} -> {code}", note=_note(body))
    text = _line(body.decode(errors="replace"))
    return Answer(passed=False, text=f"{asked} -> {code}{f': {text}' if text else ''}")


def _note(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    note = said.get("note") if isinstance(said, dict) else None
    return _line(note) if isinstance(note, str) else ""


async def _read(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    while len(answer) < _BODY and (chunk := await reader.read(_BODY)):
        answer += chunk
    return answer


async def _tcp(host: str, port: int) -> Answer:
    asked = f"connect {host}:{port}"
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        return Answer(passed=False, text=f"{asked} -> {_reason(error)}")
    writer.transport.abort()
    return Answer(passed=True, text=f"{asked} -> accepted")


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return error.strerror or str(error) or type(error).__name__


def _line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN]}…"


def _short(argv: tuple[str, ...]) -> str:
    return _line(" ".join((argv[0].rpartition("/")[2], *argv[1:])))
