"""Stock MLflow and Homeport side by side, each on a database of its own in one PostgreSQL: as a fixture and by hand.

By hand: `python -m tests.differential.pair` starts both, prints their addresses, and ends them with Ctrl-C.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import requests

from tests.programs.database.programs import Program, environment, eventually, free_port
from tests.programs.database.rooms import make_room
from tests.programs.database.server import PASSWORD, Server, serving

COMMON = {
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "a static key",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_AI_GATEWAY": "false",
    "PYTHONHASHSEED": "0",  # some of upstream's messages print sets
}


@dataclass(frozen=True)
class Side:
    """One of the two servers."""

    name: str
    url: str
    database: str  # its name in the shared PostgreSQL
    uri: str
    pid: int


def uri(server: Server, database: str) -> str:
    return f"postgresql+psycopg2://mlflow:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/{database}"


@contextmanager
def homeport(server: Server, room: Path, database: str, **env: str) -> Iterator[Side]:
    """Homeport's tracking server, its schema made before."""
    server.ask(f"CREATE DATABASE {database}", database="postgres")
    port = free_port()
    settings = {
        **COMMON,
        "MLFLOW_BACKEND_STORE_URI": uri(server, database),
        "MLFLOW_ARTIFACTS_DESTINATION": str(room / "artifacts"),
        "HOMEPORT_LISTEN_PORT": str(port),
        "HOMEPORT_WORKERS": "1",
        **env,
    }
    Program("homeport.tracking.migrate", settings, room).wait()
    program = Program("homeport.tracking", settings, room)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(program.process, f"{url}/ready", program.log), 90)
        yield Side("homeport", url, database, uri(server, database), program.pid)
    finally:
        program.end()


@contextmanager
def stock(server: Server, room: Path, database: str, workers: int = 1, **env: str) -> Iterator[Side]:
    """`mlflow server` as it comes, with its background jobs off."""
    server.ask(f"CREATE DATABASE {database}", database="postgres")
    room.mkdir(parents=True, exist_ok=True)
    port = free_port()
    log = room / "log"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers),
        "--backend-store-uri", uri(server, database), "--artifacts-destination", str(room / "artifacts"),
        "--serve-artifacts",
    ]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment({**COMMON, **env}), stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(process, f"{url}/health", log), 120)
        yield Side("stock", url, database, uri(server, database), process.pid)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


@contextmanager
def postgres() -> Iterator[Server]:
    """A PostgreSQL for both."""
    room = make_room()
    try:
        with serving(room / "data", room) as server:
            yield server
    finally:
        shutil.rmtree(room)


def _answers(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text(errors="replace")
    try:
        return requests.get(url, timeout=30).ok
    except requests.ConnectionError:
        return False


def main() -> None:
    """Both, until Ctrl-C; with the argument `homeport` or `stock`, that one only."""
    which = sys.argv[1:] or ["homeport", "stock"]
    with tempfile.TemporaryDirectory() as directory, postgres() as server:
        room = Path(directory)
        with ExitStack() as stack:
            for name in which:
                start = homeport if name == "homeport" else stock
                side = stack.enter_context(start(server, room / name, name))
                sys.stdout.write(f"{name}: {side.url}  pid {side.pid}  log {room / name}\n")
            sys.stdout.write(f"psql: {uri(server, which[0])}\n")
            sys.stdout.flush()
            signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
