"""POST /feedback and GET /training-data: the truth comes in, labelled rows go out.

Whatever waits for the database does so in a few threads of its own, never in those that predict. Refuses to know how
predictions get into the database.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response

from homeport.errors import HomeportError
from homeport.serving.feedback import query, truths
from homeport.serving.feedback.database import Database, parse_uri
from homeport.serving.feedback.download import Download
from homeport.serving.feedback.formats import FORMATS, Format
from homeport.serving.feedback.training_data import Export, Selection
from homeport.serving.refusal import Refusal

_THREADS = 2  # that wait for the database at the same time, in one worker
_DOWNLOADS = 4  # at the same time, in one worker: each holds a session of the database
_RETRY = {"Retry-After": "5"}
_OFF = "the prediction log is off; set HOMEPORT_PREDICTION_LOG=1 and restart: homeport restart serving"

T = TypeVar("T")


def router(log_uri: str | None) -> APIRouter:
    """The two routes; without a URI both answer that the log is off.

    Args:
        log_uri: the prediction log's database, which has the tables already.

    Raises:
        HomeportError: PREDICTION_DATABASE_NOT_POSTGRESQL or DATABASE_URI_INVALID.
    """
    routes, desk = APIRouter(tags=["feedback"]), _Desk(parse_uri(log_uri) if log_uri else None)

    @routes.post(
        "/feedback",
        summary="Say what was true",
        responses={
            400: {"description": "Not a feedback."}, 409: {"description": "The prediction log is off."},
            413: {"description": "Too many rows."}, 503: {"description": "The database does not answer."},
        },
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": truths.SCHEMA}}}},
    )  # fmt: skip
    async def feedback(request: HttpRequest) -> Response:
        """Attach the truth to a request id: one value, or one for every row of the request. The last one wins.

        `unknown` lists the request ids that have no such row in the log now. Their truth is kept: a prediction is
        written shortly after it is answered. With a sample below 1 it may never be.
        """
        desk.check()
        given = truths.parse(await request.body())
        unknown = await desk.ask(lambda: desk.with_session(lambda session: truths.keep(session, given)))
        return JSONResponse({"accepted": len(given), "unknown": unknown})

    @routes.get(
        "/training-data",
        summary="Logged rows with their truth",
        response_class=Response,
        responses={
            200: {"content": {kind.media_type: {} for kind in FORMATS.values()}, "description": "The rows."},
            400: {"description": "A parameter that cannot be read."},
            406: {"description": "No such format."},
            409: {"description": "The prediction log is off."},
            429: {"description": "Too many downloads at the same time."},
            503: {"description": "The database does not answer."},
        },
        openapi_extra={"parameters": list(query.PARAMETERS)},
    )
    async def training_data(request: HttpRequest) -> Response:
        """The logged rows, the oldest first.

        A column for every input, then prediction, truth, request_id, row, at, model and version. When an input has one
        of these names, all seven begin with an underscore; the header X-Column-Prefix says so.
        """
        desk.check()
        parameters = request.query_params
        written = query.written(parameters.get("format"), request.headers.get("accept", ""))
        return await desk.download(query.selection(parameters), written)

    return routes


class _Desk:
    """The database's sessions and threads of one worker."""

    def __init__(self, database: Database | None) -> None:
        self._database = database
        self._idle: SimpleQueue[Any] = SimpleQueue()
        self._limiter: anyio.CapacityLimiter | None = None
        self._downloads = 0

    def check(self) -> Database:
        if self._database is None:
            raise Refusal(409, "FEATURE_DISABLED", _OFF)
        return self._database

    async def ask(self, question: Callable[[], T], *, abandon: bool = False) -> T:
        """Run something that waits for the database in a thread; Refusal 503 when it does not answer."""
        import psycopg2

        if self._limiter is None:  # made inside the event loop that uses it
            self._limiter = anyio.CapacityLimiter(_THREADS)
        try:
            return await anyio.to_thread.run_sync(question, limiter=self._limiter, abandon_on_cancel=abandon)
        except (HomeportError, psycopg2.Error) as error:
            raise Refusal(
                503, "TEMPORARILY_UNAVAILABLE", "the prediction log's database does not answer", _RETRY
            ) from error

    def with_session(self, use: Callable[[Any], T]) -> T:
        """Use a session that is kept for the next time; a kept one that was cut meanwhile is replaced."""
        import psycopg2

        with contextlib.suppress(Empty):
            kept = self._idle.get_nowait()
            with contextlib.suppress(psycopg2.OperationalError, psycopg2.InterfaceError):
                return self._used(kept, use)
        return self._used(self.check().connect(), use)

    def _used(self, session: Any, use: Callable[[Any], T]) -> T:  # noqa: ANN401 - psycopg2 has no types
        try:
            result = use(session)
        except BaseException:
            with contextlib.suppress(Exception):
                session.close()
            raise
        self._idle.put(session)
        return result

    async def download(self, selection: Selection, written: Format) -> Response:
        database = self.check()
        if self._downloads >= _DOWNLOADS:
            raise Refusal(429, "REQUEST_LIMIT_EXCEEDED", f"{_DOWNLOADS} downloads are under way here already", _RETRY)
        self._downloads += 1
        try:
            export = await self.ask(lambda: Export(database, selection))
        except BaseException:
            self._downloads -= 1
            raise
        return Download(export, written, self.ask, self._end_download)

    def _end_download(self) -> None:
        self._downloads -= 1
