"""Origins says beforehand what MLflow's own middleware does: the same table, and made-up headers, put to both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.tracking.front.origins import Origins

Headers = list[tuple[bytes, bytes]]

NAMES = (
    "MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
    "MLFLOW_SERVER_X_FRAME_OPTIONS",
)  # fmt: skip
ENVIRONS: tuple[Mapping[str, str], ...] = (
    {},
    {"MLFLOW_SERVER_ALLOWED_HOSTS": "*"},
    {"MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.example.org, *.example.com,localhost:5000"},
    {"MLFLOW_SERVER_ALLOWED_HOSTS": ""},
    {"MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow-[ab].example.org:*"},
    {"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "https://app.example.org"},
    {"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "https://*.example.org, http://app:1"},
    {"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "https://x.example.org,https://app.example.org,,http://[::1]:1"},
    {"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "*"},
    {"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "https://app.example.org,*"},
    {"MLFLOW_SERVER_X_FRAME_OPTIONS": "deny"},
    {"MLFLOW_SERVER_X_FRAME_OPTIONS": "none"},
    {"MLFLOW_SERVER_X_FRAME_OPTIONS": ""},
    {"MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true"},
    {"MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "True"},
)
HOSTS = (
    b"localhost", b"localhost:5000", b"LOCALHOST:5000", b"127.0.0.1:5000", b"[::1]:5000", b"[::1]", b"0.0.0.0:1",
    b"10.1.2.3:5000", b"172.16.0.1", b"172.15.0.1", b"192.168.1.1:80", b"fd00::1", b"evil.example.net", b"", b" ",
    b"mlflow.example.org", b"MLflow.example.org", b"a.example.com", b"localhost:5000@evil", b"localhost.evil.net",
    b"10.evil.net", b"mlflow-a.example.org:1", b"\xff\xfe", b"192.168.1.1, evil", b"*",
    b".", b"10..", b"10." + b"a" * 64, b"10." + b"a" * 63, b"10.a:", b"10.a:0", b"10.a:99999", b"10.a_b", b"10.xn--a",
    b"[::1", b"[]", b"[fd00::1]:5000",
)  # fmt: skip
ORIGINS = (
    None, b"", b"null", b"http://localhost:5000", b"https://localhost:5000", b"http://127.0.0.1:1", b"http://[::1]:1",
    b"https://app.example.org", b"https://x.example.org", b"http://app:1", b"https://evil.example.net",
    b"http://localhost.evil.net", b"http://evil@localhost", b"http://localhost:5000/", b"http://[", b"\xff",
    b"http://LOCALHOST:1", b"localhost",
)  # fmt: skip
REQUESTS = (
    ("POST", "/api/2.0/mlflow/runs/log-metric"), ("GET", "/ajax-api/2.0/mlflow/runs/get"), ("GET", "/health"),
    ("PATCH", "/api/2.0/mlflow/logged-models/m"), ("GET", "/version"), ("POST", "/v1/traces"),
)  # fmt: skip


class Upstream:
    """MLflow's middleware around an application that says who it is."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        from fastapi import FastAPI
        from flask import Flask
        from mlflow.server.fastapi_app import _EfficientWSGIMiddleware
        from mlflow.server.fastapi_security import init_fastapi_security
        from mlflow.server.security import init_security_middleware

        with pytest.MonkeyPatch.context() as patch:
            for name in NAMES:
                patch.delenv(name, raising=False)
            for name, value in environ.items():
                patch.setenv(name, value)
            self._app = FastAPI()
            init_fastapi_security(self._app)
            for path in ("/health", "/v1/traces"):
                self._app.add_route(path, _says_nothing, methods=["GET", "POST"])
            flask = Flask("mlflow")
            init_security_middleware(flask)
            flask.add_url_rule("/<path:path>", view_func=lambda path: "", methods=["GET", "POST", "PATCH"])
            self._app.mount("/", _EfficientWSGIMiddleware(flask))
            self.ask("GET", "/health", [(b"host", b"localhost")])  # the middleware reads its settings on first use

    def ask(self, method: str, path: str, headers: Headers) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer."""
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": headers, "root_path": "", "scheme": "http", "client": None,
            "server": ("127.0.0.1", 5000),
        }  # fmt: skip
        try:
            asyncio.run(self._app(scope, receive, send))
        except UnicodeDecodeError:
            return 500, {}
        return sent[0]["status"], _plain(sent[0]["headers"])


async def _says_nothing(_request: Any) -> Any:
    from fastapi import Response

    return Response()


def _plain(headers: Any) -> dict[str, str]:
    found = {bytes(name).decode().lower(): bytes(value).decode() for name, value in headers}
    return {name: value for name, value in found.items() if name not in {"content-type", "content-length"}}


@pytest.fixture(scope="module", params=range(len(ENVIRONS)), ids=lambda index: str(ENVIRONS[index]) or "defaults")
def both(request: pytest.FixtureRequest) -> tuple[Origins, Upstream]:
    environ = ENVIRONS[request.param]
    return Origins(environ), Upstream(environ)


def agree(ours: Origins, upstream: Upstream, method: str, path: str, headers: Headers) -> bool:
    """Whether it was answered here; fails where upstream would not have, or with other headers."""
    told = ours.answering(method, path, headers)
    assert told == ours.answering(method, path, headers), "what is remembered differs"
    if told is None:
        return False
    status, real = upstream.ask(method, path, headers)
    assert (status, real) == (200, _plain(told)), (method, path, headers)
    return True


def test_nothing_is_answered_that_upstream_would_refuse_and_the_headers_are_its_own(
    both: tuple[Origins, Upstream],
) -> None:
    combined = [(host, None) for host in HOSTS] + [(host, origin) for host in HOSTS[1::10] for origin in ORIGINS]
    for host, origin in combined:
        headers = [(b"host", host)] + ([(b"origin", origin)] if origin is not None else [])
        for method, path in REQUESTS:
            agree(*both, method, path, headers)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_made_up_host_or_origin_is_answered_otherwise_than_upstream_would(data: st.DataObject) -> None:
    pieces = st.sampled_from(
        [
            b"localhost",
            b"127.0.0.1",
            b"10.",
            b"evil",
            b".",
            b":",
            b"5000",
            b"http://",
            b"[::1]",
            b"@",
            b"*",
            b"example.org",
        ]
    )
    words = st.lists(pieces, max_size=5).map(b"".join) | st.binary(max_size=8).filter(lambda value: b"\0" not in value)
    environ = data.draw(st.sampled_from(ENVIRONS))
    headers = data.draw(st.lists(st.tuples(st.sampled_from([b"host", b"origin", b"cookie"]), words), max_size=4))
    method, path = data.draw(st.sampled_from(REQUESTS))
    agree(Origins(environ), upstreams(environ), method, path, headers)


_made: dict[int, Upstream] = {}


def upstreams(environ: Mapping[str, str]) -> Upstream:
    index = next(index for index, each in enumerate(ENVIRONS) if each is environ)
    if index not in _made:
        _made[index] = Upstream(environ)
    return _made[index]


@pytest.mark.parametrize(
    ("host", "origin"),
    [(b"127.0.0.1:5000", None), (b"localhost:5000", b"http://localhost:5000"), (b"10.0.0.7:5000", None)],
)
def test_the_page_and_the_client_on_this_machine_and_its_network_are_answered_at_once(
    host: bytes, origin: bytes | None
) -> None:
    headers = [(b"host", host)] + ([(b"origin", origin)] if origin else [])
    for method, path in REQUESTS:
        assert agree(Origins({}), upstreams(ENVIRONS[0]), method, path, headers), (method, path)


def test_a_rebound_name_is_left_to_upstream_which_refuses_it() -> None:
    headers = [(b"host", b"evil.example.net")]
    assert Origins({}).answering("GET", "/ajax-api/2.0/mlflow/runs/get", headers) is None
    assert upstreams(ENVIRONS[0]).ask("GET", "/ajax-api/2.0/mlflow/runs/get", headers)[0] == 403


def test_what_is_remembered_does_not_grow_without_end() -> None:
    origins = Origins({})
    for number in range(5000):
        origins.answering("GET", "/api/2.0/mlflow/runs/get", [(b"host", b"10.0.0.1:%d" % number)])
    assert len(origins._known) <= 512
