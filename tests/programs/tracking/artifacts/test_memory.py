"""Large files and many of them at once need no more memory than is said."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import psutil
import pytest
import requests

from tests.programs.objectstore.store import Store
from tests.programs.tracking.artifacts.rooms import BUCKET, MIB, PART, ROUTE, Room, key
from tests.programs.tracking.artifacts.served import PASSED

pytestmark = pytest.mark.slow


def test_a_gigabyte_each_way_needs_little_memory(room: Room, store: Store) -> None:
    process, most = psutil.Process(room.program.pid), 0
    piece = os.urandom(MIB)

    def pieces() -> Iterator[bytes]:
        nonlocal most
        for _ in range(1024):
            yield piece
            most = max(most, process.memory_info().rss)

    assert room.put("0/gigabyte", pieces()).status_code == 200
    with requests.get(room.url("0/gigabyte"), stream=True, timeout=60) as response:
        for got in response.iter_content(MIB):
            assert got == piece
            most = max(most, process.memory_info().rss)
    assert most < 150 * MIB, f"{most / MIB:.0f} MiB"
    store.client().delete_object(Bucket=BUCKET, Key=key("0/gigabyte"))


def test_many_large_uploads_at_once_are_bounded_and_the_rest_is_left_to_mlflow(room: Room) -> None:
    size = 4 * PART
    process = psutil.Process(room.program.pid)
    head = "PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"
    connections = [room.raw(head.format(f"{ROUTE}many/{n}", size).encode() + bytes(2 * MIB)) for n in range(12)]
    until = time.monotonic() + 20
    answers = []
    for connection in connections:
        connection.sendall(bytes(size - 2 * MIB))
        answers.append(int(connection.recv(100).split()[1]))
        assert process.memory_info().rss < 200 * MIB
        connection.close()
    assert time.monotonic() < until + 40
    assert set(answers) == {200, PASSED}
    assert room.put("many/after", b"after").status_code == 200
