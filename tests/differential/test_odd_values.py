"""Every field of every hot call with every odd value: status, content type, body and rows are stock MLflow's."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.differential.both import Both
from tests.differential.budget import EACH
from tests.differential.shapes import READS, WRITES, Shape
from tests.differential.values import LONG, ODD, QUERY
from tests.differential.wire import Request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TYPES = (
    "", "text/plain", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=latin-1",
    "application/x-www-form-urlencoded", "application/vnd.api+json", "multipart/form-data", "application/jsonx",
    "application/json, text/plain", "*/*",
)  # fmt: skip


def values(shape: Shape) -> Iterator[Request]:
    """One field odd, or missing, the others right; and the field alone."""
    right = shape.right
    for index, (name, _) in enumerate(right):
        yield shape.request(right[:index] + right[index + 1 :])
        yield shape.request([right[index]])
        for odd in QUERY if shape.method == "GET" else ODD[index % EACH :: EACH]:
            if odd in LONG and name in {"run_uuid", "timestamp", "start_time", "end_time", "step", "experiment_id"}:
                continue
            yield shape.request([*right[:index], (name, odd), *right[index + 1 :]])
        yield shape.request([*right, right[index]])  # twice
        for other in shape.fields[name][1:]:
            yield shape.request([*right, (name, other)])


def bodies(shape: Shape) -> Iterator[Request]:
    """The body as a whole odd, or sent oddly."""
    right = shape.right
    whole = shape.request(right)
    body = whole.body or b""
    nested = json.dumps(body.decode()).encode()
    for odd in (
        None, b"", b"null", b"[]", b'"x"', b"1", b"{", body + b"x", body + b" \n", b"\xef\xbb\xbf" + body, nested,
        body.decode().encode("utf-16"), json.dumps(nested.decode()).encode(), b"[" + body + b"]", b"\xff" + body,
        body[:-1] + b',"unknown":1}', body[:-1] + b',"unknown":{"a":[1]}}', body[:-1] + b",}",
        b'{"run_id":null,' + body[1:], body[:-1] + b',"a":NaN}', body[:-1] + b',"' + b"[" * 200 + b'":1}',
        body[:-1] + b',"deep":' + b"[" * 150 + b"]" * 150 + b"}",
    ):  # fmt: skip
        yield Request(whole.method, whole.target, odd, whole.headers)
    camel = [("".join([name.split("_")[0], *(part.title() for part in name.split("_")[1:])]), v) for name, v in right]
    yield shape.request(camel)
    yield shape.request([*camel, *right])
    yield shape.request([(name.upper(), value) for name, value in right])
    yield Request(whole.method, whole.target, body, whole.headers, chunked=True)
    for kind in TYPES:
        yield Request(whole.method, whole.target, body, (("content-type", kind),) if kind else ())
    for method in ("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "POST"):
        yield Request(method, whole.target, body, whole.headers)
        yield Request(method, whole.target, None, ())
    for target in (
        whole.target.replace("/api/", "/ajax-api/"), whole.target.replace("2.0", "3.0"), whole.target + "/",
        whole.target.replace("mlflow/", "mlflow//"), whole.target.replace("/mlflow", "/%6dlflow"), "/x" + whole.target,
        whole.target + "?run_id=@R1@", whole.target + "?", whole.target.replace("/runs", "/./runs"),
    ):  # fmt: skip
        yield Request(whole.method, target, whole.body, whole.headers)
    for name, value in (
        ("origin", "http://evil.example"), ("origin", "http://localhost:3000"), ("host", "evil.example"),
        ("origin", "null"), ("x-mlflow-workspace", "default"), ("x-mlflow-workspace", "other"),
        ("accept-encoding", "gzip"), ("x-forwarded-host", "evil.example"), ("authorization", "Basic YTpi"),
        ("x-requested-with", "XMLHttpRequest"), ("content-encoding", "gzip"), ("accept", "text/html"),
    ):  # fmt: skip
        yield Request(whole.method, whole.target, whole.body, (*whole.headers, (name, value)))


def compare(both: Both, requests: Iterator[Request]) -> None:
    both.begin()
    found = []
    for count, request in enumerate(requests):
        if difference := both.difference(request):
            found.append(difference)
        if count % 100 == 99 and (rows := both.rows_differ()):
            found.append(f"before {request}: {rows}")
            break
    if rows := both.rows_differ():
        found.append(rows)
    assert not found, f"{len(found)} differences\n" + "\n".join(found[:30])


@pytest.mark.parametrize("shape", [*WRITES, *READS], ids=lambda shape: f"{shape.route}-{'-'.join(shape.fields)[:20]}")
def test_every_odd_value_of_every_field_gets_what_stock_gives(both: Both, shape: Shape) -> None:
    compare(both, values(shape))


@pytest.mark.parametrize("shape", [*WRITES, *READS], ids=lambda shape: f"{shape.route}-{'-'.join(shape.fields)[:20]}")
def test_every_odd_body_gets_what_stock_gives(both: Both, shape: Shape) -> None:
    compare(both, bodies(shape))
