"""One question to a real service, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from homeport.model.graph import Graph
from homeport.model.service import ExecProbe, HttpProbe, Port, Probe, Service, TcpProbe
from homeport.supervisor.layout import Home
from homeport.supervisor.local import LocalTarget
from homeport.supervisor.probes import Answer, LocalProbes
from homeport.supervisor.process import spawn

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def ask(home: Home, check: Any, serve: Serve | None = None, patience: float = 5.0) -> Answer:
    """The answer of a server that does as `serve` does; of nobody when there is none."""

    async def main() -> Answer:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                if serve:
                    await serve(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        node = Service(name="a", title="a", command=("a",), probe=Probe(check), ports=(Port("main", 80, local=port),))
        if serve is None:
            server.close()
            await server.wait_closed()
        target = LocalTarget(Graph("g", [node]), home)
        seen: list[int] = []
        probes = LocalProbes(
            target, home, {"PATH": "/bin:/usr/bin"}, spawn=spawn, register=seen.append, forget=seen.remove
        )
        try:
            async with asyncio.timeout(patience):
                return await probes(node)
        finally:
            server.close()
            await asyncio.sleep(0.05 if isinstance(check, ExecProbe) else 0)
            assert seen == []

    return asyncio.run(main())


def answering(text: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()

    return serve


@pytest.mark.parametrize(
    ("answer", "passed", "text"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nfine", True, "GET /ready -> 200"),
        (b"HTTP/1.0 204 No Content\r\n\r\n", True, "GET /ready -> 204"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", False, "GET /ready -> 302"),
        (b"HTTP/1.1 503 No\r\n\r\ndatabase:\n password wrong\n", False, "GET /ready -> 503: database: password wrong"),
        (b"HTTP/1.1 500 No\r\n\r\n" + b"x" * 400, False, f"GET /ready -> 500: {'x' * 300}…"),
        (b"SSH-2.0-OpenSSH\r\n", False, "GET /ready -> no HTTP answer"),
        (b"", False, "GET /ready -> no HTTP answer"),
    ],
)
def test_http_answers(home: Home, answer: bytes, passed: bool, text: str) -> None:
    assert ask(home, HttpProbe("/ready"), answering(answer)) == Answer(passed, text)


@pytest.mark.parametrize(
    ("body", "note"),
    [
        (b'{"ready": true, "note": "fast lane off: no reason"}', "fast lane off: no reason"),
        (b'{"ready": true, "note": ["x"]}', ""),
        (b'["note"]', ""),
        (b"note: x", ""),
        (b'{"note": "' + b"x" * 400 + b'"}', "x" * 300 + "…"),
    ],
)
def test_a_healthy_service_may_say_something_of_itself(home: Home, body: bytes, note: str) -> None:
    answer = ask(home, HttpProbe("/ready"), answering(b"HTTP/1.1 200 OK\r\n\r\n" + body))
    assert answer == Answer(passed=True, text="GET /ready -> 200", note=note)


def test_nobody_there_is_connection_refused(home: Home) -> None:
    assert ask(home, HttpProbe("/ready")) == Answer(passed=False, text="GET /ready -> connection refused")
    answer = ask(home, TcpProbe())
    assert not answer.passed
    assert answer.text.endswith("-> connection refused")


def test_a_connection_is_enough_for_tcp(home: Home) -> None:
    assert ask(home, TcpProbe(), answering(b"")).passed


def test_a_server_that_never_answers_can_be_given_up(home: Home) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(TimeoutError):
        ask(home, HttpProbe("/ready"), silent, patience=0.1)


def test_an_answer_that_never_ends_is_read_in_part(home: Home) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 No\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            return

    assert ask(home, HttpProbe("/ready"), endless).text.startswith("GET /ready -> 503: xxx")


@pytest.mark.parametrize(
    ("command", "passed", "text"),
    [
        (("true",), True, "true -> exit 0"),
        (("sh", "-c", "echo one; echo two; exit 3"), False, "sh -c echo one; echo two; exit 3 -> exit 3: two"),
        (("no-such",), False, "no-such: No such file or directory"),
    ],
)
def test_commands(home: Home, command: tuple[str, ...], passed: bool, text: str) -> None:
    assert ask(home, ExecProbe(command)) == Answer(passed, text)


def test_a_command_that_hangs_is_killed(home: Home) -> None:
    with pytest.raises(TimeoutError):
        ask(home, ExecProbe(("sleep", "1000")), patience=0.2)
