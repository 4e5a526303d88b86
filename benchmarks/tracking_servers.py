"""What `tracking.py` measures: stock MLflow, Homeport, a server that does nothing, and what they stand on.

Refuses to know what is asked of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from measure import answers, wait_for
from startup import database

from homeport.supervisor.ports import choose

BIN = Path(sys.executable).parent
ADMIN, PASSWORD = "admin", "a-benchmark-password"
STORE = {
    "AWS_ACCESS_KEY_ID": "AKIABENCHMARK",
    "AWS_SECRET_ACCESS_KEY": "benchmark-secret",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "a static key",
}


@dataclass(frozen=True)
class Server:
    """One that is measured.

    Args:
        name: as the table has it.
        port: where it is, on 127.0.0.1.
        pid: its first process.
        database: address of its database; empty where it has none.
        login: `user:password`, where it asks.
    """

    name: str
    port: int
    pid: int
    database: str = ""
    login: str = ""

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


class Ground:
    """What all servers stand on: PostgreSQL, and an object store once somebody asks for it."""

    def __init__(self, root: Path, uri: str) -> None:
        self.root = root
        self.uri = uri.rpartition("/")[0]
        self.store: dict[str, str] = {}

    def create(self, name: str) -> str:
        """A new database; its address."""
        import psycopg2

        connection = psycopg2.connect(f"{self.uri}/postgres".replace("+psycopg2", ""))
        connection.autocommit = True
        connection.cursor().execute(f"create database {name}")
        connection.close()
        return f"{self.uri}/{name}"

    def artifacts(self, name: str) -> tuple[str, dict[str, str]]:
        """Where a server keeps artifacts, and the variables it needs for that."""
        if self.store:
            return f"s3://mlflow/{name}", self.store
        return str(self.root / f"artifacts-{name}"), {}


@contextmanager
def ground(root: Path, *, store: bool) -> Iterator[Ground]:
    """PostgreSQL, and with `store` the object store that `homeport up` brings."""
    with database(root) as (uri, _):
        found = Ground(root, uri)
        if not store:
            yield found
            return
        port = choose(set())
        env = {**STORE, "HOMEPORT_DATA": str(root / "objects"), "HOMEPORT_LISTEN_PORT": str(port)}
        with process([sys.executable, "-m", "homeport.objectstore.server"], env, root / "store.log"):
            found.store = {**STORE, "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
            job = {**found.store, "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow", "HOMEPORT_BUCKET_TIMEOUT": "30"}
            subprocess.run(
                [sys.executable, "-m", "homeport.objectstore.bucket"], env={**os.environ, **job}, check=True,
                capture_output=True,
            )  # fmt: skip
            yield found


@contextmanager
def process(command: list[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program, ended with all below it."""
    with log.open("ab") as out:
        started = subprocess.Popen(
            command, env={**os.environ, **env}, stdout=out, stderr=out, start_new_session=True, cwd=log.parent
        )
    try:
        yield started
    finally:
        with suppress(psutil.NoSuchProcess):
            below = psutil.Process(started.pid).children(recursive=True)
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGTERM)
            _, alive = psutil.wait_procs([psutil.Process(started.pid), *below], timeout=20)
            for each in alive:
                each.kill()
        started.wait()


@contextmanager
def stock(on: Ground, name: str = "stock") -> Iterator[Server]:
    """`mlflow server` with its defaults (four workers), job execution off so that it is at its best."""
    uri = on.create(name)
    port = choose(set())
    destination, env = on.artifacts(name)
    command = [
        str(BIN / "mlflow"), "server", "--port", str(port), "--backend-store-uri", uri, "--artifacts-destination",
        destination,
    ]  # fmt: skip
    with process(command, {**QUIET, **env}, on.root / f"{name}.log") as started:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), 180)
        yield Server("stock", port, started.pid, uri)


@contextmanager
def homeport(on: Ground, name: str = "homeport", *, login: bool = False) -> Iterator[Server]:
    """Homeport's tracking server as `homeport up` starts it."""
    uri = on.create(name)
    port = choose(set())
    destination, env = on.artifacts(name)
    settings = {
        **QUIET, **env, "MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_ARTIFACTS_DESTINATION": destination,
        "HOMEPORT_LISTEN_PORT": str(port), "HOMEPORT_WORKERS": "1",
    }  # fmt: skip
    if login:
        settings |= {
            "HOMEPORT_AUTH": "basic", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "HOMEPORT_SERVING_PASSWORD": "serving-password", "HOMEPORT_TRAINING_PASSWORD": "training-password",
        }  # fmt: skip
    job = [sys.executable, "-m", "homeport.tracking.migrate"]
    subprocess.run(job, env={**os.environ, **settings}, check=True, capture_output=True)
    with process([sys.executable, "-m", "homeport.tracking"], settings, on.root / f"{name}.log") as started:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/ready"), 180)
        yield Server("homeport", port, started.pid, uri, f"{ADMIN}:{PASSWORD}" if login else "")


@contextmanager
def nothing() -> Iterator[Server]:
    """A server in this process that writes nothing and answers at once: what a client costs by itself."""
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(_answer_nothing, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield Server("a server that answers nothing", listening.sockets[0].getsockname()[1], os.getpid())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _answer_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            await reader.readexactly(length)
            body = _RUN if b"/runs/create" in head or b"/runs/get" in head or b"/runs/update" in head else b"{}"
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            )
            await writer.drain()
    writer.close()


_INFO = {
    "run_id": "0" * 32, "run_uuid": "0" * 32, "experiment_id": "0", "status": "RUNNING", "start_time": 1,
    "artifact_uri": "mlflow-artifacts:/0/x/artifacts", "lifecycle_stage": "active", "run_name": "none", "user_id": "me",
}  # fmt: skip
_RUN = json.dumps({"run": {"info": _INFO, "data": {}, "inputs": {}}, "run_info": _INFO}).encode()
