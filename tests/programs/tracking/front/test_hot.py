"""Hot calls as the front treats them: answered, left to MLflow whole, or failing without harm; and what is counted."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from homeport.tracking.front.slow import SlowLog, limit
from tests.programs.database.programs import eventually
from tests.programs.tracking.front.started import Line, Through, echoed, through

MIB = 2**20


@pytest.fixture(scope="module")
def behind() -> Iterator[Through]:
    with through() as made:
        yield made


def count(front: Through, route: str, outcome: str) -> float:
    """How many requests of that route went so."""
    page = requests.get(f"{front.url}/metrics", timeout=20).text
    wanted = {"route": route, "outcome": outcome}
    samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return sum(each.value for each in samples if each.labels == wanted)


def test_a_hot_call_is_answered_with_upstreams_headers_and_nothing_is_asked_behind(behind: Through) -> None:
    before = behind.seen()["asked"]
    answer = requests.post(f"{behind.url}/echo/answered", data=b"12345", timeout=20)
    assert (answer.status_code, answer.json()) == (200, {"hot": 5})
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert behind.seen()["asked"] == before
    assert count(behind, "answered", "fast") == 1


@pytest.mark.parametrize(
    "frame", ["Content-Length: 5\r\n\r\nabcde", "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"]
)
def test_what_a_hot_call_leaves_is_passed_on_as_it_came(behind: Through, frame: str) -> None:
    head = f"POST /echo/left?a=%2F HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nX-A: 2\r\n{frame}"
    seen = echoed(behind.port, head.encode())
    assert (seen["target"], seen["body"]) == ("/echo/left?a=%2F", "abcde")
    assert [value for name, value in seen["headers"] if name == "x-a"] == ["1", "2"]
    assert ["transfer-encoding", "chunked"] in seen["headers"] or ["content-length", "5"] in seen["headers"]
    assert echoed(behind.port, b"GET /echo/left HTTP/1.1\r\nHost: localhost\r\n\r\n")["body"] == ""


def test_a_body_too_long_for_a_hot_call_is_passed_on_whole(behind: Through) -> None:
    body = bytes(range(256)) * (3 * MIB // 256)
    answer = requests.post(f"{behind.url}/echo/answered", data=body, timeout=60)
    assert answer.json()["body"].encode("latin-1") == body


@pytest.mark.parametrize(
    "line",
    ["POST /echo/%61nswered HTTP/1.1\r\nHost: localhost", "POST /echo//answered HTTP/1.1\r\nHost: localhost",
     "POST /echo/answered HTTP/1.1\r\nHost: evil.example.org", "PUT /echo/answered HTTP/1.1\r\nHost: localhost",
     "POST /echo/answered HTTP/1.1\r\nHost: localhost\r\nX-MLflow-Workspace: w",
     "POST /echo/answered HTTP/1.1\r\nHost: localhost\r\nHost: localhost",
     "OPTIONS /echo/answered HTTP/1.1\r\nHost: localhost"],
)  # fmt: skip
def test_what_mlflow_might_read_otherwise_is_mlflows_to_answer(behind: Through, line: str) -> None:
    assert "target" in echoed(behind.port, f"{line}\r\nContent-Length: 0\r\n\r\n".encode())


def test_a_read_that_fails_is_mlflows_to_answer_and_the_log_says_why_once(behind: Through) -> None:
    for _ in range(3):
        assert requests.get(f"{behind.url}/echo/failing-read", timeout=20).json()["method"] == "GET"
        assert requests.post(f"{behind.url}/echo/search", data=b"x", timeout=20).json()["body"] == "x"
    assert count(behind, "failing-read", "failed") == 3
    assert behind.front.said.count("the hot call failing-read failed") == 1
    assert "LookupError: nobody foresaw this" in behind.front.said


def test_a_write_that_fails_is_not_done_again_for_nobody_knows_whether_it_was(behind: Through) -> None:
    before = behind.seen()["asked"]
    answer = requests.post(f"{behind.url}/echo/failing-write", timeout=20)
    assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL_ERROR")
    assert behind.seen()["asked"] == before


def test_too_much_at_once_is_said_with_when_to_come_back(behind: Through) -> None:
    answer = requests.post(f"{behind.url}/echo/refused", timeout=20)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert (count(behind, "refused", "refused"), count(behind, "refused", "fast")) == (1, 0)


def test_a_client_that_leaves_does_not_stop_its_write(behind: Through) -> None:
    with Line(behind.port) as line:
        line.say(b"POST /echo/written HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\ndone")
    eventually(lambda: requests.get(f"{behind.url}/echo/done", timeout=20).json() == ["done"])


def test_a_client_that_leaves_in_the_middle_of_its_body_has_written_nothing(behind: Through) -> None:
    before = count(behind, "answered", "fast"), count(behind, "answered", "passed"), behind.seen()["asked"]
    with Line(behind.port) as line:
        line.say(b'POST /echo/answered HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"a": 1}')
    with Line(behind.port) as line:
        assert line.ask(b"GET /status/200 HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
    assert (count(behind, "answered", "fast"), count(behind, "answered", "passed"), behind.seen()["asked"]) == before


def test_pipelined_hot_and_cold_requests_are_answered_in_turn(behind: Through) -> None:
    with Line(behind.port) as line:
        hot = b"POST /echo/answered HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
        line.say(hot + b"GET /echo/cold HTTP/1.1\r\nHost: localhost\r\n\r\n" + hot)
        bodies = [json.loads(line.ask(b"")[2]) for _ in range(3)]
    assert (bodies[0], bodies[1]["target"], bodies[2]) == ({"hot": 1}, "/echo/cold?", {"hot": 1})


def test_slow_lines_are_few_a_second_and_say_how_many_were_left_out() -> None:
    lines: list[str] = []
    clock = itertools.chain([0.1] * 20, [1.2])
    slow = SlowLog(1.0, write=lines.append, clock=lambda: next(clock))
    for _ in range(21):
        slow.note(method="GET", path="/a\nb", status=0, seconds=1.25, route="mlflow", how="passed", sent=3)
    assert lines[0] == "slow: GET /a\\nb gone 1.250 s mlflow passed 3 bytes\n"
    assert len(lines) == 5 + 1 + 1
    assert lines[5] == "slow: 15 more within a second\n"


@pytest.mark.parametrize(("said", "seconds"), [("", 1.0), ("2.5", 2.5), ("0", float("inf")), ("often", 1.0)])
def test_what_is_slow_is_a_setting_and_nothing_switches_it_off_by_mistake(said: str, seconds: float) -> None:
    assert limit({"HOMEPORT_SLOW_SECONDS": said}) == seconds
