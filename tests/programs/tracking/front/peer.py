"""A server on a unix socket, as the private one is, that says what it saw: `python -m ... SOCKET`.

It is the other end of the protocol, and knows nothing of MLflow.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

PIECE = 64 * 1024
REPEATED = [
    (b"x-twice", b"1"),
    (b"x-twice", b"2"),
    (b"x-latin", "é".encode("latin-1")),
    (b"set-cookie", b"a=1"),
    (b"set-cookie", b"b=2"),
]
_seen = {"gone": 0, "sent": 0, "received": 0, "asked": 0}
_go = asyncio.Event()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """One request."""
    if scope["type"] != "http":
        return
    word = scope["path"].split("/")[1]
    _seen["asked"] += word in {"echo", "die"}
    await _ACTS.get(word, _echo)(scope, receive, send)


async def _start(send: Any, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers or []})


async def _end(send: Any, body: bytes = b"") -> None:
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Any) -> bytes:
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body = await _body(receive)
    seen = {
        "method": scope["method"],
        "target": (scope["raw_path"] + b"?" + scope["query_string"]).decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": body.decode("latin-1"),
        "client": scope["client"],
        "server": scope["server"],
        "scheme": scope["scheme"],
        "pid": os.getpid(),
    }
    text = json.dumps(seen).encode()
    await _start(send, 200, [(b"content-length", b"%d" % len(text)), *REPEATED])
    await _end(send, text)


async def _status(scope: Any, _receive: Any, send: Any) -> None:
    status = int(scope["path"].split("/")[2])
    await _start(send, status, [] if status == 304 else [(b"content-length", b"2")] if status != 204 else [])
    await _end(send, b"" if status in {204, 304} else b"ok")


async def _gzip(_scope: Any, _receive: Any, send: Any) -> None:
    body = gzip.compress(b"packed", mtime=0)
    await _start(send, 200, [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(body))])
    await _end(send, body)


async def _sse(_scope: Any, _receive: Any, send: Any) -> None:
    """The second piece comes only after somebody said go."""
    _go.clear()
    await _start(send, 200, [(b"content-type", b"text/event-stream")])
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    await _go.wait()
    await _end(send, b"data: 2\n\n")


async def _say_go(_scope: Any, _receive: Any, send: Any) -> None:
    _go.set()
    await _start(send, 204)
    await _end(send)


async def _big(scope: Any, receive: Any, send: Any) -> None:
    left = int(parse_qs(scope["query_string"])[b"n"][0])
    await _start(send, 200, [(b"content-length", b"%d" % left)])
    gone = asyncio.ensure_future(_gone(receive))
    _seen["sent"] = 0
    while left and not gone.done():
        size = min(left, PIECE)
        left -= size
        await send({"type": "http.response.body", "body": b"x" * size, "more_body": left > 0})
        _seen["sent"] += size


async def _count(_scope: Any, receive: Any, send: Any) -> None:
    """Take a body of any size."""
    _seen["received"], more = 0, True
    while more:
        message = await receive()
        _seen["received"] += len(message.get("body", b""))
        more = message.get("more_body", False)
    await _start(send)
    await _end(send, b"%d" % _seen["received"])


async def _slow_count(_scope: Any, receive: Any, send: Any) -> None:
    """Take the first of a body, and the rest only after somebody said go."""
    _go.clear()
    message = await receive()
    _seen["received"] = len(message["body"])
    await _go.wait()
    while message.get("more_body"):
        message = await receive()
        _seen["received"] += len(message.get("body", b""))
    await _start(send)
    await _end(send, b"%d" % _seen["received"])


async def _early(_scope: Any, _receive: Any, send: Any) -> None:
    await _start(send, 413, [(b"content-length", b"9")])
    await _end(send, b"too large")


async def _hang(_scope: Any, receive: Any, _send: Any) -> None:
    await _gone(receive)


async def _stream(_scope: Any, receive: Any, send: Any) -> None:
    """Endless, until nobody listens."""
    gone = asyncio.ensure_future(_gone(receive))
    await _start(send)
    while not gone.done():
        await send({"type": "http.response.body", "body": b"tick", "more_body": True})
        await asyncio.wait([gone], timeout=0.01)


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    _seen["gone"] += 1


async def _die(scope: Any, _receive: Any, send: Any) -> None:
    if scope["path"].endswith("/length"):
        await _start(send, 200, [(b"content-length", b"1000")])
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
    elif scope["path"].endswith("/chunked"):
        await _start(send, 200)
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
    await asyncio.sleep(0.05)  # so that what was sent has left
    os._exit(9)


async def _tell(_scope: Any, _receive: Any, send: Any) -> None:
    await _start(send)
    await _end(send, json.dumps(_seen | {"pid": os.getpid()}).encode())


_ACTS = {
    "echo": _echo, "status": _status, "gzip": _gzip, "sse": _sse, "go": _say_go, "big": _big, "count": _count,
    "slow-count": _slow_count, "early": _early, "hang": _hang, "stream": _stream, "die": _die, "seen": _tell,
}  # fmt: skip


def main() -> None:
    """Serve until SIGTERM; connections are kept as long as the second argument says."""
    import uvicorn
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    from homeport.tracking.near import as_if_direct

    kept = int(sys.argv[2]) if len(sys.argv) > 2 else 75
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        Path(sys.argv[1]).unlink(missing_ok=True)
        listener.bind(sys.argv[1])
        listener.listen(2048)
        config = uvicorn.Config(
            as_if_direct(ProxyHeadersMiddleware(application)),  # type: ignore[arg-type] # uvicorn's own names for ASGI
            ws="none", proxy_headers=False, server_header=False, date_header=False, timeout_keep_alive=kept,
            access_log=False,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
