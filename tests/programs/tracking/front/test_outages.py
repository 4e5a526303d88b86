"""A private server that is not there yet, dies, or comes back: requests wait or are told, none is half answered."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import requests

from homeport.tracking.front.proxy import _DYING
from tests.programs.database.programs import eventually
from tests.programs.tracking.front.started import Line, Through, through


@pytest.fixture
def alone() -> Iterator[Through]:
    """A front whose server is not there yet; few may wait for it."""
    made = Through(patience=20.0, MOST_WAITING="8")
    try:
        yield made.up()
    finally:
        made.end()


def test_requests_wait_for_a_server_that_is_starting_but_only_so_many(alone: Through) -> None:
    with ThreadPoolExecutor(8) as pool:
        waiting: list[Future[requests.Response]] = [
            pool.submit(requests.post, f"{alone.url}/echo/{number}", data=b"kept", timeout=60) for number in range(8)
        ]
        eventually(lambda: waits(alone) == 8)
        refused = requests.post(f"{alone.url}/echo", timeout=10)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert refused.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert not any(each.done() for each in waiting)
        alone.serve()
        assert [each.result().json()["body"] for each in waiting] == ["kept"] * 8


def waits(front: Through) -> int:
    """How many wait, as the metrics say."""
    page = requests.get(f"{front.url}/metrics", timeout=10).text
    return int(float(page.split("\nhomeport_tracking_waiting ")[1].split("\n")[0]))


def test_who_leaves_while_waiting_makes_room(alone: Through) -> None:
    lines = [Line(alone.port) for _ in range(8)]
    for line in lines:
        line.say(b"GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
    eventually(lambda: waits(alone) == 8)
    for line in lines:
        line.close()
    eventually(lambda: waits(alone) == 0)


def test_after_the_bound_the_answer_is_503_in_mlflows_words_and_not_ready_says_which_part() -> None:
    made = Through(patience=0.2)
    try:
        answer = requests.get(f"{made.up().url}/api/2.0/mlflow/users/get", timeout=10)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert requests.head(f"{made.url}/x", timeout=10).content == b""
        ready = requests.get(f"{made.url}/ready", timeout=10)
        (problem,) = ready.json()["problems"]
        assert (ready.status_code, problem["part"], problem["fix"]) == (503, "mlflow", "homeport logs tracking")
        # What needs no MLflow is there.
        assert requests.get(f"{made.url}/health", timeout=10).text == "OK"
        assert "<script" in requests.get(f"{made.url}/", timeout=10).text
    finally:
        made.end()


@pytest.mark.parametrize("how", ["length", "chunked"])
def test_an_answer_whose_rest_does_not_come_ends_as_an_error_and_never_as_a_short_answer(how: str) -> None:
    with through() as made:
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
            requests.get(f"{made.url}/die/{how}", timeout=20)
        made.serve()
        with Line(made.port) as line:  # and the front is well
            assert line.ask(b"GET /status/200 HTTP/1.1\r\nHost: h\r\n\r\n")[0] == 200


def test_a_server_that_dies_before_it_answers_is_said_and_nothing_is_done_twice() -> None:
    with through() as made:
        answer = requests.post(f"{made.url}/die/silently", timeout=20)
        assert answer.status_code == 502
        assert "not known whether it was done" in answer.json()["message"]
        made.peers[0].process.wait(20)
        made.serve()
        assert made.seen()["asked"] == 0  # the new one was not asked again


def test_who_only_looks_is_not_told_that_a_server_died_but_of_two_in_a_row() -> None:
    with through() as made, ThreadPoolExecutor() as pool:
        answer = pool.submit(requests.get, f"{made.url}/die/silently", timeout=60)
        for _ in range(2):
            made.peers[0].process.wait(20)
            time.sleep(_DYING + 0.2)  # so that the next one is surely another one, not one that is dying
            made.serve()
        assert answer.result(20).status_code == 502
        assert made.seen()["asked"] == 0  # a third was not asked


def test_connections_that_the_server_closed_between_requests_disturb_nobody() -> None:
    with through() as made:
        made.serve(keep=1)
        with requests.Session() as session:
            for number in range(4):
                pid = session.post(f"{made.url}/echo", data=b"1", timeout=20).json()["pid"]
                server = psutil.Process(pid)
                if number % 2:  # at the server's own time, or all at once
                    made.peers[0].end()
                    made.serve(keep=1)
                else:
                    eventually(lambda server=server: connections(server) == 0)  # type: ignore[misc] # bound now


def connections(server: psutil.Process) -> int:
    """Its open unix sockets but the one that it listens on, and the loop's own pair."""
    return sum(bool(each.laddr) for each in server.net_connections("unix")) - 1


def test_requests_go_round_the_servers_and_past_one_that_is_away() -> None:
    with through(2) as made:
        pids = Counter(requests.post(f"{made.url}/echo", timeout=20).json()["pid"] for _ in range(10))
        assert sorted(pids.values()) == [5, 5]
        made.peers[0].end()
        left = {requests.post(f"{made.url}/echo", timeout=20).json()["pid"] for _ in range(10)}
        assert left == {made.peers[1].process.pid}


@pytest.mark.slow
def test_killed_again_and_again_under_load_every_request_is_answered_rightly_or_not_at_all() -> None:
    with through(2) as made:
        over = threading.Event()
        outcomes: Counter[Any] = Counter()

        def ask(number: int) -> None:
            turn = 0
            while not over.is_set():
                turn += 1
                said = f"{number}-{turn}"
                try:
                    answer = requests.post(f"{made.url}/echo", data=said, timeout=30)
                except requests.ConnectionError:
                    outcomes["cut"] += 1
                    continue
                right = answer.status_code != 200 or answer.json()["body"] == said
                outcomes[answer.status_code if right else "wrong"] += 1

        with ThreadPoolExecutor(6) as pool:
            asking = [pool.submit(ask, number) for number in range(6)]
            for kill in range(6):
                before = outcomes[200]
                eventually(lambda before=before: outcomes[200] > before + 30, 30)  # type: ignore[misc] # bound now
                peer = made.peers[kill % 2]
                os.kill(peer.process.pid, signal.SIGKILL)
                peer.process.wait(20)
                made.serve(kill % 2)
            over.set()
            for each in asking:
                each.result()
        assert set(outcomes) <= {200, 502}, outcomes
        assert outcomes[200] > 180


def test_a_front_that_is_told_to_end_answers_what_it_has_begun() -> None:
    with through() as made, Line(made.port) as line:
        line.say(b"POST /slow-count HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc")
        eventually(lambda: made.seen()["received"] == 3)
        made.front.process.terminate()
        eventually(lambda: "Shutting down" in made.front.said)
        line.say(b"def")
        with socket.socket(socket.AF_UNIX) as private:  # the front takes no new clients any more
            private.connect(made.sockets[0])
            private.sendall(b"POST /go HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
            assert private.recv(100).startswith(b"HTTP/1.1 204")
        assert line.rest().endswith(b"\r\n\r\n1\r\n6\r\n0\r\n\r\n")
        made.front.process.wait(20)
