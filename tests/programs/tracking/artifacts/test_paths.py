"""A path that is taken here is one that MLflow takes as it stands, and every attack is left to MLflow to refuse."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.uri import validate_path_is_safe

from homeport.tracking.artifacts import paths

PREFIX = paths.PREFIXES[0]
SEGMENT = st.one_of(
    st.sampled_from(
        ["..", ".", "", "%2e%2e", "..%2f", "%", "file:", "C:", "#", "?", "a;b", "HTTP:x", " a", "a b", "é"]
    ),
    st.text(max_size=8),
)


def taken(raw: str) -> str:
    """What is taken of a path as it was sent, decoded as uvicorn does."""
    return paths.artifact(unquote(raw), raw.encode())


@given(st.lists(SEGMENT, min_size=1, max_size=4).map("/".join))
def test_whatever_is_taken_is_safe_and_unchanged_to_mlflow(name: str) -> None:
    if paths.is_plain(name):
        assert validate_path_is_safe(name) == name
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(name.split("/"))


@pytest.mark.parametrize(
    "raw",
    [
        "", "/", "..", "../x", "a/../b", "a/..", "a//b", "a/", "/etc/passwd", "%2Fetc/passwd", "a/./b", ".",
        "a/%2e%2e/b", "a/%2E%2E%2Fb", "a/..%2fb", "a/%252e%252e/b", "a/%25252e%25252e/b", "a%2500", "a%00b", "a%0ab",
        "a%5c..%5cb", "a%5Cb", "C:/x", "C%3A/x", "file:///etc/passwd", "file%3a/etc/passwd", "a%23b", "a%3Fb",
        "a%3Bb", "a%25b", "a/%ff", "a/%c0%ae%c0%ae/b", "a/\x7fb", "x" * 300, "/".join(["x" * 200] * 6),
    ],
)  # fmt: skip
def test_a_path_that_is_not_plain_is_left_to_mlflow(raw: str) -> None:
    assert taken(PREFIX + raw) == ""


@pytest.mark.parametrize("name", ["a.txt", "0/abc/artifacts/model/MLmodel", "0/a b/ü+&='()~!@$*,.txt", "1/日本語/…"])
@pytest.mark.parametrize("prefix", paths.PREFIXES)
def test_a_plain_path_is_taken_however_it_is_encoded(name: str, prefix: str) -> None:
    assert taken(prefix + quote(name)) == name
    assert taken(prefix + quote(name, safe="/+&='()~!@$*,")) == name


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/api/2.0/mlflow-artifacts/artifacts/a", "/api/2.0/mlflow-artifacts/artifacts%2Fa"),
        ("/api/2.0/mlflow-artifacts/artifacts/a", "/api/2.0/mlflow-artifacts/artifacts/b"),
        ("/api/2.0/mlflow-artifacts/artifacts/a", ""),
        ("/prefix/api/2.0/mlflow-artifacts/artifacts/a", "/prefix/api/2.0/mlflow-artifacts/artifacts/a"),
        ("/api/2.0/mlflow-artifacts/artifacts", "/api/2.0/mlflow-artifacts/artifacts"),
        ("/api/2.0/mlflow-artifacts/mpu/create/a", "/api/2.0/mlflow-artifacts/mpu/create/a"),
    ],
)
def test_what_was_sent_otherwise_than_it_is_read_is_left_to_mlflow(path: str, raw: str) -> None:
    assert paths.artifact(path, raw.encode()) == ""
