"""runs/search finds the runs that MLflow finds, in its order and in its pages."""

from __future__ import annotations

import json
import os
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.tracking import planning
from homeport.tracking.fast.reads.plans import PLAIN
from tests.programs.tracking.reads.both import API, JSON, Both
from tests.programs.tracking.reads.filling import KEYS, START, WORDS, Filled

pytestmark = pytest.mark.slow

MANY = int(os.environ.get("HOMEPORT_TEST_SEARCHES", "500"))  # thousands take minutes

SEARCH = API + "runs/search"

_key = st.sampled_from([*(f"`{key}`" for key in KEYS), "a", "b", '"a"', "absent", "`mlflow.user`"])
_word = st.sampled_from([*WORDS, "%", "_", "train", "one"]).map(lambda word: '"' + word + '"')
_word |= st.sampled_from(["x", "X%", "%5%", "a_b", "1", "\\%"]).map(lambda word: f"'{word}'")
_number = st.sampled_from(["0", "1", "-1", "0.1", "1e15", "1.0", "123456789012345", "5e-324", "2.5"])
_text_is = st.sampled_from(["=", "!=", "LIKE", "ILIKE", "like"])
_number_is = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
_clause = st.one_of(
    st.builds("metrics.{} {} {}".format, _key, _number_is, _number),
    st.builds("{}.{} {} {}".format, st.sampled_from(["params", "tags", "tag", "parameter"]), _key, _text_is, _word),
    st.builds(
        "{}.{} {}".format, st.sampled_from(["params", "tags"]), _key, st.sampled_from(["IS NULL", "IS NOT NULL"])
    ),
    st.builds(
        "attributes.{} {} {}".format,
        st.sampled_from(["status", "user_id", "run_name", "`Run name`", "artifact_uri", "run_id"]),
        _text_is,
        _word | st.just("'RUNNING'"),
    ),
    st.builds(
        "attributes.{} {} {}".format,
        st.sampled_from(["start_time", "end_time", "created"]),
        _number_is,
        st.integers(START - 2, START + 22) | st.sampled_from([-1, 2**63 - 1]),
    ),
    st.builds(
        "dataset{}.{} {} {}".format,
        st.sampled_from(["", "s"]),
        st.sampled_from(["name", "digest", "context"]),
        _text_is,
        _word,
    ),
    st.sampled_from(
        ["datasets.name IN ('one', 'two')", "datasets.context NOT IN ('train')", "attributes.run_id IN ('a', 'b')"]
    ),
)
_nonsense = st.sampled_from(
    ["metrics.a", "metrics.a = 'x'", "params.a = 1", "a or b", "attributes.none = 'x'", "metrics.a LIKE 'x'", "'", "()"]
)
_filter = st.one_of(st.lists(_clause, max_size=4), st.lists(_clause | _nonsense, max_size=3)).map(" and ".join)
_order = st.lists(
    st.builds(
        "{}{}".format,
        st.one_of(
            st.builds("{}.{}".format, st.sampled_from(["metrics", "params", "tags", "metric"]), _key),
            st.sampled_from(["attributes.start_time", "start_time", "status", "attributes.`run_name`", "end_time"]),
            st.sampled_from(["run_id", "attributes.user_id", "dataset.name", "created", "nothing", ""]),
        ),
        st.sampled_from(["", " ASC", " DESC", " desc", " up"]),
    ),
    max_size=3,
)


_wanted = st.fixed_dictionaries(
    {
        "filter": _filter,
        "order_by": _order,
        "run_view_type": st.sampled_from(["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]),
        "max_results": st.sampled_from([1, 3, 7, 100]),
    }
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(wanted=_wanted)
def test_searches_of_all_kinds_find_what_mlflow_finds(both: Both, filled: Filled, wanted: dict[str, Any]) -> None:
    _alike(both, {"experiment_ids": filled.experiments[:2], **wanted})


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(max_examples=MANY, deadline=None)
@given(wanted=_wanted)
def test_many_random_searches_find_what_mlflow_finds(both: Both, filled: Filled, wanted: dict[str, Any]) -> None:
    _alike(both, {"experiment_ids": filled.experiments, **wanted})


def _alike(both: Both, wanted: dict[str, Any]) -> None:
    """Answered just if MLflow answers, and as it does; the next page too."""
    body = json.dumps(wanted).encode()
    status, found = both.stock(SEARCH, body=body)
    if status != 200:
        both.left(SEARCH, body=body)
        return
    both.same(SEARCH, body=body)
    if "next_page_token" in found:
        both.post(SEARCH, **{**wanted, "page_token": found["next_page_token"]})


def test_pages_are_walked_to_the_end(both: Both, filled: Filled) -> None:
    token: str | None = None
    seen: list[str] = []
    while True:
        page = both.post(
            SEARCH, experiment_ids=filled.experiments, max_results=9, run_view_type="ALL", page_token=token
        )
        seen += [run["info"]["run_id"] for run in page["runs"]]
        token = page.get("next_page_token")
        if not token:
            break
    assert set(seen) >= set(filled.runs)
    assert len(seen) == len(set(seen))


def test_no_filter_and_no_order_need_no_plan(both: Both, filled: Filled) -> None:
    both.planner.starting = True
    asked = both.planner.asked
    try:
        both.post(SEARCH, experiment_ids=filled.experiments)
        both.post(
            SEARCH, experiment_ids=filled.experiments, filter="", order_by=[], page_token=None, run_view_type=None
        )
        body = {"experiment_ids": filled.experiments, "filter": "tags.never = 'asked before'"}
        both.left(SEARCH, body=json.dumps(body).encode())
    finally:
        both.planner.starting = False
    assert both.planner.asked == asked
    both.post(SEARCH, **body)  # what could not be asked is not remembered as refused


def test_a_plan_is_asked_for_once(both: Both, filled: Filled) -> None:
    asked = both.planner.asked
    for size in (1, 2, 3):
        both.post(SEARCH, experiment_ids=filled.experiments, filter="params.a = 'once'", max_results=size)
    both.left(SEARCH, body=b'{"experiment_ids":["1"],"filter":"nonsense once"}')
    both.left(SEARCH, body=b'{"experiment_ids":["1"],"filter":"nonsense once"}')
    assert both.planner.asked == asked + 2


@pytest.mark.parametrize("of", ["runs", "experiments", "traces"])
def test_the_plan_known_by_heart_is_the_one_upstream_makes(both: Both, of: str) -> None:
    status, body = planning.answer(orjson.dumps({"of": of, "filter": "", "order_by": []}), ())
    made = orjson.loads(body)
    assert status == 200
    assert {place["name"] for place in made["places"]} == {place["name"] for place in PLAIN[of].places}
    assert _shape(made["statement"]) == _shape(PLAIN[of].statement)


def _shape(statement: str) -> list[str]:
    """What it says, without casts, spelling and the order of LIMIT and OFFSET."""
    text = statement.lower().replace("runs.", "").replace("experiments.", "").replace(", start_time", "", 1)
    for noise in ("::integer[]", "::int[]", "::varchar(20)[]", "::varchar(32)[]", "::varchar[]", "::bigint", " asc"):
        text = text.replace(noise, "")
    start, _, end = text.partition(" order by ")
    order = end.partition(" offset ")[0].partition(" \n limit ")[0]
    return [*start.replace("any (", "any(").split(), *order.split()]


@pytest.mark.parametrize(
    "fields",
    [
        {"max_results": "5"},
        {"max_results": 1},
        {"run_view_type": 3},
        {"run_view_type": 1, "filter": None, "order_by": None},
        {"experiment_ids": []},
        {"experiment_ids": None},
        {"experiment_ids": ["007", "1", "1"]},
        {"experiment_ids": ["2147483647"]},
        {"page_token": ""},
        {"page_token": "eyJvZmZzZXQiOiAxMDAwMH0="},  # beyond the last run
    ],
)
def test_odd_but_good_searches_are_answered(both: Both, filled: Filled, fields: dict[str, Any]) -> None:
    both.post(SEARCH, **{"experiment_ids": filled.experiments, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"max_results": 0},
        {"max_results": -1},
        {"max_results": 50001},
        {"max_results": True},
        {"max_results": 1.5},
        {"max_results": None},
        {"max_results": "x"},
        {"run_view_type": 4},
        {"run_view_type": "active_only"},
        {"experiment_ids": ["x"]},
        {"experiment_ids": "1"},
        {"experiment_ids": [1]},
        {"experiment_ids": ["99999999999999999999"]},
        {"page_token": "x"},
        {"page_token": "e30="},
        {"page_token": "eyJvZmZzZXQiOiAtMX0="},
        {"filter": 1},
        {"order_by": "start_time"},
        {"order_by": [1]},
        {"experimentIds": ["1"]},
        {"unknown": 1},
    ],
)
def test_what_is_odd_is_left_to_mlflow(both: Both, filled: Filled, fields: dict[str, Any]) -> None:
    both.left(SEARCH, body=json.dumps({"experiment_ids": filled.experiments, **fields}).encode())


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", JSON),
        (b"[]", JSON),
        (b'"{}"', JSON),
        (b'{"experiment_ids":', JSON),
        (b"{}", ()),
        (b"{}", ((b"content-type", b"text/plain"),)),
        (b"{}", ((b"content-type", b"application/json"), (b"content-type", b"application/json"))),
        (b"{}", ((b"content-type", b"application/json"), (b"transfer-encoding", b"chunked"))),
    ],
)
def test_what_is_no_json_is_left_to_mlflow(both: Both, filled: Filled, body: bytes, headers: Any) -> None:
    both.left(SEARCH, body=body, headers=headers)


def test_json_may_name_its_charset(both: Both, filled: Filled) -> None:
    headers = ((b"content-type", b"application/json; charset=utf-8"),)
    assert both.fast(SEARCH, body=b"{}", headers=headers) is not None


@pytest.mark.parametrize("filter_string", ["attributes.start_time > 1.5", f"attributes.start_time < {2**63}"])
def test_numbers_that_postgresql_might_take_otherwise_are_left_to_mlflow(
    both: Both, filled: Filled, filter_string: str
) -> None:
    both.left(SEARCH, body=json.dumps({"experiment_ids": filled.experiments, "filter": filter_string}).encode())
