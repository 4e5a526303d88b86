"""The front's process: uvicorn on uvloop, one of them. Refuses to know how it was forked."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homeport.tracking.server import ServerConfig

_DRAIN_SECONDS = 8
_BACKLOG = 2048


def serve(config: ServerConfig, listener: socket.socket, doors: Sequence[str]) -> None:
    """Serve until SIGTERM.

    Args:
        config: what the tracking server was told.
        listener: where clients come in.
        doors: unix sockets of the private server's workers.
    """
    import uvicorn

    from homeport.tracking.fast.lane import Lane
    from homeport.tracking.front.app import Front
    from homeport.tracking.front.call import Guard
    from homeport.tracking.front.private import Private
    from homeport.tracking.front.proxy import Proxy

    private = Private(doors[0])
    lane = Lane(config.backend_store_uri, os.environ, private)
    server = uvicorn.Server(
        uvicorn.Config(
            Front(lane, Proxy(private), Guard()),
            log_level="info",
            access_log=False,
            backlog=_BACKLOG,
            loop="uvloop",
            http="httptools",
            ws="none",
            proxy_headers=False,
            server_header=True,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
    )
    server.run(sockets=[listener])
