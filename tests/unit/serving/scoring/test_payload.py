"""Content types and JSON: what is read, and that refusals never repeat what was sent."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.serving.refusal import Refusal
from homeport.serving.scoring import payload

# Each child ends as soon as it has read; Arrow's threads are still busy then.
ENDING = """
import io, os, sys, pandas
from homeport.serving.scoring.payload import parse_parquet
body = io.BytesIO()
pandas.DataFrame({"a": [1]}).to_parquet(body)
for _ in range(25):
    child = os.fork()
    if not child:
        assert parse_parquet(body.getvalue()).data.a[0] == 1
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8", "  application/json  "],
)
def test_json_in_utf_8_is_read(content_type: str) -> None:
    assert payload.media_type(content_type) == payload.JSON


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (None, 400), ("", 415), ("text/plain", 415), ("application/json; charset=latin-1", 415),
        ("application/JSON", 415),
        ("application/json; format=pandas-split", 415), ("application/json;", 415), ("multipart/form-data", 415),
    ],
)  # fmt: skip
def test_other_content_types_are_refused(content_type: str | None, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        payload.media_type(content_type)
    assert refused.value.status == status
    assert "pandas-split" not in refused.value.message


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [NaN, Infinity, -Infinity]}', b'{"inputs": 1e400}', b'{"inputs": "\\ud800"}',
        '{"inputs": [1]}'.encode("utf-16"), b"\xef\xbb\xbf" + b'{"inputs": [1]}',
        b'{"a": 1, "a": 2}', b'{"inputs": -0}',
    ],
)  # fmt: skip
def test_everything_that_json_reads_is_read(body: bytes) -> None:
    assert repr(payload.document(body)) == repr(json.loads(body))


@given(st.dictionaries(st.text(max_size=3), st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.text()))
def test_numbers_are_exactly_those_that_json_reads(found: dict[str, Any]) -> None:
    body = json.dumps(found).encode()
    assert repr(payload.exact(body, payload.document(body))) == repr(json.loads(body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"secret",
        b'{"a": secret}',
        b"[1]",
        b'"secret"',
        b"1",
        b"null",
        b"true",
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_what_is_no_json_object_is_refused_without_repeating_it(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        payload.document(body)
    assert (refused.value.status, refused.value.code) == (400, "BAD_REQUEST")
    assert "secret" not in refused.value.message


def test_a_process_that_has_read_parquet_ends_well() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
