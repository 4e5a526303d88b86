"""experiments/get, get-by-name and search tell what MLflow tells."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.reads.table import Reads
from tests.programs.tracking.reads.both import API, Both
from tests.programs.tracking.reads.filling import Filled

GET = API + "experiments/get"
BY_NAME = API + "experiments/get-by-name"
SEARCH = API + "experiments/search"

_word = st.sampled_from(["'%'", "'experiment 1 ä%'", "'EXPERIMENT%'", "'x'", "''", "'active'", "'Default'"])
_is = st.sampled_from(["=", "!=", "LIKE", "ILIKE"])
_time = st.sampled_from(["creation_time", "last_update_time"])
_clause = st.one_of(
    st.builds("{} {} {}".format, st.sampled_from(["name", "attribute.name"]), _is, _word),
    st.builds("tags.{} {} {}".format, st.sampled_from(["kind", "`ünï`"]), _is, _word),
    st.builds("tags.{} {}".format, st.sampled_from(["kind", "no"]), st.sampled_from(["IS NULL", "IS NOT NULL"])),
    st.builds("{} {} 5".format, _time, st.sampled_from([">", "<=", "!="])),
    st.builds("experiment_id {} '{}'".format, st.sampled_from(["=", "!=", "<"]), st.integers(0, 3)),
    st.sampled_from(["name", "name IN ('x')", "status = 'x'"]),
)
_order = st.lists(
    st.builds(
        "{}{}".format,
        st.sampled_from(["name", "experiment_id", "creation_time", "last_update_time", "attribute.name", "tags.kind"]),
        st.sampled_from(["", " ASC", " DESC", " x"]),
    ),
    max_size=2,
)


def test_every_experiment_is_told_as_mlflow_tells_it(both: Both, filled: Filled) -> None:
    for number in ["0", *filled.experiments]:
        told = both.get(GET, experiment_id=number)["experiment"]
        assert both.get(BY_NAME, experiment_name=told["name"])["experiment"] == told
    assert told["lifecycle_stage"] == "deleted"


@pytest.mark.parametrize("query", ["", "experiment_id=", "experiment_id=x", "experiment_id=99999", "experiment_id=-1"])
def test_what_is_no_experiment_is_left_to_mlflow(both: Both, filled: Filled, query: str) -> None:
    both.left(GET, query)
    both.left(BY_NAME, query.replace("experiment_id", "experiment_name"))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    wanted=st.fixed_dictionaries(
        {
            "filter": st.lists(_clause, max_size=3).map(" and ".join),
            "order_by": _order,
            "view_type": st.sampled_from(["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]),
            "max_results": st.sampled_from([1, 2, 100]),
        }
    )
)
def test_searches_of_all_kinds_find_what_mlflow_finds(both: Both, filled: Filled, wanted: dict[str, Any]) -> None:
    body = json.dumps(wanted).encode()
    status, found = both.stock(SEARCH, body=body)
    if status != 200:
        both.left(SEARCH, body=body)
        return
    both.same(SEARCH, body=body)
    if "next_page_token" in found:
        both.post(SEARCH, **{**wanted, "page_token": found["next_page_token"]})


@pytest.mark.parametrize("fields", [{}, {"max_results": "3"}, {"view_type": 3}, {"page_token": None, "filter": None}])
def test_odd_but_good_searches_are_answered(both: Both, filled: Filled, fields: dict[str, Any]) -> None:
    both.post(SEARCH, **{"max_results": 2, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"view_type": "DELETED_ONLY"}, {"filter": "name ILIKE '%1%'"}, {"filter": "", "page_token": ""}, {"x": 1},
        {"order_by": ["name DESC", "experiment_id"]}, {"page_token": "eyJvZmZzZXQiOiAxfQ=="}, {"max_results": 1},
    ],
)  # fmt: skip
def test_the_page_which_asks_by_query_is_answered(both: Both, filled: Filled, fields: dict[str, Any]) -> None:
    both.get(SEARCH, **{"max_results": 25, **fields})


@pytest.mark.parametrize(
    "query",
    ["", "view_type=ALL", "max_results=0", "max_results=x", "max_results=5&view_type=", "max_results=5&view_type=1",
     "max_results=5&view_type=all", "max_results=5&order_by=", "max_results=5&page_token=x", "max_results=5&filter=x"],
)  # fmt: skip
def test_an_odd_query_is_left_to_mlflow(both: Both, filled: Filled, query: str) -> None:
    both.left(SEARCH, query)


@pytest.mark.parametrize("fields", [{}, {"max_results": 0}, {"max_results": 50001}, {"max_results": 5, "x": 1}])
def test_bad_searches_are_left_to_mlflow(both: Both, filled: Filled, fields: dict[str, Any]) -> None:
    both.left(SEARCH, body=json.dumps(fields).encode())


def test_an_experiment_that_mlflow_cannot_read_is_left_to_it(both: Both, filled: Filled, ask: Any) -> None:
    number = both.store.create_experiment("without a place")
    ask(f"UPDATE experiments SET artifact_location = NULL WHERE experiment_id = {number}")
    both.left(GET, f"experiment_id={number}")
    ask(f"DELETE FROM experiments WHERE experiment_id = {number}")


def test_times_of_zero_are_not_told(both: Both, filled: Filled, ask: Any) -> None:
    number = both.store.create_experiment("timeless")
    ask(f"UPDATE experiments SET creation_time = 0, last_update_time = NULL WHERE experiment_id = {number}")
    assert "creation_time" not in both.get(GET, experiment_id=number)["experiment"]


def test_where_traces_are_archived_mlflow_alone_tells_of_experiments() -> None:
    database = Database("postgresql://localhost/none")
    environ = {"MLFLOW_TRACE_ARCHIVAL_CONFIG": "/some/file"}
    names = {route.name for route in Reads(database, None, environ).routes()}  # type: ignore[arg-type]  # never asked
    assert "get-run" in names
    assert not names & {"get-experiment", "get-experiment-by-name", "search-experiments", "server-info"}
