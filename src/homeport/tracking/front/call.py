"""One request as a hot call sees it, and what a hot call gives back.

The rule of the fast lane: a hot call answers what it surely answers as MLflow does. In any doubt (an odd type, an
invalid value, a run that is not there) it gives `None`, nothing is written, and MLflow itself answers the same
request. So errors are upstream's own, word for word. Refuses to know HTTP servers and databases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson

Headers = Iterable[tuple[bytes, bytes]]

LARGEST_BODY = 2 * 2**20  # bytes; MLflow takes 1 MB a batch. Longer bodies are streamed to MLflow unread.


class Call:
    """A whole request: path decoded, header names in lower case, body complete."""

    __slots__ = ("_json", "body", "headers", "method", "parts", "path", "query", "user")

    def __init__(self, method: str, path: str, query: bytes, headers: Headers, body: bytes) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.parts: tuple[str, ...] = ()  # what the placeholders of the route's path matched
        self.user = ""  # the name under which the caller logged in; empty where nobody does
        self._json: Any = self  # not read yet

    @property
    def json(self) -> dict[str, Any] | None:
        """The body as an object; None when it is none, or one that JSON parsers disagree about."""
        if self._json is self:
            try:
                value = orjson.loads(self.body)
            except orjson.JSONDecodeError:
                value = None
            self._json = value if isinstance(value, dict) else None
        found: dict[str, Any] | None = self._json
        return found

    @property
    def arguments(self) -> dict[str, list[str]] | None:
        """The query's arguments, each a list; None for a query that is not plain UTF-8."""
        try:
            return parse_qs(self.query.decode("ascii"), keep_blank_values=True, errors="strict")
        except (UnicodeDecodeError, ValueError):
            return None


class Answer(NamedTuple):
    """A whole response."""

    body: bytes
    status: int = 200
    kind: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()  # further ones, names in lower case


EMPTY = Answer(b"{}")

HotCall = Callable[[Call], Awaitable[Answer | None]]


class Subject(StrEnum):
    """What a call is about: where logins are asked for, the permission on it decides."""

    NOTHING = "nothing"  # everybody may ask, also strangers
    RUN = "run"  # `run_id` or `run_uuid`, in the query or the body
    RUNS = "runs"  # each `run_id` or `run_ids` in the query
    EXPERIMENT = "experiment"  # `experiment_id`
    EXPERIMENTS = "experiments"  # all of `experiment_ids`
    EXPERIMENT_NAME = "experiment-name"  # `experiment_name`, in the query
    MODEL = "model"  # the registered model `name`
    LOGGED_MODEL = "logged-model"  # `model_id`, in the path
    ARTIFACT = "artifact"  # the path itself
    ADMIN = "admin"  # MLflow filters the answer by what the user may see: administrators, who see all, only


@dataclass(frozen=True, slots=True)
class Route:
    """One hot call.

    Args:
        name: for metrics and logs, e.g. `log-metric`.
        method: in upper case.
        paths: where it is; `{}` stands for one segment.
        handle: answers it.
        subject: what it is about.
    """

    name: str
    method: str
    paths: tuple[str, ...]
    handle: HotCall
    subject: Subject

    @staticmethod
    def mlflow(name: str, method: str, path: str, handle: HotCall, subject: Subject, *, version: str = "2.0") -> Route:
        """A route under both of MLflow's prefixes: clients use /api, the page uses /ajax-api."""
        return Route(
            name, method, (f"/api/{version}/mlflow/{path}", f"/ajax-api/{version}/mlflow/{path}"), handle, subject
        )


class Table:
    """Finds the hot call of a request."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._plain: dict[tuple[str, str], Route] = {}
        self._patterns: list[tuple[str, list[str], Route]] = []
        for route in routes:
            for path in route.paths:
                if "{}" in path:
                    self._patterns.append((route.method, path.split("/"), route))
                else:
                    self._plain[route.method, path] = route

    def find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
        """The route, and what its placeholders matched."""
        found = self._plain.get((method, path))
        if found is not None:
            return found, ()
        if self._patterns:
            segments = path.split("/")
            for verb, pattern, route in self._patterns:
                if verb == method and len(pattern) == len(segments):
                    parts = tuple(given for given, wanted in zip(segments, pattern, strict=True) if wanted == "{}")
                    if all(w in {"{}", g} for g, w in zip(segments, pattern, strict=True)) and all(parts):
                        return route, parts
        return None


class Guard:
    """Whether a caller may have a hot call answered; `None` means: MLflow decides, and answers."""

    def start(self) -> None:
        """Begin what it does beside requests."""

    async def permits(self, route: Route, call: Call) -> bool:
        """Whether upstream would surely let this caller do this. In doubt: no."""
        return True

    def watch(self, method: str, path: str, send: Any) -> Any:  # noqa: ANN401 - ASGI's
        """What to send the answer of a request with that is passed on, and may change who may do what."""
        return send

    def after(self, method: str, path: str) -> None:
        """A request passed through that may have changed who may do what."""

    async def close(self) -> None:
        """Let go of whatever it holds."""


Mapped = Mapping[str, Any]
