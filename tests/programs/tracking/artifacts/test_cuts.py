"""Uploads and downloads that are cut, by the client or by a store that dies: nothing half ever shows."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import requests

from tests.programs.database.programs import eventually
from tests.programs.objectstore.store import Store
from tests.programs.tracking.artifacts.rooms import BUCKET, MIB, PART, ROUTE, Room, halves, stored
from tests.programs.tracking.artifacts.served import PASSED

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("sent", [100, PART + 5, 3 * PART])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_cut_by_the_client_leaves_the_old_object_and_nothing_else(
    room: Room, store: Store, sent: int, chunked: bool
) -> None:
    name = f"cut/{sent}-{chunked}"
    room.put(name, b"the old one")
    way = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {4 * PART}"
    body = b"%x\r\n" % (4 * PART) + os.urandom(sent) if chunked else os.urandom(sent)
    connection = room.raw(f"PUT {ROUTE}{quote(name)} HTTP/1.1\r\nHost: x\r\n{way}\r\n\r\n".encode() + body)
    if sent > PART:
        eventually(lambda: halves(store) != [] or _seen(room, sent))
    connection.close()
    eventually(lambda: halves(store) == [])
    assert stored(store, name) == b"the old one"
    assert room.put("cut/after", b"after").status_code == 200


def _seen(room: Room, sent: int) -> bool:
    """Whether the room has read that much; the store may show no trace of a part."""
    return psutil.Process(room.program.pid).memory_info().rss > 40 * MIB and sent > 0


def test_an_upload_never_shows_before_all_of_it_is_there(room: Room, store: Store) -> None:
    body = os.urandom(2 * PART + 1)
    head = f"PUT {ROUTE}0/late HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with room.raw(head + body[:-1]) as connection:
        assert stored(store, "0/late") is None
        connection.sendall(body[-1:])
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    assert stored(store, "0/late") == body


def test_a_client_that_leaves_a_download_leaves_no_connection_to_the_store(room: Room, store: Store) -> None:
    room.put("0/left", os.urandom(48 * MIB))
    process = psutil.Process(room.program.pid)

    def open_ones() -> int:
        return sum(1 for one in process.net_connections("tcp") if one.raddr and one.raddr.port == store.port)

    room.get("0/left", Range="bytes=0-1")
    idle = open_ones()
    connections = [room.raw(f"GET {ROUTE}0/left HTTP/1.1\r\nHost: x\r\n\r\n".encode()) for _ in range(8)]
    for connection in connections:
        assert connection.recv(15).startswith(b"HTTP/1.1 200")
    assert open_ones() >= 8
    for connection in connections:
        connection.close()
    eventually(lambda: open_ones() <= max(idle, 1))
    assert room.get("0/left", Range="bytes=0-1").status_code == 206


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[tuple[Store, Room]]:
    """A store and a room that a test may kill."""
    store = Store(tmp_path / "data", tmp_path / "store")
    room = Room(store, tmp_path / "room")
    try:
        store.start()
        store.client().create_bucket(Bucket=BUCKET)
        room.start()
        yield store, room
    finally:
        room.program.end()
        store.end()


def test_a_store_that_dies_is_never_a_complete_download_and_uploads_go_to_mlflow(mortal: tuple[Store, Room]) -> None:
    store, room = mortal
    room.put("0/dies", os.urandom(64 * MIB))
    with requests.get(room.url("0/dies"), stream=True, timeout=30) as response:
        pieces = response.iter_content(MIB)
        next(pieces)
        store.programs[-1].kill()
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            list(pieces)
    body = os.urandom(PART + 1)
    for sent in (b"small", body):
        passed = room.put("0/while-away", sent)
        assert passed.status_code == PASSED
        assert passed.json()["length"] == len(sent)
        assert passed.json()["sha256"] == hashlib.sha256(sent).hexdigest()
    assert room.get("0/dies").status_code == PASSED
    store.start()
    assert room.put("0/back", b"back").status_code == 200
    assert room.get("0/back").content == b"back"


def test_a_store_that_dies_in_the_middle_of_an_upload_fails_it_and_keeps_the_old_object(
    mortal: tuple[Store, Room],
) -> None:
    store, room = mortal
    room.put("0/kept", b"the old one")
    size = 6 * PART
    with room.raw(f"PUT {ROUTE}0/kept HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()) as connection:
        connection.sendall(os.urandom(2 * PART))
        eventually(lambda: halves(store) != [])
        store.programs[-1].kill()
        _send_all_or_until_refused(connection, size - 2 * PART)
        assert connection.recv(100).startswith(b"HTTP/1.1 500 ")
    store.start()
    assert stored(store, "0/kept") == b"the old one"


def _send_all_or_until_refused(connection: socket.socket, size: int) -> None:
    try:
        connection.sendall(bytes(size))
    except ConnectionError:
        return
