"""`GET /status` tells how much each version is asked, also of one that began to serve while it asked the workers."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import orjson

from homeport.serving.api import Board, application
from homeport.serving.feedback.routes import router
from homeport.serving.metrics import together


class Promoting:
    """A worker that brings a version into service while the others are being asked."""

    def __init__(self) -> None:
        self._models = [{"name": "m", "version": "1", "state": "serving"}]

    def status(self) -> dict[str, Any]:
        return {"ready": True, "models": self._models}

    async def load(self) -> dict[str, dict[str, Any]]:
        told = {"answered": 4, "failed": 1, "in_flight": 0, "buckets": [4, *[0] * 17]}
        self._models = [*self._models, {"name": "m", "version": "2", "state": "serving"}]
        return together([{"served": {"m/1": told}}])


def get(path: str, board: object) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    app = application(cast("Board", board), router(None), cast("Any", None))
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "http_version": "1.1"}
    asyncio.run(app(scope, receive, send))
    body = b"".join(each.get("body", b"") for each in sent[1:])
    return sent[0]["status"], orjson.loads(body)


def test_a_version_that_nobody_has_told_of_yet_has_not_been_asked() -> None:
    status, found = get("/status", Promoting())
    assert status == 200
    rows = {row["version"]: row for row in found["models"]}
    assert (rows["1"]["requests"], rows["1"]["failed"]) == (4, 1)
    assert rows["1"]["latency"] == {"p50": 0.0001, "p99": 0.0001}
    assert (rows["2"]["requests"], rows["2"]["failed"], rows["2"]["latency"]) == (0, 0, None)
