"""Which hosts and pages may be answered by the front, and the headers that browsers are told so with.

MLflow decides, in two layers (mlflow 3.17.2, server/fastapi_security.py with Starlette's CORS around server/security.py
with Flask-CORS). Said beforehand is what both surely let pass, and what they add; the rest is left to them. Refuses to
know calls.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping

Headers = tuple[tuple[bytes, bytes], ...]

_LOCAL = ("localhost", "127.0.0.1", "[::1]", "0.0.0.0")  # noqa: S104 - a name in a header, nothing is bound
_LOCAL_ORIGIN = re.compile(r"http://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]+)?")
_PRIVATE = ("192.168.*", "10.*", *(f"172.{second}.*" for second in range(16, 32)), "fc00:*", "fd00:*")
_ANSWERED = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH"})
_WITHOUT_HOST = frozenset({"/health", "/version"})
_FRAMED = "/static-files/lib/notebook-trace-renderer"  # notebooks show it, so it is told otherwise
# What FastAPI serves itself, so that Flask's layer adds nothing.
_NATIVE = (
    "/health", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info", "/v1/traces",
    "/api/2.0/mlflow-artifacts/artifacts/", "/ajax-api/2.0/mlflow-artifacts/artifacts/",
)  # fmt: skip
_PATTERN = frozenset("*\\]?$^[()")  # by which Flask-CORS tells a pattern from a page
_PLAIN = re.compile(rb"[!-~]{1,300}")  # a header that all parsers read alike
# A host that Werkzeug's router takes: it answers 400 to an empty label and to one of 64 characters, whoever is allowed.
_LABEL = rb"[A-Za-z0-9_-]{1,63}"
_HOST = re.compile(rb"(?:%s(?:\.%s){0,30}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?" % (_LABEL, _LABEL))
_MOST = 512  # decisions remembered
_LONGEST = 1024  # bytes of a header

_Asked = tuple[bytes | None, bytes | None, bool, bool]  # host, origin, whether any host will do, whether Flask answers


class Origins:
    """The decision of one server's settings.

    Args:
        environ: what MLflow is told.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._off = environ.get("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "false") == "true"
        self._hosts = _listed(environ.get("MLFLOW_SERVER_ALLOWED_HOSTS")) or _default_hosts()
        self._pages = _listed(environ.get("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"))
        self._named = sorted(page for page in self._pages if not _PATTERN & set(page))
        frames = environ.get("MLFLOW_SERVER_X_FRAME_OPTIONS", "SAMEORIGIN").upper()
        always: Headers = ((b"x-content-type-options", b"nosniff"),)
        self._always = always if frames in {"", "NONE"} else (*always, (b"x-frame-options", frames.encode()))
        self._known: dict[_Asked, Headers | None] = {}

    def answering(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Headers | None:
        """What to add to an answer that is given here; None where MLflow refuses, or shall decide."""
        host = origin = None
        for name, value in headers:
            if name == b"host":
                if host is not None:
                    return None
                host = value
            elif name == b"origin":
                if origin is not None:
                    return None
                origin = value
        if self._off:
            return () if _routed(host) else None
        if method not in _ANSWERED or path.startswith(_FRAMED):
            return None
        asked = (host, origin, path in _WITHOUT_HOST, not path.startswith(_NATIVE))
        try:
            return self._known[asked]
        except KeyError:
            return self._decide(asked)

    def _decide(self, asked: _Asked) -> Headers | None:
        host, origin, any_host, flask = asked
        if len(host or b"") + len(origin or b"") > _LONGEST:
            return None
        told = None
        if self._takes(host) or (any_host and (not flask or _routed(host))):
            told = self._without_page(flask) if origin is None else self._for_page(origin, flask)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[asked] = told = None if told is None else (*self._always, *told)
        return told

    def _takes(self, host: bytes | None) -> bool:
        if host is None or not _HOST.fullmatch(host):
            return False
        return "*" in self._hosts or _matches(host.decode("ascii"), self._hosts)

    def _without_page(self, flask: bool) -> Headers:
        """What is told where no page asks: Flask-CORS names the first that might have."""
        if flask and "*" in self._pages:
            return (_page(b"*"), _vary(b"Origin"))
        if flask and self._named:
            first = (_page(self._named[0].encode()),) if self._named[0] else ()
            return (*first, _CREDENTIALS, _vary(b"Origin, Origin"))
        return (_vary(b"Origin"),)

    def _for_page(self, origin: bytes, flask: bool) -> Headers | None:
        """What a page of that origin is told; None where it may not ask, or only perhaps."""
        if not _PLAIN.fullmatch(origin) or "*" in self._pages:
            return None
        page = origin.decode("ascii")
        if page not in self._named and _LOCAL_ORIGIN.fullmatch(page) is None:
            return None
        vary = _vary(b"Origin, Origin" if flask else b"Origin")
        return (_page(origin), _CREDENTIALS, (b"access-control-expose-headers", b"*"), vary)


def _routed(host: bytes | None) -> bool:
    return host is None or _HOST.fullmatch(host) is not None


def _page(origin: bytes) -> tuple[bytes, bytes]:
    return b"access-control-allow-origin", origin


def _vary(names: bytes) -> tuple[bytes, bytes]:
    return b"vary", names


_CREDENTIALS = (b"access-control-allow-credentials", b"true")


def _listed(value: str | None) -> list[str]:
    return [each.strip() for each in value.split(",")] if value else []


def _default_hosts() -> list[str]:
    ports = [f"{host.replace('[', '[[]', 1)}:*" for host in _LOCAL]
    return [*_LOCAL, *ports, *_PRIVATE]


def _matches(given: str, allowed: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(given, each) if "*" in each else given == each for each in allowed)
