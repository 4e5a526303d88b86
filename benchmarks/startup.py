"""Start-up time and memory of the whole stack: stock `mlflow server` and Homeport in turn, on one PostgreSQL.

Run it on an idle machine: `make bench-startup`. Prints medians, the spread and the ratios; asserts nothing.
Memory is PSS (proportional set size: shared pages counted once), in MB of 2**20 bytes, of every process of a stack,
PostgreSQL included on both sides, five seconds after it is ready.
"""

from __future__ import annotations

import argparse
import json
import os
import platform as machine
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from measure import Series, answers, pss_mb, wait_for

from homeport.platform import Platform
from homeport.supervisor.ports import choose

BIN = Path(sys.executable).parent
SETTLE = 5.0


@contextmanager
def database(root: Path) -> Iterator[tuple[str, int]]:
    """A PostgreSQL with an empty database `mlflow` for the stock server: its URI and its process."""
    port = choose(set())
    (root / "password").write_text("benchmark")
    env = {
        **os.environ,
        "HOMEPORT_DATA": str(root / "database"),
        "HOMEPORT_LISTEN_HOST": "127.0.0.1",
        "HOMEPORT_LISTEN_PORT": str(port),
        "POSTGRES_USER": "mlflow",
        "POSTGRES_DB": "mlflow",
        "POSTGRES_PASSWORD_FILE": str(root / "password"),
    }
    (root / "database").mkdir()
    with (root / "database.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "homeport.database"], env=env, stdout=log, stderr=log)
    uri = f"postgresql+psycopg2://mlflow:benchmark@127.0.0.1:{port}/mlflow"
    try:
        wait_for(lambda: connects(uri), 60)
        yield uri, process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def connects(uri: str) -> bool:
    """Whether a session can be opened."""
    import psycopg2

    try:
        psycopg2.connect(uri.replace("+psycopg2", "")).close()
    except psycopg2.OperationalError:
        return False
    return True


def stock(uri: str, database_pid: int, root: Path, *, jobs: bool) -> tuple[float, float]:
    """Seconds until stock `mlflow server` with its defaults answers /health, and the stack's PSS in MB."""
    port = choose(set())
    env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": str(jobs).lower()}
    command = [
        str(BIN / "mlflow"),
        "server",
        "--backend-store-uri",
        uri,
        "--artifacts-destination",
        str(root / "artifacts"),
    ]
    begin = time.monotonic()
    with (root / "stock.log").open("ab") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)], env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), 300)
        took = time.monotonic() - begin
        time.sleep(SETTLE)
        return took, pss_mb([server.pid, database_pid])
    finally:
        below = psutil.Process(server.pid).children(recursive=True)
        os.killpg(server.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs([psutil.Process(server.pid), *below], timeout=20)
        for process in alive:  # the stock job runner outlives its server
            process.kill()


def homeport(home: Path) -> tuple[float, float]:
    """Seconds until `homeport up --detach` returns, and the stack's PSS in MB; stopped again, data kept."""
    command = [str(BIN / "homeport"), "--home", str(home)]
    begin = time.monotonic()
    subprocess.run([*command, "up", "--detach"], check=True, capture_output=True)
    took = time.monotonic() - begin
    time.sleep(SETTLE)
    found = json.loads((home / "run" / "state.json").read_text())
    size = pss_mb([int(found["pid"])])
    subprocess.run([*command, "down"], check=True, capture_output=True)
    return took, size


def status_seconds(home: Path) -> float:
    """Seconds `homeport status` takes while the platform runs."""
    begin = time.monotonic()
    subprocess.run([str(BIN / "homeport"), "--home", str(home), "status"], check=True, capture_output=True)
    return time.monotonic() - begin


def help_seconds() -> float:
    """Seconds `homeport --help` takes."""
    begin = time.monotonic()
    subprocess.run([str(BIN / "homeport"), "--help"], check=True, capture_output=True)
    return time.monotonic() - begin


def main() -> None:
    """Measure in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default 3)")
    rounds = parser.parse_args().rounds
    names = (
        "stock, empty database", "stock, second start", "stock PSS, defaults", "stock PSS, jobs off",
        "homeport first up", "homeport second up", "homeport PSS", "homeport status", "homeport --help",
    )  # fmt: skip
    found = {name: Series(name) for name in names}
    for _ in range(rounds):
        root = Path(tempfile.mkdtemp(prefix="homeport-bench-"))
        try:
            measure(root, found)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    show(found)


def measure(root: Path, found: dict[str, Series]) -> None:
    """One round: stock, then Homeport, each with nothing else running."""
    with database(root) as (uri, pid):
        first, size = stock(uri, pid, root, jobs=True)
        second, _ = stock(uri, pid, root, jobs=True)
        _, quiet = stock(uri, pid, root, jobs=False)
    for name, value in (
        ("stock, empty database", first), ("stock, second start", second),
        ("stock PSS, defaults", size), ("stock PSS, jobs off", quiet),
    ):  # fmt: skip
        found[name].values.append(value)
    home = root / "home"
    home.mkdir()
    (home / "homeport.toml").write_text("tracking_port = 0\n")
    first, _ = homeport(home)
    second, size = homeport(home)
    with Platform(settings=Platform.private(home).settings):
        took = [status_seconds(home) for _ in range(5)]
    for name, value in (
        ("homeport first up", first), ("homeport second up", second), ("homeport PSS", size),
        ("homeport status", statistics.median(took)),
        ("homeport --help", statistics.median(help_seconds() for _ in range(5))),
    ):  # fmt: skip
        found[name].values.append(value)


def show(found: dict[str, Series]) -> None:
    """The table and the ratios the project promises."""
    print(f"{os.cpu_count()} cores, {machine.machine()}, Python {machine.python_version()}; times in s, memory in MB")
    print(f"{'':24} {'median':>8}   spread")
    for series in found.values():
        digits = f"{series.median:8.3f}   {min(series.values):.3f} to {max(series.values):.3f}"
        print(f"{series.name:24} {digits if series.median < 1 else series}")
    for title, ours, theirs, bar in (
        ("first up / stock on an empty database", "homeport first up", "stock, empty database", 0.7),
        ("second up / stock's second start", "homeport second up", "stock, second start", 0.5),
        ("PSS / stock's defaults", "homeport PSS", "stock PSS, defaults", 0.5),
        ("PSS / stock with jobs off", "homeport PSS", "stock PSS, jobs off", None),
    ):
        ratio = found[ours].median / found[theirs].median
        print(f"{title:40} {ratio:5.2f}" + (f"   (bar: at most {bar})" if bar else ""))


if __name__ == "__main__":
    main()
