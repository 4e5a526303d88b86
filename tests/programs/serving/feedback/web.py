"""The routes on a real server, as the application serves them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from homeport.serving.feedback.routes import router
from homeport.serving.refusal import Refusal
from tests.programs.database.programs import eventually, free_port


@contextlib.contextmanager
def site(log_uri: str | None) -> Iterator[str]:
    """The routes over a prediction log; their address."""
    app = FastAPI()
    app.include_router(router(log_uri))

    @app.exception_handler(Refusal)
    async def refused(_request: Request, refusal: Refusal) -> JSONResponse:
        body = {"error_code": refusal.code, "message": refusal.message}
        return JSONResponse(body, refusal.status, refusal.headers)

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
