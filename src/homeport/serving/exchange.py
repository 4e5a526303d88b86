"""One scoring request on its way: what its head says, then what was found for it, then how it was answered."""

from __future__ import annotations

import itertools
import os
import re
import secrets
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from homeport.serving.refusal import bad_request
from homeport.serving.routes import Route

if TYPE_CHECKING:
    from homeport.serving.follow.catalog import Entry
    from homeport.serving.servable import Reply, Request

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and its answer.

    Args:
        route: what its path names.
        method: HTTP method.
        path: its path, decoded and without the query.
        query: the query string.
        content_type: the header, None without one.
        length: the header Content-Length, 0 without one.
        request_id: the caller's, or one made here.
        sticky: what keeps the caller with one version of a canary.
        protocol_headers: headers that the protocol reads.
        traceparent: the caller's span (W3C Trace Context), empty without one.
    """

    route: Route
    method: str
    path: str
    query: bytes
    content_type: str | None = None
    length: int = 0
    request_id: str = ""
    sticky: str | None = None
    protocol_headers: dict[str, str] = field(default_factory=dict)
    traceparent: str = ""
    entry: Entry | None = None
    request: Request | None = None
    reply: Reply | None = None
    status: int = 200
    seconds: float = 0.0

    @property
    def model(self) -> tuple[str, str]:
        """Name and version of who answered; empty when nobody was found."""
        return (self.entry.version.name, str(self.entry.version.version)) if self.entry else ("", "")

    def strict(self, default: bool) -> bool:
        """Whether lossy casts are refused: as the query says, else the default.

        Raises:
            Refusal: 400 when it says neither true nor false.
        """
        if not self.query:
            return default
        given = dict(parse_qsl(self.query.decode("latin-1"))).get("strict")
        if given not in {None, "true", "false"}:
            raise bad_request("strict must be true or false")
        return default if given is None else given == "true"


def request_ids() -> Callable[[], str]:
    """Makes request ids that no other process makes."""
    prefix = f"{os.getpid():x}-{secrets.token_hex(6)}-"
    numbers = itertools.count()
    return lambda: f"{prefix}{next(numbers):x}"


def opened(route: Route, scope: MutableMapping[str, Any], new_id: Callable[[], str]) -> Exchange:
    """What the head of a request says."""
    exchange = Exchange(route, scope["method"], scope["path"], scope["query_string"])
    for name, value in scope["headers"]:
        # Few of the headers matter: one look by name, no dictionary of all of them.
        if name == b"content-type":
            exchange.content_type = value.decode("latin-1")
        elif name == b"content-length":
            exchange.length = int(value) if value.isdigit() else 0
        elif name == b"x-request-id":
            exchange.request_id = _checked(value.decode("latin-1"))
        elif name == b"x-homeport-sticky":
            exchange.sticky = value.decode("latin-1")
        elif name == b"traceparent":
            exchange.traceparent = value.decode("latin-1")
        elif name == b"inference-header-content-length":
            exchange.protocol_headers["inference-header-content-length"] = value.decode("latin-1")
    if not exchange.request_id:
        exchange.request_id = new_id()
    return exchange


def _checked(given: str) -> str:
    """The caller's id when it is one line of visible text, else nothing."""
    return given if _REQUEST_ID.fullmatch(given) else ""
