"""The page's own downloads: `/get-artifact`, which names a run and a path in it.

Where the run's artifacts are in this server's store, the artifact is given as the room gives others; upstream stages it
on its disk (mlflow 3.17.2, server/handlers.py `get_artifact_handler`). Refuses to know how bytes come from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from homeport.tracking.artifacts import paths
from homeport.tracking.artifacts.room import Artifacts
from homeport.tracking.fast.database import Database
from homeport.tracking.front.call import Answer, Call, Guard, Headers, Route, Subject

Scope = Any
Receive = Any
Send = Any

PATH = "/get-artifact"
_ROOT = "mlflow-artifacts:/"  # of a run whose artifacts go through this server, as it is made
_KNOWN = frozenset({"path", "run_id", "run_uuid"})
_ARTIFACTS = "select artifact_uri from runs where run_uuid = $1"
_SERVED = "_MLFLOW_SERVER_SERVE_ARTIFACTS"


class PageArtifacts:
    """Downloads for the page.

    Args:
        artifacts: gives them.
        guard: who may.
        database: the fast lane's, while that is on.
        environ: what MLflow is told.
    """

    def __init__(
        self, artifacts: Artifacts, guard: Guard, database: Callable[[], Database | None], environ: Mapping[str, str]
    ) -> None:
        self._artifacts = artifacts
        self._guard = guard
        self._database = database
        self._served = environ.get(_SERVED) == "true"

    def find(self, method: str, path: str) -> str:
        """The name of the route when a request may be answered here, else nothing."""
        served = self._served and not self._artifacts.reason
        return "artifact-of-run" if served and method == "GET" and path == PATH else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, common: Headers = ()) -> int:
        """Answer; the status, or 0 when nothing was received or sent and the request is to be passed on as it is.

        Args:
            scope: ASGI's.
            receive: ASGI's.
            send: ASGI's.
            common: headers for an answer that is given here.
        """
        call = Call("GET", PATH, scope["query_string"], scope["headers"], b"")
        asked = _asked(call)
        if asked is None or scope.get("raw_path", b"") != PATH.encode():
            return 0
        database = self._database()
        if database is None or not await self._guard.permits(_ROUTE, call):
            return 0
        run, path = asked
        name = await _name(database, run, path)
        return await self._artifacts.give(name, scope, receive, send, common) if name else 0

    async def close(self) -> None:
        """Nothing: the room holds the connections."""


def _asked(call: Call) -> tuple[str, str] | None:
    """The run and the path in it, each said once and plainly; `run_uuid` is an older name."""
    arguments = call.arguments
    if arguments is None or not arguments.keys() <= _KNOWN or any(len(given) > 1 for given in arguments.values()):
        return None
    (path,), (run,) = arguments.get("path", [""]), arguments.get("run_id", [""])
    (older,) = arguments.get("run_uuid", [run])
    if not paths.is_plain(path) or not (run or older) or (run and older != run):
        return None
    return run or older, path


async def _name(database: Database, run: str, path: str) -> str:
    """The artifact's name in the store; empty where that is not sure."""
    try:
        row = await database.row(_ARTIFACTS, run)
    except Exception:  # whatever the reason, MLflow shall say
        return ""
    root = (row[0] or "") if row is not None else ""
    if not root.startswith(_ROOT):
        return ""
    name = f"{root.removeprefix(_ROOT)}/{path}"
    return name if paths.is_plain(name) else ""


async def _unanswered(_: Call) -> Answer | None:
    return None


_ROUTE = Route("artifact-of-run", "GET", (PATH,), _unanswered, Subject.RUN)
