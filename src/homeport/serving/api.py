"""The routes beside scoring: the page, readiness, status, reload, metrics, the webhook, OIP's health and repository.

A FastAPI application; what it shows and does comes from the worker behind the `Board`. It refuses to score.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Annotated, Any, Protocol

import orjson
from fastapi import APIRouter, Body, FastAPI, Header, Query
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from homeport.serving import oip, openapi, page
from homeport.serving.front import written
from homeport.serving.keys import OPEN, TOLD
from homeport.serving.refusal import Refusal, bad_request, not_found
from homeport.serving.servable import Description, Dialect

RELOAD_SECONDS = 300.0
_CODES = {404: "ENDPOINT_NOT_FOUND", 405: "ENDPOINT_NOT_FOUND", 415: "UNSUPPORTED_MEDIA_TYPE"}
_OK, _AWAY = 200, 503


class Board(Protocol):
    """What these routes need of a worker."""

    def status(self) -> dict[str, Any]:
        """What is served and how well, as the page and `/status` show it."""

    async def load(self) -> dict[str, dict[str, Any]]:
        """How much each version, "name/version", is asked, in all workers together."""

    def descriptions(self) -> list[Description]:
        """Every loaded version."""

    def find(self, name: str, version: str | None) -> Description | None:
        """One loaded version, the default one without `version`."""

    async def everywhere(self, what: str, arguments: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        """Ask every worker."""

    def nudge(self, headers: Mapping[str, str], body: bytes) -> list[str]:
        """Check a webhook and poll for what it names; raises Refusal."""

    def metrics(self) -> tuple[bytes, str]:
        """The metrics page and its content type."""


def application(
    board: Board, feedback: APIRouter, lifespan: Callable[[FastAPI], Any], *, keyed: bool = False
) -> FastAPI:
    """The application with all its routes; `keyed`: its description tells of the key that the front asks for."""
    app: FastAPI = FastAPIOffline(
        title="Homeport serving",
        version=version("homeport"),
        description="Registered models over HTTP.",
        lifespan=lifespan,
        redoc_url=None,
    )
    _errors(app)
    _describe(app, board, keyed=keyed)
    app.include_router(_platform(board))
    app.include_router(_mlflow(board))
    app.include_router(_v2(board), prefix="/v2")
    app.include_router(feedback)
    return app


def _platform(board: Board) -> APIRouter:
    router = APIRouter(tags=["platform"])

    @router.get("/", summary="Welcome", response_model=None)
    async def welcome(accept: Annotated[str, Header()] = "") -> Response:
        if "text/html" in accept:
            return HTMLResponse(page.render(await _with_load(board)), headers=page.headers())
        served = [f"{each.name}/{each.version}" for each in board.descriptions()]
        return JSONResponse({"message": "Welcome to the API service!", "models": served, "docs": "/docs"})

    @router.get("/ready", summary="Readiness: the registry was read once; with models=all: everything asked for serves")
    async def ready(request: HttpRequest, models: Annotated[str, Query(pattern="^(any|all)$")] = "any") -> JSONResponse:
        status = board.status()
        missing = [row["name"] for row in status["models"] if row["state"] == "unloaded"]
        missing += [row["name"] for row in status["failures"]]
        good = status["ready"] and not (models == "all" and (missing or not status["models"]))
        if not request.scope.get(TOLD, True):  # strangers learn no names
            return JSONResponse({"ready": good}, _OK if good else _AWAY, headers={"Cache-Control": "no-store"})
        found = {"ready": good, "missing": sorted(set(missing)), "registry": status["registry"]["error"]}
        return JSONResponse(found, _OK if good else _AWAY, headers={"Cache-Control": "no-store"})

    @router.get("/live", summary="Liveness: the event loop answers")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/status", summary="What is served, since when, and what could not be")
    async def status(workers: Annotated[bool, Query()] = False) -> dict[str, Any]:
        found = await _with_load(board)
        if workers:
            found["each_worker"] = await board.everywhere("served", {}, 5.0)
        return found

    @router.post("/reload", summary="Look at the registry now, in every worker")
    async def reload(
        request: HttpRequest, models: Annotated[list[str] | None, Body(embed=True)] = None
    ) -> JSONResponse:
        _own_page(request)
        workers = await board.everywhere("reload", {"names": models}, RELOAD_SECONDS)
        good = all(worker.get("ok") for worker in workers)
        return JSONResponse({"ok": good, "workers": workers}, _OK if good else _AWAY)

    @router.post("/webhooks/mlflow", summary="MLflow's webhook: poll now")
    async def webhook(request: HttpRequest) -> dict[str, Any]:
        return {"ok": True, "polling": board.nudge(request.headers, await request.body())}

    @router.get("/metrics", summary="Prometheus metrics of all workers", response_class=Response)
    async def metrics() -> Response:
        body, kind = await asyncio.to_thread(board.metrics)
        return Response(body, headers={"content-type": kind})

    return router


def _mlflow(board: Board) -> APIRouter:
    router = APIRouter(tags=["mlflow"])

    @router.get("/ping", summary="As MLflow's scoring server: 200 when a model is served", response_class=Response)
    @router.get("/health", summary="The same", response_class=Response)
    async def ping() -> Response:
        return Response("\n", 200 if board.descriptions() else 404, media_type="application/json")

    @router.get("/version", summary="The MLflow version, as text", response_class=Response)
    async def mlflow_version() -> Response:
        return Response(version("mlflow"), media_type="application/json")

    return router


def _v2(board: Board) -> APIRouter:
    router = APIRouter(tags=["open inference protocol"])

    @router.get("", summary="Server metadata")
    @router.get("/", include_in_schema=False)
    async def server() -> dict[str, Any]:
        return oip.server_metadata()

    @router.get("/health/live", summary="Liveness")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/health/ready", summary="Readiness")
    async def ready() -> JSONResponse:
        good = bool(board.status()["ready"])
        # The specification says "live" here, its clients read "ready".
        return JSONResponse({"live": good, "ready": good}, _OK if good else _AWAY)

    @router.get("/models/{name}", summary="Model metadata")
    @router.get("/models/{name}/versions/{version}", summary="Model metadata of a version")
    async def metadata(name: str, version: str | None = None) -> dict[str, Any]:
        found = _served(board, name, version)
        return oip.metadata(found, [each.version for each in board.descriptions() if each.name == name])

    @router.get("/models/{name}/ready", summary="Model readiness")
    @router.get("/models/{name}/versions/{version}/ready", summary="Readiness of a version")
    async def model_ready(name: str, version: str | None = None) -> JSONResponse:
        good = board.find(name, version) is not None
        return JSONResponse({"name": name, "ready": True} if good else {"error": "not ready"}, _OK if good else _AWAY)

    @router.post("/repository/index", summary="What is served")
    async def index(request: HttpRequest) -> list[dict[str, Any]]:
        only_ready = bool((await _object(request)).get("ready"))
        rows = board.status()["models"]
        return [
            {
                "name": row["name"],
                "version": str(row["version"]),
                "state": "UNAVAILABLE" if row["state"] == "unloaded" else "READY",
                "reason": row["detail"],
            }
            for row in rows
            if not (only_ready and row["state"] == "unloaded")
        ]

    @router.post("/repository/models/{name}/{action}", summary="Load or unload a model in every worker")
    async def repository(request: HttpRequest, name: str, action: str) -> JSONResponse:
        _own_page(request)
        if action not in {"load", "unload"}:
            raise not_found("there are two actions: load and unload")
        workers = await board.everywhere(action, {"name": name}, RELOAD_SECONDS)
        failed = next((worker for worker in workers if not worker.get("ok")), None)
        if failed:
            raise Refusal(int(failed.get("status", _AWAY)), "INVALID_STATE", str(failed.get("error") or "it failed"))
        return JSONResponse({})

    return router


async def _with_load(board: Board) -> dict[str, Any]:
    """The status, and with each version how much it is asked."""
    load = await board.load()
    found = board.status()
    models = []
    for row in found["models"]:
        # None yet of a version that began to serve after the workers were asked.
        mine = load.get(f"{row['name']}/{row['version']}", {})
        latency = {key: value for key, value in mine.get("latency", {}).items() if value is not None}
        asked = {"requests": mine.get("answered", 0), "failed": mine.get("failed", 0)}
        models.append({**row, **asked, "in_flight": mine.get("in_flight", 0), "latency": latency or None})
    return {**found, "models": models}


async def _object(request: HttpRequest) -> dict[str, Any]:
    body = await request.body()
    if not body:
        return {}
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request("the body is not JSON") from error
    if not isinstance(found, dict):
        raise bad_request("the body must be a JSON object")
    return found


def _served(board: Board, name: str, version: str | None) -> Description:
    found = board.find(name, version)
    if found is None:
        raise not_found("that model or version is not served here")
    return found


def _own_page(request: HttpRequest) -> None:
    """Another site's page in the user's browser must not steer this server."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Refusal(403, "PERMISSION_DENIED", "this can not be asked for from another site's page")


def _errors(app: FastAPI) -> None:
    def answer(request: HttpRequest, refusal: Refusal) -> Response:
        dialect = Dialect.OIP if request.url.path.startswith("/v2") else Dialect.MLFLOW
        reply = written(refusal, dialect)
        return Response(reply.body, refusal.status, headers=dict(reply.headers), media_type=reply.content_type)

    async def refused(request: HttpRequest, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return answer(request, error)

    async def invalid(request: HttpRequest, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # Where and what was needed; never what was sent.
        needed = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        return answer(request, Refusal(400, "INVALID_PARAMETER_VALUE", needed))

    async def http(request: HttpRequest, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = _CODES.get(error.status_code, "BAD_REQUEST")
        return answer(request, Refusal(error.status_code, code, str(error.detail), error.headers))

    async def unforeseen(request: HttpRequest, error: Exception) -> Response:
        del error  # uvicorn logs it
        return answer(request, Refusal(500, "INTERNAL_ERROR", "the server failed; its log says why"))

    handlers: dict[type[Exception], Callable[[HttpRequest, Exception], Awaitable[Response]]] = {
        Refusal: refused, RequestValidationError: invalid, HTTPException: http, Exception: unforeseen,
    }  # fmt: skip
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _describe(app: FastAPI, board: Board, *, keyed: bool) -> None:
    """The description names the models that are served now, so it is made anew for each who asks."""
    plain = app.openapi

    def document() -> dict[str, Any]:
        found: dict[str, Any] = openapi.document(plain(), board.descriptions(), version=version("homeport"))
        return openapi.keyed(found, [path.decode() for path in OPEN]) if keyed else found

    app.openapi = document  # type: ignore[method-assign] # FastAPI's documented way to extend the schema
