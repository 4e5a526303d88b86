"""kill -9 of every process while eight writers log: what was acknowledged is there, once, and nothing is half there."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.differential import pair
from tests.programs.database.programs import Program, eventually, free_port
from tests.programs.database.rooms import make_room
from tests.programs.database.server import Server, run, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WRITERS = 8
ACKNOWLEDGED = 150  # more of them before the next kill
AGAIN = 0.05  # seconds a writer waits when nobody answered
# A dead worker is replaced; too many within half a minute end the server, which is then started again.
KILLED = ("child", "postgres", "child", "server", "child", "postgres", "child", "child", "server", "postgres")


class Tracking:
    """Homeport's tracking server, started as often as it is killed."""

    def __init__(self, server: Server, room: Path, database: str) -> None:
        self.port = free_port()
        self._room = room
        self._settings = {
            **pair.COMMON,
            "MLFLOW_BACKEND_STORE_URI": pair.uri(server, database),
            "MLFLOW_ARTIFACTS_DESTINATION": str(room / "artifacts"),
            "HOMEPORT_LISTEN_PORT": str(self.port),
            "HOMEPORT_WORKERS": "1",
        }
        server.ask(f"CREATE DATABASE {database}", database="postgres")
        Program("homeport.tracking.migrate", self._settings, room).wait()
        self.program = Program("homeport.tracking", self._settings, room)

    def again(self) -> None:
        """Whatever is left ends, another begins."""
        self.program.end()
        self.program = Program("homeport.tracking", self._settings, self._room)

    def kill_child(self, chance: random.Random) -> None:
        """kill -9 of one process below the first: the front, the private master or one of its workers."""
        with suppress(psutil.NoSuchProcess, IndexError):
            chance.choice(psutil.Process(self.program.pid).children(recursive=True)).kill()
        if self.program.process.poll() is not None:
            self.again()


@dataclass
class Written:
    """What one writer sent: (call, body, whether it was acknowledged)."""

    sent: list[tuple[str, dict[str, Any], bool]] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        return sum(sure for _, _, sure in self.sent)


def metric(writer: int, number: int, index: int = 0) -> dict[str, Any]:
    return {
        "key": f"m{(writer + index) % 5}", "value": number + index / 1000, "timestamp": number,
        "step": number * 100 + index + writer * 10_000_000,
    }  # fmt: skip


def requests_of(writer: int, run_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for n in itertools.count():
        yield "log-metric", {"run_id": run_id, **metric(writer, 4 * n)}
        yield "log-parameter", {"run_id": run_id, "key": f"p.{writer}.{n}", "value": f"{writer}/{n}"}
        yield "set-tag", {"run_id": run_id, "key": f"t.{writer}.{n}", "value": f"{writer}/{n}"}
        yield "log-batch", {
            "run_id": run_id,
            "metrics": [metric(writer, 4 * n + 1, index) for index in range(20)],
            "params": [{"key": f"bp.{writer}.{n}.{index}", "value": str(index)} for index in range(5)],
            "tags": [{"key": f"bt.{writer}.{n}.{index}", "value": str(index)} for index in range(5)],
        }  # fmt: skip


def write(port: int, writer: int, run_id: str, written: Written, over: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for call, body in requests_of(writer, run_id):
        sure = False
        try:
            connection.request(
                "POST", f"/api/2.0/mlflow/runs/{call}", json.dumps(body), {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            sure = answer.read().strip() == b"{}" and answer.status == 200
        except (OSError, http.client.HTTPException):
            connection.close()
        written.sent.append((call, body, sure))
        if over.is_set():
            connection.close()
            return
        if not sure:
            time.sleep(AGAIN)


@contextmanager
def writing(port: int, runs: list[str]) -> Iterator[list[Written]]:
    over = threading.Event()
    logs = [Written() for _ in range(WRITERS)]
    threads = [
        threading.Thread(target=write, args=(port, n, runs[n % len(runs)], log, over)) for n, log in enumerate(logs)
    ]
    for thread in threads:
        thread.start()
    try:
        yield logs
    finally:
        over.set()
        for thread in threads:
            thread.join()


def made(tracking: Tracking) -> list[str]:
    """Two runs that all writers share."""
    url = f"http://127.0.0.1:{tracking.port}"

    def ready() -> bool:
        with suppress(requests.ConnectionError):
            return requests.get(f"{url}/ready", timeout=30).ok
        return False

    eventually(ready, 90)
    create = f"{url}/api/2.0/mlflow/runs/create"
    return [
        str(requests.post(create, json={"experiment_id": "0"}, timeout=30).json()["run"]["info"]["run_id"])
        for _ in range(2)
    ]


Row = tuple[Any, ...]


def rows_of(call: str, body: dict[str, Any]) -> list[Row]:
    """What one request leaves, as (table, run, key, …)."""
    run_id = body["run_id"]
    batch = body if call == "log-batch" else {}
    metrics = [body] if call == "log-metric" else batch.get("metrics", [])
    params = [body] if call == "log-parameter" else batch.get("params", [])
    tags = [body] if call == "set-tag" else batch.get("tags", [])
    return [
        *(("metrics", run_id, m["key"], m["value"], m["timestamp"], m["step"]) for m in metrics),
        *(("params", run_id, p["key"], p["value"]) for p in params),
        *(("tags", run_id, t["key"], t["value"]) for t in tags),
    ]


def found_in(connection: Any) -> Counter[Row]:
    found: Counter[Row] = Counter()
    for table, columns in (
        ("metrics", "run_uuid, key, value, timestamp, step"), ("params", "run_uuid, key, value"),
        ("tags", "run_uuid, key, value"),
    ):  # fmt: skip
        where = "where key like '%.%'" if table == "tags" else ""
        found.update((table, *row) for row in run(connection, f"select {columns} from {table} {where}"))
    return Counter({row: count for row, count in found.items() if row[2] != "mlflow.runName"})


def test_killed_at_random_every_acknowledged_write_is_there_exactly_once_and_none_is_half_there() -> None:
    chance = random.Random(5)
    room = make_room()
    with serving(room / "data", room) as server:
        tracking = Tracking(server, room / "tracking", "killed")
        try:
            runs = made(tracking)
            with writing(tracking.port, runs) as logs:
                for killed in KILLED:
                    target = sum(log.acknowledged for log in logs) + ACKNOWLEDGED
                    eventually(lambda target=target: sum(log.acknowledged for log in logs) >= target, 90)  # type: ignore[misc] # a default binds the loop's value
                    if killed == "child":
                        tracking.kill_child(chance)
                    elif killed == "server":
                        tracking.again()
                    else:
                        server.end()
                        server.start()
                target = sum(log.acknowledged for log in logs) + ACKNOWLEDGED
                eventually(lambda: sum(log.acknowledged for log in logs) >= target, 90)
        finally:
            tracking.program.end()
        with closing(server.connect(database="killed")) as connection:
            found = found_in(connection)
            latest = run(connection, "select run_uuid, key, step, timestamp, value from latest_metrics")
    shutil.rmtree(room)
    check(logs, found, latest)


def check(logs: list[Written], found: Counter[Row], latest: list[Row]) -> None:
    sent = [(call, rows_of(call, body), sure) for log in logs for call, body, sure in log.sent]
    lost = [row for _, rows, sure in sent if sure for row in rows if found[row] != 1]
    assert not lost, f"{len(lost)} acknowledged rows are not there once: {lost[:5]}"
    known = {row for _, rows, _ in sent for row in rows}
    assert not set(found) - known, f"rows nobody sent: {list(set(found) - known)[:5]}"
    assert set(found.values()) == {1}
    half = [rows for _, rows, _ in sent if 0 < sum(row in found for row in rows) < len(rows)]
    assert not half, f"{len(half)} batches are half there: {half[0]}"
    assert any(not sure for _, _, sure in sent), "nothing was cut short: the kills did not meet the writers"
    greatest: dict[Row, Row] = defaultdict(lambda: (-1, -1, -1.0))
    for row in found:
        if row[0] == "metrics":
            _, run_id, key, value, timestamp, step = row
            greatest[run_id, key] = max(greatest[run_id, key], (step, timestamp, value))
    assert {(row[0], row[1]): tuple(row[2:]) for row in latest} == dict(greatest)
