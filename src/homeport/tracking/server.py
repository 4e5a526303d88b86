"""The tracking server's processes: MLflow is imported once, then workers are forked from that image.

Stock `mlflow server` imports MLflow in a parent and again in each of four workers: on two cores that is most of its
20 to 37 seconds of start-up and of its memory. Importing once and forking shares both (docs/adr/0003). Knows MLflow's
settings by environment; how workers are made stands in `prefork.py`; refuses to know who started it.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from homeport import exposure, marker, program
from homeport.errors import HomeportError
from homeport.prefork import Master, listeners
from homeport.tracking import accounts, internal, lost_connections, private_store, room, upstream
from homeport.tracking.artifacts import public
from homeport.tracking.backend_store import name_driver
from homeport.tracking.near import as_if_direct
from homeport.tracking.readiness import Readiness

_FRONT = 0  # the other one is MLflow's
_DRAIN_SECONDS = 2  # the front, which is MLflow's only client, has ended by then
_BACKLOG = 2048
_JOBS_TOKEN = "_MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(frozen=True)
class ServerConfig:
    """What the server needs to know, read from the environment once."""

    host: str
    port: int
    workers: int
    threads: int
    backend_store_uri: str
    artifacts_destination: str
    basic_auth: bool = False
    shared_artifacts: str = ""

    @property
    def artifact_root(self) -> str:
        """Where new experiments keep their artifacts, as clients are told.

        Not a path and not a bucket: clients ask the server, which alone knows where artifacts are. Only where a
        directory is shared by all of them do they go there themselves.
        """
        return self.shared_artifacts or "mlflow-artifacts:/"

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
                basic_auth=exposure.authentication(environ) is exposure.Authentication.BASIC,
                shared_artifacts=environ.get("HOMEPORT_SHARED_ARTIFACTS", ""),
            )
        except (KeyError, ValueError) as error:
            raise HomeportError(
                code="TRACKING_MISCONFIGURED",
                what="the tracking server lacks a setting it needs",
                evidence=(("variable", str(error)),),
                fix="start it with: homeport up",
            ) from error


def main() -> None:
    """Serve until SIGTERM or SIGINT.

    Two processes are forked: the front, which answers at once, and one that imports MLflow and forks its workers.

    Raises:
        HomeportError: a setting is missing or wrong, the port is taken, or processes keep dying.
    """
    name_driver(os.environ)
    config = ServerConfig.from_environ(os.environ)
    exposure.check("the tracking server", config.host, asks=config.basic_auth, fix=f"set {exposure.VARIABLE}=basic")
    public.endpoint_of(os.environ)  # said before the seconds of import
    os.environ.update(_upstream_environ(config))
    _make_directory(config.artifacts_destination)
    shared = _marked(config.shared_artifacts)
    # Before the seconds of import: a taken port is said at once.
    sockets = listeners("the tracking server", config.host, config.port, 1, "HOMEPORT_TRACKING_PORT")
    jobs = os.environ.get("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "").lower() == "true"
    if config.basic_auth:
        program.secret("MLFLOW_FLASK_SERVER_SECRET_KEY")  # upstream's error for it names no fix of ours
        if jobs:
            os.environ[_JOBS_TOKEN] = secrets.token_hex(32)
    with room.made() as directory, tempfile.TemporaryFile() as turn:
        doors = [str(Path(directory) / f"{index}.sock") for index in range(config.workers)]

        def serve_private(listener: socket.socket) -> None:
            """MLflow, imported once, and its workers."""
            application = _with_users(config) if config.basic_auth else upstream.plain()
            private_store.apply()
            public.apply()
            lost_connections.apply()
            readiness = Readiness(config.backend_store_uri, config.artifacts_destination, users=config.basic_auth)
            if jobs:
                _launch_job_runner(config, directory)

            def serve(index: int, _listener: socket.socket) -> None:
                _serve_worker(config, application, doors[index], turn.fileno(), shared=shared, readiness=readiness)

            Master(name="tracking", count=config.workers, serve=serve, sockets=[listener]).run()

        def serve(index: int, listener: socket.socket) -> None:
            if index == _FRONT:
                from homeport.tracking.front import server

                server.serve(config, listener, doors)
            else:
                serve_private(listener)

        # This process stays small: what it forks again is as new. The front ends first, while MLflow still answers it.
        Master(name="tracking", count=2, serve=serve, sockets=sockets, in_turn=True, strict=True).run()


def _upstream_environ(config: ServerConfig) -> dict[str, str]:
    """What `mlflow server` passes to its workers (mlflow 3.17.2, server/__init__.py `_run_server`)."""
    import uuid

    proxied = {
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": config.artifacts_destination,
    }
    return {
        **({} if config.shared_artifacts else proxied),
        "_MLFLOW_SERVER_FILE_STORE": config.backend_store_uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": config.backend_store_uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": config.artifact_root,
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


def _marked(directory: str) -> dict[str, str] | None:
    """The shared directory with its mark, by which `homeport doctor` knows it on another machine."""
    if not directory:
        return None
    try:
        return {"directory": directory, "id": marker.place(Path(directory))}
    except OSError as error:
        raise HomeportError(
            code="ARTIFACTS_NOT_WRITABLE",
            what="the shared artifact directory cannot be written by the tracking server",
            evidence=(("directory", directory), ("error", error.strerror or str(error)), ("user", f"{os.getuid()}")),
            why="it belongs to another user",
            fix="run the server as its owner (HOMEPORT_UID, HOMEPORT_GID in Compose), or give the directory to it",
        ) from error


def _with_users(config: ServerConfig) -> Any:  # noqa: ANN401 - MLflow is untyped here
    accounts.check_prepared(config.backend_store_uri, program.number("HOMEPORT_DATABASE_TIMEOUT", 60.0))
    return upstream.with_basic_auth(config.backend_store_uri)


def _launch_job_runner(config: ServerConfig, directory: str) -> None:
    """MLflow's background job runner, as `mlflow server` starts it (3.17.2); it ends when this process does."""
    from mlflow.server.jobs.utils import _check_requirements, _launch_job_execution_runner

    _check_requirements(config.backend_store_uri)
    storage = tempfile.mkdtemp(prefix="jobs-", dir=directory)
    os.environ["_MLFLOW_HUEY_STORAGE_PATH"] = storage
    uri = f"http://{config.host}:{config.port}"
    env = {**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_GATEWAY_URI": os.environ.get("MLFLOW_GATEWAY_URI", uri)}
    _launch_job_execution_runner(env, os.getpid())


def _open_stores(config: ServerConfig) -> None:
    """Upstream's stores; the first of them makes the experiment "Default", and another host's may have been first."""
    from mlflow.server.handlers import initialize_backend_stores

    try:
        initialize_backend_stores(config.backend_store_uri, config.backend_store_uri, config.artifact_root)
    except Exception as error:  # what is really wrong, the second time says, too
        sys.stderr.write(f"the stores are opened once more: {type(error).__name__}\n")
        initialize_backend_stores(config.backend_store_uri, config.backend_store_uri, config.artifact_root)


def _serve_worker(
    config: ServerConfig,
    application: Any,  # noqa: ANN401 - an ASGI application
    door: str,
    turn: int,
    *,
    shared: Mapping[str, str] | None,
    readiness: Readiness,
) -> None:
    import fcntl

    import uvicorn
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    from homeport.tracking.app import front
    from homeport.tracking.front.private import KEEP_ALIVE
    from homeport.tracking.gate import Gate

    # Connections are opened here, never before the fork: two processes on one connection corrupt it.
    # One worker after the other: upstream's check for the experiment "Default" is no check when two do it at once.
    fcntl.lockf(turn, fcntl.LOCK_EX)
    _open_stores(config)
    fcntl.lockf(turn, fcntl.LOCK_UN)
    users = upstream.Users() if config.basic_auth else None
    # A site's own function in place of passwords is known to upstream only, which then decides alone.
    gate = Gate(users, os.environ.get(_JOBS_TOKEN, "")) if users and not users.asked_by_others else None
    asked: Any = front(
        application,
        readiness.check,
        config.threads,
        gate,
        discreet=config.basic_auth,
        shared=shared,
        questions=internal.questions(),
    )
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")  # as uvicorn reads it
    behind: Any = ProxyHeadersMiddleware(asked, trusted)
    server = uvicorn.Server(
        uvicorn.Config(
            as_if_direct(behind),
            log_level="info",
            access_log=False,
            ws="none",
            proxy_headers=False,
            server_header=False,  # the front says both
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        Path(door).unlink(missing_ok=True)  # of a worker that died
        listener.bind(door)
        listener.listen(_BACKLOG)
        server.run(sockets=[listener])
