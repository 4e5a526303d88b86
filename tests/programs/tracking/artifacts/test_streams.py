"""Uploads and downloads through the room: whole, in parts, cut, and with a store that dies; over the embedded store."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import requests

from tests.programs.database.programs import eventually
from tests.programs.objectstore.store import Store
from tests.programs.tracking.artifacts.rooms import BUCKET, PREFIX, ROUTE, Room
from tests.programs.tracking.artifacts.served import PASSED

pytestmark = pytest.mark.slow

MIB = 2**20
PART = 8 * MIB


def key(name: str) -> str:
    return f"{PREFIX}/{name}"


def stored(store: Store, name: str) -> bytes | None:
    """The object, asked of the store itself."""
    try:
        return store.client().get_object(Bucket=BUCKET, Key=key(name))["Body"].read()
    except store.client().exceptions.NoSuchKey:
        return None


def halves(store: Store) -> list[str]:
    """What is left of uploads that did not end."""
    temporary = [str(path) for path in store.data.rglob(".rclone_temp_*")]
    try:
        under_way = store.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    except store.client().exceptions.NoSuchUpload:  # the embedded store's word for none yet
        return temporary
    return [one["Key"] for one in under_way] + temporary


def chunks(body: bytes, size: int = 100_000) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, PART, PART + 1, 64 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_put_is_stored_and_got_byte_for_byte(room: Room, store: Store, size: int, chunked: bool) -> None:
    body, name = os.urandom(size), f"0/run/artifacts/{size}-{chunked}.bin"
    put = room.put(name, chunks(body) if chunked else body)
    assert (put.status_code, put.content, "content-type" in put.headers) == (200, b"", False)
    assert stored(store, name) == body
    got = room.get(name)
    assert got.status_code == 200
    assert got.content == body
    assert got.headers["content-length"] == str(size)
    assert halves(store) == []


@pytest.mark.parametrize(
    "name",
    ["a b.txt", "日本語.json", "Ünï/çødé.tar.gz", "+&=,;@!~'()*$.txt".replace(";", ""), "no-ending", "x.y.z/MLmodel"],
)
def test_an_odd_name_is_put_and_got_under_that_name(room: Room, store: Store, name: str) -> None:
    assert room.put(f"odd/{name}", b"odd").status_code == 200
    assert stored(store, f"odd/{name}") == b"odd"
    assert room.get(f"odd/{name}").content == b"odd"


def test_a_second_upload_replaces_the_first(room: Room) -> None:
    room.put("0/twice", b"first")
    room.put("0/twice", b"the second")
    assert room.get("0/twice").content == b"the second"


def test_a_connection_is_used_again_and_again(room: Room) -> None:
    with requests.Session() as session:
        for number in range(20):
            assert session.put(room.url(f"again/{number}"), data=b"%d" % number).status_code == 200
            assert session.get(room.url(f"again/{number}")).content == b"%d" % number


@pytest.mark.parametrize(("asked", "start", "end"), [("0-9", 0, 10), ("5-", 5, None), ("-7", -7, None), ("9-9", 9, 10)])
def test_a_range_is_answered_with_that_part(room: Room, asked: str, start: int, end: int | None) -> None:
    body = os.urandom(1000)
    room.put("0/ranged", body)
    part = room.get("0/ranged", Range=f"bytes={asked}")
    assert part.status_code == 206
    assert part.content == body[start:end]
    assert re.fullmatch(r"bytes \d+-\d+/1000", part.headers["content-range"])


def test_a_range_of_a_large_object_costs_that_range_only(room: Room) -> None:
    body = os.urandom(32 * MIB)
    room.put("0/large-ranged", body)
    part = room.get("0/large-ranged", Range=f"bytes={20 * MIB}-{21 * MIB - 1}")
    assert part.content == body[20 * MIB : 21 * MIB]


@pytest.mark.parametrize("headers", [{"Range": "bytes=0-1,3-4"}, {"Range": "bytes=0-1", "If-Range": '"x"'}])
def test_a_range_that_is_not_understood_is_answered_with_the_whole(room: Room, headers: dict[str, str]) -> None:
    room.put("0/whole", b"the whole")
    got = requests.get(room.url("0/whole"), headers=headers, timeout=30)
    assert (got.status_code, got.content) == (200, b"the whole")


def test_a_range_beyond_the_end_is_never_answered_with_other_bytes(room: Room) -> None:
    room.put("0/short", b"short")
    assert room.get("0/short", Range="bytes=10-").status_code in {416, PASSED}


def test_head_says_what_get_would_and_sends_nothing(room: Room) -> None:
    room.put("0/headed.json", b'{"a": 1}')
    head, got = requests.head(room.url("0/headed.json"), timeout=30), room.get("0/headed.json")
    assert (head.status_code, head.content) == (200, b"")
    named = ("content-type", "content-length", "content-disposition", "accept-ranges", "x-content-type-options")
    assert {name: head.headers[name] for name in named} == {name: got.headers[name] for name in named}
    assert head.headers["content-type"] == "text/plain"
    assert head.headers["content-disposition"] == "attachment; filename=headed.json"
    assert head.headers["x-content-type-options"] == "nosniff"


def test_what_a_client_has_is_not_sent_again_and_a_new_content_is(room: Room, store: Store) -> None:
    room.put("0/versioned", b"first")
    eventually(lambda: "last-modified" in room.get("0/versioned").headers)
    first = room.get("0/versioned")
    tag, modified = first.headers["etag"], first.headers["last-modified"]
    for headers in ({"If-None-Match": tag}, {"If-Modified-Since": modified}):
        again = requests.get(room.url("0/versioned"), headers=headers, timeout=30)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    earlier = format_datetime(parsedate_to_datetime(modified).replace(year=2020), usegmt=True)
    assert requests.get(room.url("0/versioned"), headers={"If-Modified-Since": earlier}, timeout=30).content == b"first"
    room.put("0/versioned", b"other")
    for headers in ({"If-None-Match": tag}, {"If-Modified-Since": modified}):
        assert requests.get(room.url("0/versioned"), headers=headers, timeout=30).content == b"other"


def test_what_is_not_there_or_is_a_folder_is_left_to_mlflow(room: Room) -> None:
    room.put("folder/inside", b"x")
    for name in ("folder", "folder/none", "none"):
        assert room.get(name).status_code == PASSED


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
@pytest.mark.parametrize(
    "raw", ["../x", "a/%2e%2e/x", "a/%252e%252e/x", "a%5Cb", "/etc/passwd", "a%00", "a%23b", "file:///x", "a//b", "a/"]
)
def test_an_attack_on_paths_reaches_mlflow_and_never_the_store(room: Room, method: str, raw: str) -> None:
    with room.raw(f"{method} {ROUTE}{raw} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 %d " % PASSED)


@pytest.mark.parametrize("headers", ["If-Match: x", "Content-Encoding: gzip", "Content-Range: bytes 0-1/2"])
def test_an_unusual_upload_is_left_to_mlflow_whole(room: Room, headers: str) -> None:
    name, value = headers.split(": ")
    passed = requests.put(room.url("0/unusual"), data=b"body", headers={name: value}, timeout=30)
    assert passed.status_code == PASSED
    assert passed.json()["sha256"] == hashlib.sha256(b"body").hexdigest()


def test_a_query_is_left_to_mlflow(room: Room) -> None:
    assert requests.get(room.url("0/x") + "?path=1", timeout=30).status_code == PASSED


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


@pytest.mark.slow
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


@pytest.mark.slow
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
