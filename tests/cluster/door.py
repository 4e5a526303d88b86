"""Doors into a network namespace: loopback ports on this side, addresses on that side, bytes carried between.

`python -m tests.cluster.door PID HOST:PORT …` prints the ports as JSON and carries until it is ended. A socket stays in
the namespace in which it was made: those that listen are made before this process moves over, the others after.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import sys

_CLONE_NEWNET = 0x40000000
_CHUNK = 65536


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def _serve(doors: list[tuple[socket.socket, str, int]]) -> None:
    async def open_door(listening: socket.socket, host: str, port: int) -> asyncio.Server:
        async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                inner_reader, inner_writer = await asyncio.open_connection(host, port)
            except OSError:
                writer.transport.abort()
                return
            await asyncio.gather(_carry(reader, inner_writer), _carry(inner_reader, writer))
            writer.close()
            inner_writer.close()

        return await asyncio.start_server(through, sock=listening)

    servers = [await open_door(*door) for door in doors]
    sys.stdout.write(json.dumps([server.sockets[0].getsockname()[1] for server in servers]) + "\n")
    sys.stdout.flush()
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main(pid: str, *targets: str) -> None:
    """Listen here, move over, carry."""
    doors = []
    for target in targets:
        host, _, port = target.rpartition(":")
        listening = socket.create_server(("127.0.0.1", 0))
        doors.append((listening, host, int(port)))
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{pid}/ns/net", "rb") as namespace:  # noqa: PTH123 - a descriptor is what is wanted
        if libc.setns(namespace.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    asyncio.run(_serve(doors))


if __name__ == "__main__":
    main(*sys.argv[1:])
