"""What a call is about is told only where nobody could read it otherwise; and passwords are compared once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.security import check_password_hash, generate_password_hash

from homeport.tracking.front.call import Call, Subject
from homeport.tracking.front.subjects import About, about
from homeport.tracking.permissions import Comparisons

JSON = b"application/json"
A, B = "a" * 32, "b" * 32


def in_body(subject: Subject, body: Any, kind: bytes = JSON, query: bytes = b"", method: str = "POST") -> About | None:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return about(subject, Call(method, "/p", query, [], text), kind)


def in_query(subject: Subject, query: bytes, body: bytes = b"") -> About | None:
    return about(subject, Call("GET", "/p", query, [], body), b"")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"run_id": A}, About(runs=(A,))),
        ({"run_uuid": A}, About(runs=(A,))),
        ({"run_id": A, "run_uuid": A}, About(runs=(A,))),
        ({"run_id": A, "model_id": "m-1"}, About(runs=(A,), more=("m-1",))),
        (
            {"run_id": A, "metrics": [{"model_id": "m-2"}, {"key": "k"}, {"model_id": "m-1"}, {"model_id": "m-2"}]},
            About(runs=(A,), more=("m-1", "m-2")),
        ),
        ({"run_id": A, "models": [{"model_id": "m-1", "step": 1}]}, About(runs=(A,), more=("m-1",))),
        ({"run_id": A, "metrics": [{"key": "model/loss"}]}, About(runs=(A,))),
        (f'{{"run_id": "{A}", "run\\u005fid": "{B}"}}'.encode(), About(runs=(B,))),  # the last counts, everywhere
        (f'{{"run_id": "{A}", "mod\\u0065l_id": "m-1"}}'.encode(), About(runs=(A,), more=("m-1",))),
    ],
)
def test_a_run_in_the_body_is_found_with_the_models_that_need_a_permission_of_their_own(
    body: Any, found: About
) -> None:
    assert in_body(Subject.RUN, body) == found


@pytest.mark.parametrize(
    "body",
    [
        {"run_id": A, "run_uuid": B}, {"run_id": "", "run_uuid": A}, {"run_id": None, "run_uuid": A}, {"run_id": 7},
        {"run_id": A, "run_uuid": None}, {"run_id": [A]}, {"runId": A}, {"run_id": A, "runId": A}, {"runUuid": A}, {},
        {"run_id": A, "metrics": [{"modelId": "m-1"}]}, {"run_id": A, "metrics": {"model_id": "m-1"}},
        {"run_id": A, "metrics": ["model_id"]}, {"run_id": A, "model_id": 7}, [A], b"", b"{", b"\xef\xbb\xbf{}",
        json.dumps({"run_id": A}).encode("utf-16"), b'"{\\"run_id\\": \\"a\\"}"',
    ],
    ids=repr,
)  # fmt: skip
def test_a_run_that_is_spelled_twice_or_oddly_is_nobodys(body: Any) -> None:
    assert in_body(Subject.RUN, body) is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (b"run_id=" + A.encode(), About(runs=(A,))),
        (b"run_uuid=" + A.encode(), About(runs=(A,))),
        (f"run_id={A}&run_uuid={A}&x=1".encode(), About(runs=(A,))),
        (f"run_id={A}&run_id={A}".encode(), None),
        (f"run_id={A}&run_uuid={B}".encode(), None),
        (f"run_id={A}&run%5Fid={B}".encode(), None),
        (f"run_id=&run_uuid={B}".encode(), None),
        (b"run_id=%ff", None),
        (b"", None),
    ],
)
def test_a_run_in_the_query_is_there_once(query: bytes, found: About | None) -> None:
    assert in_query(Subject.RUN, query) == found


def test_only_one_place_counts() -> None:
    query = b"run_id=" + A.encode()
    assert in_query(Subject.RUN, query, body=b'{"run_id": "b"}') is None
    assert in_body(Subject.RUN, {"run_id": A}, query=query) is None
    assert in_body(Subject.RUN, {"run_id": A}, kind=b"text/plain") is None
    assert in_body(Subject.RUN, {"run_id": A}, kind=b"") is None
    assert in_body(Subject.RUN, {"run_id": A}, kind=b"application/json; charset=utf-8") == About(runs=(A,))


@pytest.mark.parametrize("experiment", ["01", "+1", " 1", "1 ", "1.0", "x", "", 1, None, "１", ["1"], "9" * 30])
def test_an_experiment_is_written_as_mlflow_writes_it(experiment: Any) -> None:
    assert in_body(Subject.EXPERIMENT, {"experiment_id": experiment}) is None
    assert in_body(Subject.EXPERIMENTS, {"experiment_ids": ["1", experiment]}) is None
    assert in_body(Subject.EXPERIMENT, {"experiment_id": "10"}) == About(experiments=("10",))
    assert in_body(Subject.EXPERIMENTS, {"experiment_ids": ["2", "1", "2"]}) == About(experiments=("1", "2"))
    assert in_body(Subject.EXPERIMENTS, {"experiment_ids": []}) is None
    assert in_body(Subject.EXPERIMENT, {"experiment_id": "1", "experimentId": "2"}) is None


def test_several_runs_come_under_one_name() -> None:
    assert in_query(Subject.RUNS, b"run_id=a&run_id=b") == About(runs=("a", "b"))
    assert in_query(Subject.RUNS, b"run_ids=a") == About(runs=("a",))
    assert in_query(Subject.RUNS, b"run_id=a&run_ids=b") is None
    assert in_query(Subject.RUNS, b"run_id=a&run_id=") is None


def test_names_and_paths_are_taken_as_they_are() -> None:
    assert in_query(Subject.MODEL, b"name=a%2Fb") == About(more=("a/b",))
    assert in_query(Subject.MODEL, b"name=a&name=b") is None
    assert in_query(Subject.EXPERIMENT_NAME, b"experiment_name=a+b") == About(experiment_name="a b")
    assert in_query(Subject.ARTIFACT, b"path=x") != in_query(Subject.ARTIFACT, b"path=y")
    upload = in_body(Subject.ARTIFACT, b"", kind=b"application/octet-stream", query=b"x=1", method="PUT")
    assert upload == About(more=("x=1",))


def test_a_password_is_compared_once_with_each_hash_and_never_for_the_wrong_one() -> None:
    asked: list[str] = []

    def check(stored: str, password: str) -> bool:
        asked.append(password)
        return check_password_hash(stored, password)

    compare = Comparisons(check)
    first, second = generate_password_hash("first"), generate_password_hash("second")
    for _ in range(3):
        assert compare(first, "first")
        assert compare.if_at_leisure(first, "first")
        assert not compare(first, "second")
        assert not compare(second, "first")
        assert compare.if_at_leisure(second, "second")
    assert asked == ["first", "second", "first", "second"]


def test_nobody_waits_while_as_many_passwords_are_compared_as_may_be() -> None:
    stored = generate_password_hash("right")
    compare = Comparisons(check_password_hash)
    for _ in range(2):
        assert compare._turn.acquire(blocking=False)
    assert not compare.if_at_leisure(stored, "right")
    compare._turn.release()
    assert compare.if_at_leisure(stored, "right")
