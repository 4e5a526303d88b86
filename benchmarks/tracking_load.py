"""Load for `tracking.py`: wrk with a script, pgbench, MLflow's own client, files. Refuses to know what is compared."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import psutil
from measure import pss_mb
from tracking_servers import Server

from homeport.database.binaries import find_binaries

WARM = 2.0  # seconds before the first round, not counted
API = "/api/2.0/mlflow"
# Every request of log-metric and create-run is a new one: `n` counts them.
_SCRIPT = """
local n = {start}
local headers = {{["Content-Type"] = "application/json"{authorization}}}
request = function()
  n = n + 1
  return wrk.format("{method}", "{path}", headers, {body})
end
"""


@dataclass
class Rates:
    """All rounds of one measurement of one server: how much a second, and how many requests failed."""

    unit: str
    values: list[float] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)  # p50 and p99, ms
    failed: int = 0

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values) if self.values else 0.0

    def __str__(self) -> str:
        """Median and spread."""
        digits = 0 if self.median >= 100 else 1
        low, high = min(self.values, default=0), max(self.values, default=0)
        text = f"{self.median:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f}) {self.unit}"
        return text + (f", {self.failed} FAILED" if self.failed else "")

    @property
    def latency(self) -> str:
        """p50 / p99 in ms, medians of the rounds."""
        if not self.latencies:
            return ""
        middle = [statistics.median(column) for column in zip(*self.latencies, strict=True)]
        return f"{middle[0]:.2f} / {middle[1]:.1f} ms"


@dataclass(frozen=True)
class Shot:
    """A request wrk repeats.

    Args:
        method: in upper case.
        path: with query.
        body: a Lua expression over `n`; `nil` for none.
        connections: kept alive, that many at once.
    """

    method: str
    path: str
    body: str = "nil"
    connections: int = 8


def lua(text: str) -> str:
    """A text as a Lua expression, `#n#` in it replaced by the counter."""
    return f'(string.gsub([==[{text}]==], "#n#", string.format("%d", n)))'


_count = 0


def wrk(server: Server, shot: Shot, seconds: float, room: Path, rates: Rates) -> None:
    """One round, added to `rates`."""
    global _count  # noqa: PLW0603 - a new range of numbers for each round, so that none repeats
    _count += 1
    login = base64.b64encode(server.login.encode()).decode()
    script = room / "request.lua"
    script.write_text(
        _SCRIPT.format(
            start=_count * 10_000_000, method=shot.method, path=shot.path, body=shot.body,
            authorization=f', ["Authorization"] = "Basic {login}"' if server.login else "",
        )
    )  # fmt: skip
    command = [
        "wrk", "-t1", f"-c{shot.connections}", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "30s",
        "-s", str(script), server.url,
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    if done.stderr.strip():  # a script that does not load leaves wrk asking for something else
        raise SystemExit(f"wrk: {done.stderr.strip()}")
    text = done.stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    latency = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+\w+)", text, flags=re.M))
    errors = [int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", text)]
    for counts in re.findall(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text):
        errors += map(int, counts)
    rates.values.append(float(rate[1]) if rate else 0.0)
    rates.failed += sum(errors) + (0 if rate and float(rate[1]) > 0 else 1)
    if latency:
        rates.latencies.append((_ms(latency["50"]), _ms(latency["99"])))


def _ms(text: str) -> float:
    number, unit = re.match(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr] # wrk's form
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit]


def pgbench(uri: str, run_id: str, clients: int, seconds: float, room: Path) -> float:
    """Single-row inserts of metrics a second, each committed: what the database itself can take."""
    parts = urlsplit(uri)
    script = room / "insert.sql"
    script.write_text(
        "\\set step random(1, 9000000000000000)\n"
        "insert into metrics (key, value, timestamp, run_uuid, step, is_nan) "
        f"values ('loss', 0.5, 1700000000000, '{run_id}', :step, false);\n"
    )
    command = [
        str(find_binaries() / "pgbench"), "-n", "-f", str(script), "-c", str(clients), "-j", "1", "-M", "prepared",
        "-T", str(max(1, round(seconds))), "-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username),
        parts.path.strip("/"),
    ]  # fmt: skip
    env = {**os.environ, "PGPASSWORD": str(parts.password)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if found is None and "actually processed: 0" in done.stdout:
        return 0.0  # the time was over before its connections stood
    if found is None:
        raise RuntimeError(f"pgbench ended with {done.returncode}: {done.stdout}{done.stderr}")
    return float(found[1])


_LOOP = """
import sys, time, mlflow
seconds = float(sys.argv[1])
mlflow.set_tracking_uri(sys.argv[2])
with mlflow.start_run(experiment_id="0"):
    mlflow.log_metric("loss", 0.5, step=0)
    count, begin = 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        count += 1
        mlflow.log_metric("loss", 0.5, step=count)
    print(count / (time.monotonic() - begin))
"""


def client(server: Server, seconds: float) -> float:
    """`mlflow.log_metric` in a loop, a second."""
    command = [sys.executable, "-W", "ignore", "-c", _LOOP, str(seconds), server.url]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**env, "MLFLOW_DISABLE_TELEMETRY": "true"}
    )
    return float(next(line for line in done.stdout.splitlines() if re.fullmatch(r"[\d.]+", line)))


def ask(server: Server, method: str, path: str, body: Any = None) -> Any:
    """One call, checked; its JSON."""
    headers = {"content-type": "application/json"}
    if server.login:
        headers["authorization"] = "Basic " + base64.b64encode(server.login.encode()).decode()
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(server.url + path, data=data, headers=headers, method=method), timeout=120) as answer:
        return json.loads(answer.read() or b"null")


def upload(server: Server, path: str, size: int) -> float:
    """One artifact of `size` bytes put; MB a second."""
    piece = os.urandom(2**20)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    begin = time.monotonic()
    connection.request(
        "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", (piece for _ in range(size // len(piece))),
        {"Content-Length": str(size), "Content-Type": "application/octet-stream"},
    )  # fmt: skip
    answer = connection.getresponse()
    answer.read()
    took = time.monotonic() - begin
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{server.name}: upload answered {answer.status}")
    return size / 1e6 / took


def download(server: Server, path: str, size: int) -> float:
    """The same artifact got; MB a second."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    begin = time.monotonic()
    connection.request("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}")
    answer = connection.getresponse()
    got = 0
    while piece := answer.read(2**20):
        got += len(piece)
    took = time.monotonic() - begin
    connection.close()
    if answer.status != 200 or got != size:
        raise RuntimeError(f"{server.name}: download answered {answer.status} with {got} of {size} bytes")
    return size / 1e6 / took


@contextmanager
def watching(pids: Sequence[int], server: Server) -> Iterator[list[list[float]]]:
    """The PSS in MB of all of a server's processes, and of each of `pids` by itself, every quarter of a second."""

    def look() -> list[float]:
        return [pss_mb([server.pid]), *(pss_mb([pid]) for pid in pids)]

    found = [look()]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.25):
            found.append(look())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def front(server: Server) -> int:
    """Homeport's front: of the two processes its server forks the first (homeport.tracking.server)."""
    return min(child.pid for child in psutil.Process(server.pid).children())
