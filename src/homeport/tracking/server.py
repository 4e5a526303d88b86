"""The tracking server's processes: MLflow is imported once, then workers are forked from that image.

Stock `mlflow server` imports MLflow in a parent and again in each of four workers: on two cores that is most of its
20 to 37 seconds of start-up and of its memory. Importing once and forking shares both (docs/adr/0003). Knows MLflow's
settings by environment; refuses to know who started it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from homeport.errors import HomeportError

# A worker that dies this often within this many seconds is not restarted again: the fault is not the worker's.
_MOST_DEATHS, _DEATHS_WINDOW = 5, 30.0
_DRAIN_SECONDS = 8


@dataclass(frozen=True)
class ServerConfig:
    """What the server needs to know, read from the environment once."""

    host: str
    port: int
    workers: int
    threads: int
    backend_store_uri: str
    artifacts_destination: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> ServerConfig:
        """Read it, or say which variable is missing."""
        try:
            return cls(
                host=environ.get("HOMEPORT_LISTEN_HOST", "127.0.0.1"),
                port=int(environ.get("HOMEPORT_LISTEN_PORT", "5000")),
                workers=int(environ.get("HOMEPORT_WORKERS", "1")),
                threads=int(environ.get("HOMEPORT_THREADS", "24")),
                backend_store_uri=environ["MLFLOW_BACKEND_STORE_URI"],
                artifacts_destination=environ["MLFLOW_ARTIFACTS_DESTINATION"],
            )
        except (KeyError, ValueError) as error:
            raise HomeportError(
                code="TRACKING_MISCONFIGURED",
                what="the tracking server lacks a setting it needs",
                evidence=(("variable", str(error)),),
                fix="start it with: homeport up",
            ) from error


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    config = ServerConfig.from_environ(os.environ)
    os.environ.update(_upstream_environ(config))
    _make_directory(config.artifacts_destination)
    listeners = _listeners(config)  # before the seconds of import: a taken port is said at once
    application = _import_upstream()
    if os.environ.get("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "").lower() == "true":
        _launch_job_runner(config)
    _Master(config, application, listeners).run()


def _upstream_environ(config: ServerConfig) -> dict[str, str]:
    """What `mlflow server` passes to its workers (mlflow 3.17.2, server/__init__.py `_run_server`)."""
    import uuid

    return {
        "_MLFLOW_SERVER_FILE_STORE": config.backend_store_uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": config.backend_store_uri,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": config.artifacts_destination,
        # Not a path and not a bucket: clients ask the server, which alone knows where artifacts are.
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_BOOT_ID": uuid.uuid4().hex,
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        "_MLFLOW_SGI_NAME": "uvicorn",
    }


def _make_directory(destination: str) -> None:
    """Artifacts in a directory need the directory; everywhere else a job has made the bucket."""
    parts = urlsplit(destination)
    if parts.scheme not in {"", "file"}:
        return
    directory = Path(unquote(parts.path) if parts.scheme else destination)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HomeportError(
            code="ARTIFACTS_NOT_WRITABLE",
            what="the artifact directory cannot be made",
            evidence=(("directory", str(directory)), ("error", error.strerror or str(error))),
            fix="set MLFLOW_ARTIFACTS_DESTINATION to a directory of yours",
        ) from error


def _listeners(config: ServerConfig) -> list[socket.socket]:
    """One bound socket a worker where the kernel spreads connections over them (Linux), else one for all.

    With one shared socket, keep-alive connections often all land on one worker and the others idle.
    """
    count = config.workers if sys.platform == "linux" else 1
    sockets = []
    for _ in range(count):
        listener = socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if count > 1:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            listener.bind((config.host, config.port))
        except OSError as error:
            raise HomeportError(
                code="PORT_TAKEN",
                what=f"the tracking server cannot listen on {config.host}:{config.port}",
                evidence=(("error", error.strerror or str(error)),),
                why="another program listens there",
                fix="stop that program, or choose another port: HOMEPORT_TRACKING_PORT",
            ) from error
        sockets.append(listener)
    return sockets


def _import_upstream() -> Any:  # noqa: ANN401 - MLflow is untyped here
    with warnings.catch_warnings():
        # Upstream's own bridge to Flask; nothing a user could do about it.
        warnings.filterwarnings("ignore", message=".*starlette.middleware.wsgi is deprecated.*")
        from mlflow.server.fastapi_app import app
    return app


def _launch_job_runner(config: ServerConfig) -> None:
    """MLflow's background job runner, as `mlflow server` starts it (3.17.2); it ends when this process does."""
    from mlflow.server.jobs.utils import _check_requirements, _launch_job_execution_runner

    _check_requirements(config.backend_store_uri)
    storage = tempfile.mkdtemp(prefix="homeport-jobs-")
    os.environ["_MLFLOW_HUEY_STORAGE_PATH"] = storage
    uri = f"http://{config.host}:{config.port}"
    env = {**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_GATEWAY_URI": os.environ.get("MLFLOW_GATEWAY_URI", uri)}
    _launch_job_execution_runner(env, os.getpid())


class _Master:
    """Forks the workers, replaces one that dies, and passes on what stops them."""

    def __init__(self, config: ServerConfig, application: Any, listeners: list[socket.socket]) -> None:  # noqa: ANN401 - an ASGI application
        self._config = config
        self._application = application
        self._listeners = listeners
        self._workers: dict[int, int] = {}  # pid -> index
        self._turn = tempfile.TemporaryFile()  # noqa: SIM115 - held for life
        self._deaths: list[float] = []
        self._stopping = False

    def run(self) -> None:
        """Serve until told to stop; raises HomeportError when workers keep dying."""
        for listener in self._listeners:
            listener.listen(2048)
        # What is alive now is shared by all workers; the collector must not touch it and so copy its pages.
        gc.collect()
        gc.freeze()
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, self._on_stop)
        for index in range(self._config.workers):
            self._fork(index)
        while self._workers:
            pid, status = os.wait()
            if pid in self._workers:  # others are children of upstream's own, such as its job runner
                self._on_death(self._workers.pop(pid), status)

    def _fork(self, index: int) -> None:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                listener = self._listeners[index % len(self._listeners)]
                _serve_worker(self._config, self._application, listener, self._turn.fileno())
                code = 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        self._workers[pid] = index
        if self._stopping:  # the signal came between the fork and the line above
            os.kill(pid, signal.SIGTERM)

    def _on_death(self, index: int, status: int) -> None:
        if self._stopping:
            return
        code = os.waitstatus_to_exitcode(status)
        now = time.monotonic()
        self._deaths = [at for at in self._deaths if now - at < _DEATHS_WINDOW] + [now]
        sys.stderr.write(f"worker {index} ended ({code}), starting another\n")
        if len(self._deaths) >= _MOST_DEATHS:
            self._on_stop(signal.SIGTERM, None)
            raise HomeportError(
                code="TRACKING_WORKERS_DIE",
                what=f"the tracking server's workers ended {_MOST_DEATHS} times within {_DEATHS_WINDOW:.0f} s",
                evidence=(("last exit", str(code)),),
                why="what ended them stands in the lines above this one in the log",
                fix="homeport logs tracking",
            )
        self._fork(index)

    def _on_stop(self, sig: int, _frame: object) -> None:
        self._stopping = True
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def _serve_worker(config: ServerConfig, upstream: Any, listener: socket.socket, turn: int) -> None:  # noqa: ANN401 - an ASGI application
    import fcntl

    import uvicorn
    from mlflow.server.handlers import initialize_backend_stores

    from homeport.tracking.app import front
    from homeport.tracking.readiness import Readiness

    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, signal.SIG_DFL)  # until uvicorn takes them
    _die_with_parent()
    # Connections are opened here, never before the fork: two processes on one connection corrupt it.
    # One worker after the other: upstream's check for the experiment "Default" is no check when two do it at once.
    fcntl.lockf(turn, fcntl.LOCK_EX)
    initialize_backend_stores(config.backend_store_uri, config.backend_store_uri, "mlflow-artifacts:/")
    fcntl.lockf(turn, fcntl.LOCK_UN)
    readiness = Readiness(config.backend_store_uri, config.artifacts_destination)
    server = uvicorn.Server(
        uvicorn.Config(
            front(upstream, readiness.check, config.threads),
            log_level="info",
            access_log=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
    )
    server.run(sockets=[listener])


def _die_with_parent() -> None:
    """A worker whose master was killed serves nobody: end with it (Linux; elsewhere whoever runs the group ends it)."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
