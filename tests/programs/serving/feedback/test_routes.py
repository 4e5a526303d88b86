"""The truth comes in before or after its prediction; rows go out in every format, however many, to whoever stays."""

from __future__ import annotations

import io
import json
import socket
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
import requests

from homeport.serving.feedback import statements
from homeport.serving.feedback.database import parse_uri
from homeport.serving.feedback.formats import FORMATS
from homeport.serving.feedback.training_data import Export, Selection
from tests.programs.database.programs import eventually
from tests.programs.database.server import Server, run
from tests.programs.serving.feedback.tables import prediction
from tests.programs.serving.feedback.web import site

OURS = ["prediction", "truth", "request_id", "row", "at", "model", "version"]


@pytest.fixture
def url(uri: str) -> Iterator[str]:
    with site(uri) as address:
        yield address


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def write(session: Any, *entries: Any) -> None:
    statements.write(session, [statements.prediction(entry) for entry in entries], lambda: pytest.fail("refused"))


def many(session: Any, rows: int, width: int = 0) -> None:
    """Rows as the log writes them, made by the database itself."""
    run(
        session,
        "INSERT INTO prediction (request_id, row, at, model, version, inputs, prediction)"
        " SELECT 'r' || n, 0, now() + n * interval '1 ms', 'wine', '1',"
        f" json_build_object('a', n, 'b', n / 7.0, 'c', repeat('x', {width})), to_json(n * 0.5)"
        f" FROM generate_series(1, {rows}) AS n",
    )


def post(url: str, body: Any) -> requests.Response:
    return requests.post(f"{url}/feedback", json=body, timeout=30)


def lines(url: str, **query: Any) -> list[dict[str, Any]]:
    answer = requests.get(f"{url}/training-data", params={"format": "jsonl", **query}, timeout=30)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_feedback_after_its_prediction_labels_it(url: str, session: Any) -> None:
    write(session, prediction("known", [{"x": 1}, {"x": 2}]))
    answer = post(url, {"request_id": "known", "truth": [6, 7]})
    assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "unknown": []})
    assert [(row["x"], row["truth"]) for row in lines(url, labelled="true")] == [(1, 6), (2, 7)]


def test_feedback_before_its_prediction_is_kept_until_it_comes(url: str, session: Any) -> None:
    assert post(url, {"request_id": "early", "truth": "good"}).json() == {"accepted": 1, "unknown": ["early"]}
    assert lines(url) == []
    write(session, prediction("early"))
    assert [row["truth"] for row in lines(url)] == ["good"]


def test_the_last_truth_of_a_row_wins(url: str, session: Any) -> None:
    write(session, prediction("r"))
    post(url, {"request_id": "r", "truth": 1})
    post(url, [{"request_id": "r", "truth": 2}, {"request_id": "r", "truth": 3}])
    assert [row["truth"] for row in lines(url)] == [3]


def test_one_row_of_several_can_be_named_and_unknown_ones_left_out(url: str, session: Any) -> None:
    write(session, prediction("r", [{"x": number} for number in range(4)]))
    assert post(url, {"request_id": "r", "truth": [5, None, 7]}).json()["accepted"] == 2
    assert post(url, {"request_id": "r", "row": 3, "truth": [1, 2]}).json() == {"accepted": 1, "unknown": []}
    assert post(url, {"request_id": "r", "row": 4.0, "truth": 9}).json() == {"accepted": 1, "unknown": ["r"]}
    assert [row["truth"] for row in lines(url)] == [5, None, 7, [1, 2]]
    assert [row["x"] for row in lines(url, labelled="false")] == [1]


@pytest.mark.parametrize(
    ("body", "status", "needed"),
    [
        (b"{", 400, "must be JSON"),
        (b"[]", 400, "at least one"),
        (b"7", 400, "request_id"),
        (b'{"request_id": "r"}', 400, "truth missing"),
        (b'{"request_id": "r", "truth": null}', 400, "no value"),
        (b'{"request_id": "", "truth": 1}', 400, "1 to 256"),
        (b'{"request_id": "a\\u0000b", "truth": 1}', 400, "printable"),
        (b'{"request_id": 5, "truth": 1}', 400, "a text"),
        (b'{"request_id": "r", "truth": 1, "row": -1}', 400, "from 0"),
        (b'{"request_id": "r", "truth": 1, "row": null}', 400, "from 0"),
        (b'{"request_id": "r", "truth": 1, "row": 1.5}', 400, "from 0"),
        (b'{"request_id": "r", "truth": 1, "row": true}', 400, "from 0"),
        (b'{"request_id": "r", "truth": 1, "label": 1}', 400, "row is possible"),
        (b'[{"request_id": "r", "truth": 1}, {"truth": 1}]', 400, "feedback 1: "),
        (json.dumps({"request_id": "r", "truth": [1] * 10_001}).encode(), 413, "10,000 rows"),
    ],
)
def test_what_is_no_feedback_is_refused_whole(url: str, session: Any, body: bytes, status: int, needed: str) -> None:
    answer = requests.post(f"{url}/feedback", data=body, timeout=30)
    assert answer.status_code == status
    assert needed in answer.json()["message"]
    assert run(session, "SELECT count(*) FROM feedback") == [(0,)]


def test_without_a_log_both_say_how_to_turn_it_on() -> None:
    with site(None) as url:
        for answer in (post(url, {"request_id": "r", "truth": 1}), requests.get(f"{url}/training-data", timeout=30)):
            assert (answer.status_code, answer.json()["error_code"]) == (409, "FEATURE_DISABLED")
            assert "HOMEPORT_PREDICTION_LOG=1" in answer.json()["message"]


def test_a_database_that_is_away_is_said_so_and_comes_back(own: Server, template: str) -> None:
    from homeport.serving.feedback import schema
    from tests.programs.serving.feedback.tables import admin_uri

    database = parse_uri(admin_uri(own))
    connection = database.connect()
    schema.bring_to_head(database, connection)
    connection.close()
    with site(admin_uri(own)) as url:
        assert post(url, {"request_id": "r", "truth": 1}).status_code == 200
        own.programs[-1].stop()
        for answer in (post(url, {"request_id": "r", "truth": 2}), requests.get(f"{url}/training-data", timeout=30)):
            assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
            assert answer.headers["Retry-After"]
        own.start()
        assert post(url, {"request_id": "r", "truth": 3}).status_code == 200


def test_what_the_api_document_says_is_a_schema_of_what_is_taken(url: str) -> None:
    paths = requests.get(f"{url}/openapi.json", timeout=30).json()["paths"]
    names = {parameter["name"] for parameter in paths["/training-data"]["get"]["parameters"]}
    assert names == {"model", "version", "since", "until", "labelled", "limit", "format"}
    one, several = paths["/feedback"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert one["required"] == ["request_id", "truth"]
    assert several["maxItems"] == 10_000


def test_all_three_formats_say_the_same(url: str, session: Any) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    write(
        session,
        prediction(
            "r",
            [
                {"fixed acidity": 7.5, "n": 1, "name": '=1+1, "é"\n', "good": True, "tags": ["a"], "mixed": 1},
                {"fixed acidity": None, "n": -2, "name": "", "good": False, "tags": {"b": 1}, "mixed": "one"},
            ],
            [0.25, 1],
            at=at.timestamp(),
        ),
    )
    post(url, {"request_id": "r", "truth": [6, None]})
    inputs = ["fixed acidity", "n", "name", "good", "tags", "mixed"]

    answer = requests.get(f"{url}/training-data", headers={"Accept": "text/csv"}, timeout=30)
    assert answer.headers["Content-Type"].startswith("text/csv")
    table = pd.read_csv(io.BytesIO(answer.content))
    assert list(table.columns) == [*inputs, *OURS]
    assert table["fixed acidity"].tolist()[0] == 7.5
    assert table["n"].tolist() == [1, -2]
    assert table["name"].tolist()[0] == '=1+1, "é"\n'
    assert table["good"].tolist() == [True, False]
    assert table["tags"].tolist() == ['["a"]', '{"b":1}']
    assert table["truth"].isna().tolist() == [False, True]
    assert pd.to_datetime(table["at"])[0] == pd.Timestamp(at)

    rows = lines(url)
    assert [row["mixed"] for row in rows] == [1, "one"]
    assert [row["tags"] for row in rows] == [["a"], {"b": 1}]
    assert list(rows[0]) == [*inputs, *OURS]
    frame = pd.read_json(io.StringIO("\n".join(json.dumps(row) for row in rows)), lines=True)
    assert frame["prediction"].tolist() == [0.25, 1]

    answer = requests.get(f"{url}/training-data", headers={"Accept": "application/vnd.apache.parquet"}, timeout=30)
    table = pd.read_parquet(io.BytesIO(answer.content))
    assert list(table.columns) == [*inputs, *OURS]
    assert [str(table[name].dtype) for name in ("fixed acidity", "n", "good", "prediction", "truth", "row")] == [
        "float64", "int64", "bool", "float64", "float64", "int64",
    ]  # fmt: skip
    assert table["name"].tolist() == ['=1+1, "é"\n', ""]
    assert table["mixed"].tolist() == ["1", '"one"']
    assert table["at"].tolist() == [pd.Timestamp(at)] * 2


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_empty_log_is_an_empty_table(url: str, name: str) -> None:
    answer = requests.get(f"{url}/training-data", params={"format": name}, timeout=30)
    if name == "jsonl":
        assert answer.content == b""
        return
    read = pd.read_csv if name == "csv" else pd.read_parquet
    assert list(read(io.BytesIO(answer.content)).columns) == OURS


def test_our_columns_step_aside_for_the_inputs(url: str, session: Any) -> None:
    write(session, prediction("r", [{"version": "v", "_at": 1}]))
    answer = requests.get(f"{url}/training-data", timeout=30)
    assert answer.headers["X-Column-Prefix"] == "__"
    assert answer.text.splitlines()[0] == "version,_at," + ",".join(f"__{name}" for name in OURS)
    assert lines(url)[0]["__version"] == "1"
    assert lines(url)[0]["version"] == "v"


def test_rows_are_chosen_by_model_version_time_and_number(url: str, session: Any) -> None:
    base = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    write(
        session,
        prediction("c", model="b", version="2", at=base + 7200),
        prediction("a", model="a", version="1", at=base),
        prediction("b", model="a", version="2", at=base + 3600),
    )

    def ids(**query: Any) -> str:
        return "".join(row["request_id"] for row in lines(url, **query))

    assert ids() == "abc"
    assert ids(model="a") == "ab"
    assert ids(version="2") == "bc"
    assert ids(since="2026-01-01T01:00:00Z") == "bc"
    assert ids(since="2026-01-01T02:00:00+01:00", until="2026-01-01T02:00:00") == "b"
    assert ids(since="2026-01-02T00:30:00+23:30", until="2026-01-01") == ""
    assert ids(since="2026-01-01T23:59:00+23:59") == "abc"
    assert ids(limit=2) == "ab"
    assert ids(model="none of them") == ""


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=many",
        "labelled=yes",
        "since=yesterday",
        "format=xlsx",
        "lablled=true",
        "model=%00",
        "limit=1e3",
        "since=0001-01-01T00:00:00%2B01:00",
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused(url: str, query: str) -> None:
    answer = requests.get(f"{url}/training-data?{query}", timeout=30)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_format_nobody_writes_is_not_acceptable(url: str) -> None:
    answer = requests.get(f"{url}/training-data", headers={"Accept": "image/png, text/csv;q=0"}, timeout=30)
    assert answer.status_code == 406
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    assert requests.get(f"{url}/training-data", headers=browser, timeout=30).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FORMATS))
def test_a_hundred_thousand_rows_take_little_memory(uri: str, session: Any, name: str) -> None:
    many(session, 100_000, width=200)
    tracemalloc.start()
    try:
        export = Export(parse_uri(uri), Selection(model="wine"))
        size = sum(len(piece) for piece in FORMATS[name].write(export.columns, export.batches()))
        export.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 1_000_000
    assert peak < 30_000_000, f"{peak / 1e6:.0f} MB at most for {size / 1e6:.0f} MB"


def sessions(session: Any) -> int:
    return int(
        run(
            session,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()",
        )[0][0]
    )


def open_download(url: str) -> socket.socket:
    """A client that has asked and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    client.sendall(b"GET /training-data HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client


def test_a_client_that_goes_away_frees_its_session(url: str, session: Any) -> None:
    many(session, 50_000, width=1000)
    client = open_download(url)
    eventually(lambda: sessions(session) == 1)
    client.close()
    eventually(lambda: sessions(session) == 0)


def test_clients_that_read_nothing_leave_the_rest_usable_and_are_few(url: str, session: Any) -> None:
    many(session, 50_000, width=1000)
    clients = [open_download(url) for _ in range(4)]
    try:
        eventually(lambda: sessions(session) == 4)
        assert post(url, {"request_id": "r1", "truth": 1}).json() == {"accepted": 1, "unknown": []}
        refused = requests.get(f"{url}/training-data", timeout=30)
        assert (refused.status_code, refused.json()["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
    finally:
        for client in clients:
            client.close()
    eventually(lambda: sessions(session) == 0)
    assert len(lines(url, limit=3)) == 3


def test_a_database_that_breaks_off_never_looks_like_the_end_of_the_rows(url: str, session: Any) -> None:
    many(session, 50_000, width=1000)
    with requests.get(f"{url}/training-data", stream=True, timeout=30) as answer:
        pieces = answer.iter_content(1000)
        assert next(pieces).startswith(b"a,b,c,prediction")
        run(
            session,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            for _ in pieces:
                pass


def test_rows_written_during_a_download_are_not_in_it(uri: str, session: Any) -> None:
    many(session, 100)
    export = Export(parse_uri(uri), Selection())
    batches = export.batches()
    first = next(batches)
    write(session, prediction("later", [{"new column": 1}], at=time.time() + 1000))
    rows = [*first, *(row for batch in batches for row in batch)]
    export.close()
    assert len(rows) == 100
    assert not [row for row in rows if "new column" in row]
