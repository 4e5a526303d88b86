"""Uploads and downloads through the room byte for byte: names, ranges, versions, and what is left to MLflow."""

from __future__ import annotations

import hashlib
import os
import re
from email.utils import format_datetime, parsedate_to_datetime

import pytest
import requests

from tests.programs.database.programs import eventually
from tests.programs.objectstore.store import Store
from tests.programs.tracking.artifacts.rooms import MIB, PART, ROUTE, Room, chunks, halves, stored
from tests.programs.tracking.artifacts.served import PASSED

pytestmark = pytest.mark.slow


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
