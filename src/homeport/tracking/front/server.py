"""The front's process: uvicorn on uvloop, one of them. Refuses to know how it was forked."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from homeport import program

if TYPE_CHECKING:
    import uvicorn

    from homeport.tracking.fast.lane import Lane
    from homeport.tracking.front.app import Front
    from homeport.tracking.front.metrics import Gauges
    from homeport.tracking.front.private import Private
    from homeport.tracking.front.ready import Lane as Seen
    from homeport.tracking.server import ServerConfig

_DRAIN = "HOMEPORT_DRAIN_SECONDS"  # that requests have to end in once it is told to stop
_DRAIN_SECONDS = 8.0
_BACKLOG = 2048
_KEPT = 95  # seconds; the gateway keeps idle connections for 90, and none may close under its next request
STOCK_METRICS = "prometheus_multiproc_dir"  # set where a user wants MLflow's own (PROMETHEUS_EXPORTER_ENV_VAR)


def serve(config: ServerConfig, listener: socket.socket, doors: Sequence[str]) -> None:
    """Serve until SIGTERM.

    Args:
        config: what the tracking server was told.
        listener: where clients come in.
        doors: unix sockets of the private server's workers.
    """
    import uvicorn

    _open_many()
    uvicorn.Server(listening(application(config, doors))).run(sockets=[listener])


def listening(application: Front) -> uvicorn.Config:
    """How the front is served."""
    import uvicorn

    from homeport.tracking.front.protocol import Protocol

    return uvicorn.Config(
        application,
        log_level="info",
        access_log=False,
        backlog=_BACKLOG,
        loop="uvloop",
        http=Protocol,
        ws="none",
        timeout_keep_alive=_KEPT,
        proxy_headers=False,  # the private server looks at them, as if clients came in there
        timeout_graceful_shutdown=round(program.number(_DRAIN, _DRAIN_SECONDS)),
    )


def application(config: ServerConfig, doors: Sequence[str]) -> Front:
    """The front with all its parts.

    Args:
        config: what the tracking server was told.
        doors: unix sockets of the private server's workers.
    """
    from homeport.tracking.artifacts.page import PageArtifacts
    from homeport.tracking.artifacts.room import Artifacts
    from homeport.tracking.fast.lane import Lane
    from homeport.tracking.front import slow
    from homeport.tracking.front.app import Front
    from homeport.tracking.front.around import Around
    from homeport.tracking.front.guard import guard
    from homeport.tracking.front.metrics import Counts
    from homeport.tracking.front.origins import Origins
    from homeport.tracking.front.pages import Pages
    from homeport.tracking.front.private import Private
    from homeport.tracking.front.proxy import Proxy
    from homeport.tracking.front.ready import Ready

    private = Private(doors)
    lane = Lane(config.backend_store_uri, os.environ, private)
    state = State(lane, private)
    shared: Any = {
        "guard": guard(config, private, lambda: lane.database),
        "origins": Origins(os.environ),
        "counts": Counts(),
        "slow": slow.SlowLog(slow.limit(os.environ)),
    }
    around = Around(
        **shared,
        pages=Pages(os.environ, logins=config.basic_auth),
        ready=Ready(private, state.seen, lambda: "" if artifacts is None else artifacts.reason),
        state=state,
        discreet=config.basic_auth,
        own_metrics=not os.environ.get(STOCK_METRICS),
    )
    artifacts: Artifacts | None = None

    async def close() -> None:
        if artifacts is not None:
            await artifacts.close()
        await private.close()

    front = Front(**shared, lane=lane, proxy=Proxy(private), around=around, closes=(close,))
    artifacts = Artifacts(os.environ, shared["guard"], front.pass_on)
    if not artifacts.reason:
        pages = PageArtifacts(artifacts, shared["guard"], lambda: lane.database if lane.state.on else None, os.environ)
        around.streams = (artifacts, pages)
    return front


class State:
    """What `/ready` and `/metrics` ask the parts.

    Args:
        lane: the fast lane.
        private: the private server.
    """

    def __init__(self, lane: Lane, private: Private) -> None:
        self._lane = lane
        self._private = private

    def lane(self) -> tuple[bool, str]:
        """Whether it is on, and if not, why."""
        return self._lane.state.on, self._lane.state.why

    def seen(self) -> Seen:
        """The same, and how to ask its database."""
        from homeport.tracking.front.ready import Lane as Seen

        database = self._lane.database
        probe = None if database is None else lambda: database.row("select 1")
        return Seen(*self.lane(), probe)

    def pool(self) -> tuple[int, int]:
        """Connections open, and of those idle."""
        database = self._lane.database
        return (0, 0) if database is None else database.size

    def groups(self) -> Mapping[str, Gauges]:
        """The groups of writes, by name."""
        found: Any = getattr(self._lane, "gauges", ())
        return {str(number): group for number, group in enumerate(found)}

    def waiting(self) -> int:
        """Requests that wait for a private server that is starting."""
        return self._private.waiting


def _open_many() -> None:
    """Every client, and every request passed on, is a file; the limit of many systems is 1024."""
    import resource

    with contextlib.suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
