"""A connection to PostgreSQL whose other side is gone without a word ends after ten seconds, whoever opened it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys

import pytest

from homeport.tracking.backend_store import NOTICED, parse
from homeport.tracking.fast.database import Database

_OPTIONS = {
    socket.TCP_USER_TIMEOUT: NOTICED["tcp_user_timeout"],
    socket.TCP_KEEPIDLE: NOTICED["keepalives_idle"],
    socket.TCP_KEEPINTVL: NOTICED["keepalives_interval"],
    socket.TCP_KEEPCNT: NOTICED["keepalives_count"],
}


def seen(number: int) -> dict[int, int]:
    with socket.socket(fileno=os.dup(number)) as wire:
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        return {option: wire.getsockopt(socket.IPPROTO_TCP, option) for option in _OPTIONS}


def test_of_the_fast_lane(empty: str) -> None:
    async def look() -> dict[int, int]:
        database = Database(empty)
        await database.open()
        try:
            async with database.connection() as connection:
                return seen(connection._con._transport.get_extra_info("socket").fileno())
        finally:
            await database.close()

    assert asyncio.run(look()) == _OPTIONS


def test_of_who_asks_whether_all_is_well(empty: str) -> None:
    connection = parse(empty).connect()
    try:
        assert seen(connection.fileno()) == _OPTIONS  # type: ignore[attr-defined]  # psycopg2's
    finally:
        connection.close()


_ENGINES = """
import sys
import sqlalchemy
from homeport.tracking import lost_connections
from tests.programs.tracking.test_lost_connections import _OPTIONS, seen
before = sqlalchemy.create_engine(sys.argv[1])
lost_connections.apply()
for engine in (before, sqlalchemy.create_engine(sys.argv[1], pool_pre_ping=True)):
    with engine.connect() as connection:
        found = seen(connection.connection.dbapi_connection.fileno())
        assert found == _OPTIONS, found
own = sqlalchemy.create_engine(sys.argv[1] + "?keepalives_idle=77")
with own.connect() as connection:
    import socket
    assert seen(connection.connection.dbapi_connection.fileno())[socket.TCP_KEEPIDLE] == 77
with sqlalchemy.create_engine("sqlite://").connect():
    pass
"""


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_of_mlflow_whenever_its_engine_was_made_unless_the_uri_says_otherwise(empty: str, driver: str) -> None:
    address = empty.replace("+psycopg2", f"+{driver}")
    command = [sys.executable, "-W", "ignore", "-c", _ENGINES, address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
