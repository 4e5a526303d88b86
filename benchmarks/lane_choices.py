"""The fast lane's server and driver, chosen by measurement (docs/adr/0010-the-fast-lane.md). Needs an idle machine.

The same small ASGI application (read the body, parse, answer) under uvicorn and under Granian, asked by wrk; then the
same group of metric rows written through asyncpg and through psycopg 3, in turn, in one run. Needs `granian` and
`psycopg[binary]` in the environment, and wrk.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

APPLICATION = """
import orjson
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    orjson.loads(body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json"), (b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})
"""  # noqa: E501
BODY = {"run_id": uuid.UUID(int=1).hex, "key": "loss", "value": 0.5, "timestamp": 1700000000000, "step": 7}
INSERT = """insert into metric (run, key, value, at, step) select * from
 unnest({}::text[], {}::text[], {}::float8[], {}::int8[], {}::int8[]) on conflict do nothing"""
TABLE = "create temp table metric (run text, key text, value float8, at int8, step int8, primary key (run, key, step))"


def servers(seconds: int, rounds: int) -> None:
    """Requests a second of each server."""
    with tempfile.TemporaryDirectory() as directory:
        room = Path(directory)
        (room / "small.py").write_text(APPLICATION)
        (room / "post.lua").write_text(
            f"wrk.method='POST'\nwrk.headers['content-type']='application/json'\nwrk.body='{orjson.dumps(BODY).decode()}'\n"
        )
        python = [sys.executable, "-m"]
        commands: dict[str, Callable[[int], list[str]]] = {
            "uvicorn, httptools, uvloop": lambda port: [
                *python, "uvicorn", "small:app", "--port", str(port), "--http", "httptools", "--loop", "uvloop",
                "--no-access-log", "--log-level", "warning", "--lifespan", "off",
            ],
            "granian, uvloop": lambda port: [
                *python, "granian", "small:app", "--interface", "asginl", "--port", str(port), "--loop", "uvloop",
                "--no-access-log", "--no-log", "--workers", "1",
            ],
        }  # fmt: skip
        for connections in (8, 64):
            found: dict[str, list[float]] = {name: [] for name in commands}
            for _ in range(rounds):
                for name, command in commands.items():
                    with socket.socket() as free:
                        free.bind(("127.0.0.1", 0))
                        port = free.getsockname()[1]
                    process = subprocess.Popen(command(port), cwd=room)
                    try:
                        _listening(port)
                        _wrk(room, port, connections, 1)
                        found[name].append(_wrk(room, port, connections, seconds))
                    finally:
                        process.send_signal(signal.SIGTERM)
                        process.wait(20)
            for name, values in found.items():
                _say(f"{name}, {connections} connections", values, "req/s")


def drivers(url: str, seconds: int, rounds: int) -> None:
    """Groups a second through each driver, of a few rows and of many."""
    for rows in (8, 64, 512):
        found: dict[str, list[float]] = {"asyncpg": [], "psycopg 3": []}
        for _ in range(rounds):
            for name, program in (("asyncpg", _asyncpg), ("psycopg 3", _psycopg)):
                found[name].append(asyncio.run(program(url, rows, seconds)))
        for name, values in found.items():
            _say(f"{name}, groups of {rows}", values, "groups/s")


async def _asyncpg(url: str, rows: int, seconds: int) -> float:
    import asyncpg

    connection = await asyncpg.connect(url)
    await connection.execute(TABLE)
    statement = await connection.prepare(INSERT.format("$1", "$2", "$3", "$4", "$5"))
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        await statement.fetch(*_columns(count, rows))
        count += 1
    await connection.close()
    return count / seconds


async def _psycopg(url: str, rows: int, seconds: int) -> float:
    import psycopg

    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    await connection.execute(TABLE)
    text = INSERT.format(*["%b"] * 5)
    count, end = 0, time.perf_counter() + seconds
    async with connection.cursor(binary=True) as cursor:
        while time.perf_counter() < end:
            await cursor.execute(text, _columns(count, rows), prepare=True)
            count += 1
    await connection.close()
    return count / seconds


def _columns(number: int, rows: int) -> list[list[Any]]:
    steps = list(range(number * rows, (number + 1) * rows))
    run = BODY["run_id"]
    return [[run] * rows, ["loss"] * rows, [step / 7 for step in steps], [1700000000000] * rows, steps]


def _listening(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("the server does not listen")


def _wrk(room: Path, port: int, connections: int, seconds: int) -> float:
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}",
        "-s",
        str(room / "post.lua"),
        f"http://127.0.0.1:{port}/",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    return float(found[1])


def _say(name: str, values: list[float], unit: str) -> None:
    print(f"{name:45s} {statistics.median(values):9.0f} {unit}  ({min(values):.0f} to {max(values):.0f})", flush=True)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a PostgreSQL for the drivers: postgresql://user:password@host:port/database")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    servers(given.seconds, given.rounds)
    if given.url:
        drivers(given.url, given.seconds, given.rounds)


if __name__ == "__main__":
    main()
