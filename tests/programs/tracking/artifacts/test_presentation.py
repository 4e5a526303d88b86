"""Names, types and versions: upstream's own answers without upstream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.server.handlers import _content_disposition_attachment
from mlflow.utils.mime_type_utils import _guess_mime_type

from homeport.tracking.artifacts import presentation
from homeport.tracking.artifacts.paths import is_plain
from homeport.tracking.artifacts.presentation import Version, version

ENDING = st.sampled_from([
    "", ".txt", ".tar.gz", ".json", ".PNG", ".html", ".js", ".md", ".yaml", ".bin", ".pkl", ".csv.gz", "MLmodel",
    "mlproject", ".", "..x", ".svg", ".parquet",
])  # fmt: skip
NAME = st.tuples(st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), max_size=6), ENDING).map(
    "".join
)
OLD, NOW = "Sat, 21 Nov 2026 10:00:00 GMT", "Sat, 21 Nov 2026 12:00:00 GMT"


@given(NAME.filter(is_plain))
def test_an_artifact_has_the_type_and_name_that_mlflow_gives_it(name: str) -> None:
    assert presentation.content_type(f"0/{name}") == _guess_mime_type(f"/tmp/x/0/{name}")
    assert presentation.disposition(f"0/{name}") == _content_disposition_attachment(name)


@pytest.mark.parametrize(
    ("headers", "had"),
    [
        ({}, False),
        ({b"if-none-match": b'"abc"'}, True),
        ({b"if-none-match": b'W/"abc", "other"'}, True),
        ({b"if-none-match": b'"other"'}, False),
        ({b"if-none-match": b"*"}, True),
        ({b"if-modified-since": OLD.encode()}, True),
        ({b"if-modified-since": b"Sat, 21 Nov 2026 09:59:59 GMT"}, False),
        ({b"if-modified-since": b"yesterday"}, False),
        ({b"if-modified-since": b"Sat, 21 Nov 2026 10:00:00 -0000"}, False),
        ({b"if-none-match": b'"other"', b"if-modified-since": NOW.encode()}, False),
    ],
)
def test_a_client_has_this_version_only_when_it_says_so(headers: dict[bytes, bytes], had: bool) -> None:
    assert Version('"abc"', OLD).is_had(headers) is had


def test_nothing_known_of_a_version_is_had_by_nobody() -> None:
    assert not Version("", "").is_had({b"if-none-match": b'"", *'})
    assert not Version("", "").is_had({b"if-modified-since": NOW.encode()})


def test_time_and_size_stand_for_an_empty_etag_and_agree_between_whole_and_range() -> None:
    whole = version({"ETag": '""', "Last-Modified": OLD, "Date": NOW, "Content-Length": "100"})
    part = version({
        "ETag": '""', "Last-Modified": OLD, "Date": NOW, "Content-Length": "3", "Content-Range": "bytes 0-2/100",
    })  # fmt: skip
    other = version({"ETag": '""', "Last-Modified": OLD, "Date": NOW, "Content-Length": "101"})
    assert whole.etag.strip('"')
    assert whole == part
    assert whole.etag != other.etag


def test_a_time_whose_second_is_not_over_tells_nothing() -> None:
    assert version({"ETag": '""', "Last-Modified": NOW, "Date": NOW, "Content-Length": "1"}) == Version("", "")
    assert version({"ETag": '"a"', "Last-Modified": NOW, "Date": NOW, "Content-Length": "1"}) == Version('"a"', "")
    assert version({"ETag": '""', "Last-Modified": OLD, "Content-Length": "1"}) == Version("", "")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (b"bytes=0-1", "bytes=0-1"),
        (b"bytes=5-", "bytes=5-"),
        (b"bytes=-5", "bytes=-5"),
        (b"bytes=0-1,3-4", ""),
        (b"bytes=-", ""),
        (b"lines=1-2", ""),
        (b"bytes=1 -2", ""),
        (b"", ""),
    ],
)
def test_one_plain_range_is_handed_on_and_every_other_is_answered_with_the_whole(asked: bytes, told: str) -> None:
    assert presentation.single_range({b"range": asked}) == told
    assert presentation.single_range({b"range": asked, b"if-range": b'"abc"'}) == ""
