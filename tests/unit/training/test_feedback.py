from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from homeport.errors import HomeportError
from homeport.training.__main__ import main
from homeport.training.data import COLUMNS, FEATURES
from homeport.training.feedback import divide, read_fresh, serving_url

Serve = Callable[..., str]
ASKED: list[str] = []
GOOD = dict.fromkeys(FEATURES, 1.0)


def labelled(truth: Any = 6, request_id: str = "r", **inputs: Any) -> dict[str, Any]:
    ours = {"prediction": 5.5, "request_id": request_id, "row": 0, "at": "now", "model": "m", "version": "1"}
    return {**GOOD, **inputs, **ours, "truth": truth}


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server that answers the same to everybody; its address."""
    servers: list[ThreadingHTTPServer] = []
    ASKED.clear()

    def start(*rows: Any, status: int = 200, body: bytes | None = None, headers: dict[str, str] | None = None) -> str:
        content = b"".join(json.dumps(row).encode() + b"\n" for row in rows) if body is None else body

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                ASKED.append(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_arguments: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Answer))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def refusal(url: str) -> HomeportError:
    with pytest.raises(HomeportError) as refused:
        read_fresh(url, "wine-quality")
    return refused.value


def test_labelled_rows_of_the_model_are_read_in_the_files_order_of_columns(serve: Serve) -> None:
    rows = read_fresh(serve(labelled(7, alcohol=12, extra="x"), labelled(5.5)), "my wine", "2026-01-01T00:00:00+00:00")
    assert rows.values.shape == (2, 12)
    assert rows.values[0].tolist() == [*[1.0] * 10, 12.0, 7.0]
    assert rows.values[1, -1] == 5.5
    query = parse_qs(urlsplit(ASKED[0]).query)
    assert query["model"] == ["my wine"]
    assert query["labelled"] == ["true"]
    assert query["since"] == ["2026-01-01T00:00:00+00:00"]


def test_rows_without_names_stand_in_the_models_order(serve: Serve) -> None:
    positions = {str(place): float(place) for place in range(11)}
    row = {**positions, "truth": 6, "prediction": 5, "request_id": "r", "row": 0, "at": "", "model": "", "version": ""}
    assert read_fresh(serve(row), "m").values[0].tolist() == [*map(float, range(11)), 6.0]


def test_an_input_that_is_called_truth_is_not_taken_for_it(serve: Serve) -> None:
    row = {**GOOD, "truth": "an input", "_truth": 7, "_request_id": "r", "_row": 0}
    assert read_fresh(serve(row, headers={"X-Column-Prefix": "_"}), "m").values[0, -1] == 7.0


def test_rows_that_do_not_fit_refuse_the_whole_with_their_number_reason_and_request(serve: Serve) -> None:
    short = labelled()
    del short["pH"]
    rows = [labelled(), labelled("good", "a"), labelled("bad", "b"), short, labelled(True, "t"), labelled(alcohol=None)]
    error = refusal(serve(*rows))
    assert (error.code, error.exit_code) == ("FEEDBACK_UNUSABLE", 2)
    assert error.what == "5 of 6 labelled rows cannot be learned from"
    assert error.evidence == (
        ("3 rows", "the truth is not a number; the first: request a, row 0"),
        ("1 row", "column pH is missing; the first: request r, row 0"),
        ("1 row", "column alcohol has no value; the first: request r, row 0"),
    )


def test_without_a_labelled_row_it_says_how_to_send_one(serve: Serve) -> None:
    error = refusal(serve())
    assert error.code == "FEEDBACK_EMPTY"
    assert "/feedback" in error.fix


def test_a_log_that_is_off_and_other_refusals_are_told_apart(serve: Serve) -> None:
    off = refusal(serve(status=409, body=b'{"error_code": "FEATURE_DISABLED", "message": "the log is off"}'))
    assert (off.code, "HOMEPORT_PREDICTION_LOG=1" in off.fix) == ("FEEDBACK_OFF", True)
    assert refusal(serve(status=404, body=b"<html>")).code == "SERVING_REFUSED"


def test_half_an_answer_is_no_answer(serve: Serve) -> None:
    url = serve(labelled(), headers={"Content-Length": "100000"})
    assert refusal(url).code == "SERVING_UNREACHABLE"
    assert refusal("http://127.0.0.1:1").code == "SERVING_UNREACHABLE"


def test_without_a_serving_url_it_exits_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite://")
    monkeypatch.delenv("HOMEPORT_SERVING_URL", raising=False)
    assert main(["wine-quality", "--from-feedback"]) == 2
    assert "homeport up" in capsys.readouterr().err
    monkeypatch.setenv("HOMEPORT_SERVING_URL", "http://h:1/")
    assert serving_url() == "http://h:1"


@pytest.mark.parametrize(
    "arguments", [["--since", "2026-01-01"], ["--from-feedback", "--since", "yesterday"], ["--from-feedback=yes"]]
)
def test_a_time_needs_feedback_and_must_be_one(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wine-quality", *arguments]) == 2
    assert capsys.readouterr().err.rstrip().endswith("USAGE")


def table(rows: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).random((rows, len(COLUMNS)))


def test_a_fifth_of_the_fresh_rows_is_held_out_and_always_the_same_ones() -> None:
    fresh, train, test = table(1000, 1), table(50, 2), table(20, 3)
    once = divide(fresh, train, test)
    assert 150 < len(once.held_out) < 250
    assert len(once.learn) + len(once.held_out) == 1000
    more = np.concatenate([table(500, 4), fresh[::-1]])
    again = divide(more, train, test)
    assert {row.tobytes() for row in once.held_out} <= {row.tobytes() for row in again.held_out}
    assert {row.tobytes() for row in once.learn} <= {row.tobytes() for row in again.learn}


def test_one_wine_goes_one_way_whatever_its_quality_was_said_to_be() -> None:
    fresh = table(200, 1)
    other = fresh.copy()
    other[:, -1] += 1
    division = divide(np.concatenate([fresh, other]), table(50, 2), table(20, 3))
    held, learn = ({row[:-1].tobytes() for row in part} for part in (division.held_out, division.learn))
    assert len(held) + len(learn) == 200
    assert not held & learn


def test_nothing_held_out_is_learned_and_nothing_learned_is_held_out() -> None:
    train, test = table(200, 2), table(100, 3)
    relabelled = test.copy()
    relabelled[:, -1] += 1
    division = divide(np.concatenate([train, test, relabelled]), train, test)
    assert division.learn.tolist() == train.tolist()
    assert division.known.tolist() == [*test.tolist(), *relabelled.tolist()]
    assert division.held_out.shape == (0, 12)
