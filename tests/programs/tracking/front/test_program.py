"""The tracking program as a whole: what the front adds to MLflow, and what happens when one of its processes dies."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from homeport.tracking.front import server as front
from tests.programs.database.programs import eventually, over
from tests.programs.database.server import Server
from tests.programs.tracking.front.started import Line
from tests.programs.tracking.guarded import Guarded

pytestmark = pytest.mark.slow
API = "/api/2.0/mlflow"
_OWN = {"date", "server", "expires"}  # of the moment, or of the process


@pytest.fixture(scope="module")
def make(
    prepared: tuple[str, Callable[[], str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Guarded]]:
    """Makes servers without logins; they are not started."""
    made: list[Guarded] = []

    def new(**env: str) -> Guarded:
        settings = {"HOMEPORT_AUTH": "off", "HOMEPORT_WORKERS": "1"} | env
        made.append(Guarded(prepared[1](), tmp_path_factory.mktemp("front"), **settings))
        return made[-1]

    yield new
    for each in made:
        each.stop()


@pytest.fixture(scope="module")
def server(make: Callable[..., Guarded]) -> Guarded:
    """One for all tests that only use it; for its log everything is slow."""
    return make(HOMEPORT_SLOW_SECONDS="0.0000001").start()


def run_of(server: Guarded) -> str:
    """A new run."""
    made = server.ask("POST", f"{API}/runs/create", json={"experiment_id": "0", "start_time": 1})
    return str(made.json()["run"]["info"]["run_id"])


def log(server: Guarded, run: str, step: int) -> int:
    body = {"run_id": run, "key": "m", "value": step, "timestamp": 1, "step": step}
    return server.ask("POST", f"{API}/runs/log-metric", json=body).status_code


def direct(server: Guarded, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """What MLflow itself answers, on its private socket."""
    (place,) = server.temporary.glob("homeport-mlflow-*/0.sock")
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    with socket.socket(socket.AF_UNIX) as private:
        private.connect(str(place))
        connection.sock = private
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, answer.read()


def passed(server: Guarded) -> float:
    """How many requests MLflow has answered; an answer may arrive just before it is counted."""
    eventually(lambda: counted(server, "homeport_tracking_passing") == 0)
    return counted(server, "homeport_tracking_passed_total")


def counted(server: Guarded, name: str, **labels: str) -> float:
    page = server.ask("GET", "/metrics").text
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    assert any(sample.name == name for sample in samples), page
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", ["index", "js", "css", "svg", "json", "version", "health"])
def test_the_pages_files_are_served_as_mlflow_serves_them_without_asking_it(
    server: Guarded, kind: str, method: str
) -> None:
    import mlflow

    build = Path(mlflow.__file__).parent / "server/js/build"
    plain = {"index": "/", "version": "/version", "health": "/health"}
    if kind in plain:
        path = plain[kind]
    else:
        path = "/static-files/" + sorted(build.rglob(f"*.{kind}"))[0].relative_to(build).as_posix()
    before = passed(server)
    mine = server.ask(method, path, headers={"Accept-Encoding": "identity"})
    if method == "GET":
        assert passed(server) == before
    status, headers, body = direct(server, method, path, {})
    assert (mine.status_code, mine.content) == (status, body)
    seen = {name.lower(): value for name, value in mine.headers.items()}
    assert {n: v for n, v in seen.items() if n not in _OWN} == {n: v for n, v in headers.items() if n not in _OWN}
    assert ("expires" in seen) == ("expires" in headers)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("{tag}", 304), ("W/{tag}", 304), ('"another"', 200), ('W/"another"', 200), ('""', 200),
    ],
)  # fmt: skip
@pytest.mark.parametrize("since", [{}, {"If-Modified-Since": "Sat, 21 Nov 2099 00:00:00 GMT"}])
def test_a_file_that_the_browser_has_is_not_sent_again_in_the_headers_that_mlflow_gives(
    server: Guarded, asked: str, status: int, since: dict[str, str]
) -> None:
    known = {"If-None-Match": asked.replace("{tag}", server.ask("GET", "/").headers["ETag"]).strip(), **since}
    before = passed(server)
    mine = server.ask("GET", "/", headers={"Accept-Encoding": "identity", **known})
    assert passed(server) == before
    theirs, headers, body = direct(server, "GET", "/", known)
    assert (mine.status_code, theirs) == (status, status)
    assert mine.content == body
    seen = {name.lower(): value for name, value in mine.headers.items()}
    assert {n: v for n, v in seen.items() if n not in _OWN} == {n: v for n, v in headers.items() if n not in _OWN}


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/static-files/none.js", {}), ("/static-files/../__init__.py", {}), ("/static-files/..%2f..%2f__init__.py", {}),
     ("/static-files/%2e%2e/%2e%2e/__init__.py", {}), ("/static-files//index.html", {}), ("/static-files/", {}),
     ("/static-files/lib", {}), ("/", {"Range": "bytes=0-9"}), ("/", {"Origin": "http://localhost:3000"}),
     ("/", {"Host": "evil.example.org"}), ("/", {"If-Modified-Since": "Sat, 21 Nov 2099 00:00:00 GMT"}),
     ("/", {"If-None-Match": '"one", "two"'}), ("/", {"If-None-Match": "*"}),
     ("/", {"X-MLflow-Workspace": "w"}), ("/build/index.html", {}), ("/no/such", {})],
)  # fmt: skip
def test_what_is_asked_in_an_unusual_way_is_answered_by_mlflow(
    server: Guarded, path: str, headers: dict[str, str]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    mine = (answer.status, answer.read())
    connection.close()
    status, _, body = direct(server, "GET", path, headers)
    assert mine == (status, body)
    assert b"import" not in body


def test_every_answer_has_one_date_and_one_server(server: Guarded) -> None:
    for path in ("/", "/static-files/none.js", f"{API}/experiments/get?experiment_id=0", "/ready", "/get-artifact"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        names = [name.lower() for name, _ in answer.getheaders()]
        assert (names.count("date"), names.count("server")) == (1, 1), path


def test_ready_tells_of_mlflow_of_the_fast_lane_and_of_artifacts(server: Guarded) -> None:
    answer = server.ask("GET", "/ready")
    assert answer.json() == {
        "ready": True,
        "problems": [],
        "fast_lane": {"on": True, "why": ""},
        "artifacts": {"streamed": False, "why": "artifacts are not in an S3 store"},
    }
    assert server.ask("HEAD", "/ready").content == b""


def test_what_happens_is_counted(server: Guarded) -> None:
    run = run_of(server)
    fast = {"route": "log-metric", "outcome": "fast"}
    before = counted(server, "homeport_tracking_requests_total", **fast)
    rows = counted(server, "homeport_tracking_group_rows_total")
    assert [log(server, run, step) for step in range(5)] == [200] * 5
    assert counted(server, "homeport_tracking_requests_total", **fast) == before + 5
    assert counted(server, "homeport_tracking_group_rows_total") > rows
    assert counted(server, "homeport_tracking_request_seconds_count", route="log-metric") == before + 5
    assert log(server, "0" * 32, 1) == 404  # MLflow's word for it
    left = {"route": "log-metric", "outcome": "passed"}
    assert counted(server, "homeport_tracking_requests_total", **left) == 1
    assert counted(server, "homeport_tracking_passed_total", status="4xx") >= 1
    assert counted(server, "homeport_tracking_fast_lane") == 1
    assert counted(server, "homeport_tracking_pool_connections", state="open") >= 1
    assert counted(server, "homeport_tracking_passing") == 0


def test_a_slow_request_is_a_line_in_the_log_without_its_query(server: Guarded) -> None:
    run = run_of(server)
    line = re.compile(rf"^slow: GET {API}/runs/get 200 [0-9.]+ s get-run fast [0-9]+ bytes$", re.MULTILINE)

    def logged() -> bool:
        server.ask("GET", f"{API}/runs/get?run_id={run}")
        return line.search(server.programs[-1].said) is not None

    eventually(logged)
    assert run not in server.programs[-1].said


def family(server: Guarded) -> tuple[psutil.Process, psutil.Process, psutil.Process]:
    """The front, MLflow's master, and its worker, once all are there."""
    master = psutil.Process(server.programs[-1].pid)
    eventually(lambda: len(master.children()) == 2 and len(master.children(recursive=True)) == 3, 60)
    front, private = master.children()
    if front.children():
        front, private = private, front
    return front, private, private.children()[0]


def test_whoever_is_killed_is_replaced_and_every_acknowledged_metric_is_there_once(
    make: Callable[..., Guarded], postgres: Server
) -> None:
    server = make().start()
    run = run_of(server)
    acknowledged: list[int] = []
    wrong: list[int] = []
    ended = threading.Event()

    def write(first: int) -> None:
        step = first
        while not ended.is_set():
            try:
                status = log(server, run, step)
            except requests.RequestException:
                status = 0
            if status == 200:
                acknowledged.append(step)
            elif status not in {0, 502, 503}:
                wrong.append(status)
            step += 4

    writers = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for writer in writers:
        writer.start()
    try:
        for victim in (2, 0, 1, 0):
            before = len(acknowledged)
            eventually(lambda before=before: len(acknowledged) > before + 20, 60)  # type: ignore[misc] # bound now
            killed = family(server)[victim]
            killed.kill()
            eventually(lambda: over(killed))  # noqa: B023 - asked at once
            eventually(lambda: server.ask("GET", "/health").ok if reachable(server) else False, 30)
            eventually(lambda: server.ask("GET", "/ready").ok, 60)
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    assert wrong == []
    name = server.env["MLFLOW_BACKEND_STORE_URI"].rpartition("/")[2]
    found = [step for (step,) in postgres.ask(f"SELECT step FROM metrics WHERE run_uuid = '{run}'", database=name)]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert server.ask("GET", f"{API}/runs/get?run_id={run}").json()["run"]["data"]["metrics"][0]["step"] == max(found)


def reachable(server: Guarded) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", server.port)) == 0


def test_the_page_is_there_before_mlflow_is_and_a_front_that_dies_meanwhile_is_replaced_and_the_rest_waits(
    make: Callable[..., Guarded],
) -> None:
    server = make()
    server.prepare()
    program = server.launch()

    def page() -> str:
        eventually(lambda: reachable(server))
        return server.ask("GET", "/").text

    assert "<script" in page()
    assert {problem["part"] for problem in server.ask("GET", "/ready").json()["problems"]} == {"mlflow"}
    front = min(psutil.Process(program.pid).children(), key=lambda child: child.pid)
    front.kill()
    eventually(lambda: over(front))
    assert "<script" in page()
    assert server.ask("GET", "/ready").status_code == 503  # so MLflow is still not there
    assert server.ask("GET", f"{API}/users/none").status_code == 404  # it waited
    assert server.ask("GET", "/ready").status_code == 200


def test_told_to_end_it_answers_what_mlflow_has_begun_and_leaves_nothing(make: Callable[..., Guarded]) -> None:
    server = make().start()
    with Line(server.port) as line:
        head = f"POST {API}/experiments/get-permission-or-none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
        line.say(head.encode() + b"{")
        eventually(lambda: counted(server, "homeport_tracking_passing") == 1)
        os.kill(server.programs[-1].pid, signal.SIGTERM)
        eventually(lambda: "Shutting down" in server.programs[-1].said)
        assert line.ask(b"}")[0] == 404  # MLflow's answer
    assert server.programs[-1].process.wait(20) == 0
    assert list(server.temporary.iterdir()) == []


@pytest.mark.parametrize("after", [0.5, 2.0])
def test_told_to_end_while_it_starts_it_ends_soon_and_leaves_nothing(
    make: Callable[..., Guarded], after: float
) -> None:
    server = make()
    program = server.launch()
    eventually(lambda: list(server.temporary.glob("homeport-mlflow-*")) != [])
    time.sleep(after)
    children = psutil.Process(program.pid).children(recursive=True)
    began = time.monotonic()
    program.stop(signal.SIGTERM)
    assert time.monotonic() - began < 5
    assert all(over(child) for child in children)
    assert list(server.temporary.iterdir()) == []
    assert "Traceback" not in program.said


def test_a_master_that_is_killed_takes_all_with_it_and_what_it_left_is_swept_by_the_next(
    make: Callable[..., Guarded],
) -> None:
    server = make().start()
    processes = psutil.Process(server.programs[-1].pid).children(recursive=True)
    (left,) = server.temporary.glob("homeport-mlflow-*")
    os.kill(server.programs[-1].pid, signal.SIGKILL)
    server.programs[-1].process.wait(20)
    eventually(lambda: all(over(each) for each in processes))
    assert left.exists()
    server.start()
    assert not left.exists()
    assert len(list(server.temporary.glob("homeport-mlflow-*"))) == 1


def test_requests_under_way_have_as_long_to_end_as_the_platform_says(monkeypatch: pytest.MonkeyPatch) -> None:
    application: Any = None
    assert front.listening(application).timeout_graceful_shutdown == 8
    monkeypatch.setenv("HOMEPORT_DRAIN_SECONDS", "18")
    assert front.listening(application).timeout_graceful_shutdown == 18
