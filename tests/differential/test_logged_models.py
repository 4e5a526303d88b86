"""Logged models get from Homeport what stock MLflow gives them, right or wrong, alone or at once, and the same rows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.differential.both import Both
from tests.differential.model_shapes import CREATE, DELETE, DELETE_TAG, FINALIZE, GET, HOT, PARAMS, SEARCH, TAGS
from tests.differential.sequences import calls
from tests.differential.shapes import DELETE_EXPERIMENT, GET_RUN, LOG_BATCH, LOG_METRIC, LOG_OUTPUTS, Shape
from tests.differential.test_fast import fast
from tests.differential.test_odd_values import bodies, compare, values
from tests.differential.test_sequences import same
from tests.differential.wire import Request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CONNECTIONS = 16


def sent(shape: Shape, **fields: object) -> Request:
    return shape.request([(name, json.dumps(value)) for name, value in fields.items()])


def of(shape: Shape, number: int) -> Shape:
    """The call about another model."""
    return replace(
        shape,
        path=shape.path.replace("@M0@", f"@M{number}@"),
        fields={
            name: tuple(text.replace("@M0@", f"@M{number}@") for text in each) for name, each in shape.fields.items()
        },
    )


def right(shape: Shape) -> Request:
    return shape.request(shape.right)


READ = Request("GET", GET.target, None, ())
AFTER = [{"key": "after", "value": "1"}]
NEWEST = {"field_name": "creation_time", "ascending": False}
MODEL = {"key": "m", "timestamp": 5, "model_id": "@M0@", "dataset_name": "d", "dataset_digest": "x"}


def test_what_the_client_does_with_a_model_is_answered_fast_and_as_stock_does(both: Both) -> None:
    both.begin()
    before = fast(both)
    sequence = [
        right(CREATE), sent(CREATE, experiment_id="@E0@"), right(PARAMS), right(TAGS), right(TAGS), right(FINALIZE),
        sent(LOG_METRIC, run_id="@R0@", value=1.5, step=1, **MODEL),
        sent(LOG_METRIC, run_id="@R0@", value="NaN", **MODEL), right(LOG_OUTPUTS), READ, right(FINALIZE),
        right(of(TAGS, 1)), right(of(FINALIZE, 1)),
        right(SEARCH), sent(SEARCH, experiment_ids=["@E0@"], filter="metrics.m = 1.5"), right(GET), right(GET_RUN),
        sent(SEARCH, experiment_ids=["@E0@"], max_results=1, order_by=[NEWEST]),
    ]  # fmt: skip
    found = [difference for request in sequence if (difference := both.difference(request))]
    assert not found, "\n".join(found)
    assert not (rows := both.rows_differ()), rows
    after = fast(both)
    assert {route: after.get(route, 0) - before.get(route, 0) for route in {shape.route for shape in HOT}} == {
        "create-logged-model": 2, "finalize-logged-model": 3, "log-logged-model-params": 1, "set-logged-model-tags": 3,
        "get-logged-model": 2, "search-logged-models": 3,
    }  # fmt: skip


def test_a_param_twice_a_deleted_model_and_a_deleted_experiment_are_treated_as_stock_treats_them(both: Both) -> None:
    both.begin()
    sequence = [
        right(CREATE), right(PARAMS), right(PARAMS), sent(PARAMS, model_id="@M0@", params=[]), right(DELETE), READ,
        right(GET), right(FINALIZE), sent(TAGS, tags=AFTER), right(SEARCH), right(DELETE_TAG),
        sent(PARAMS, model_id="@M0@", params=AFTER), right(DELETE_TAG), right(DELETE),
        sent(DELETE_EXPERIMENT, experiment_id="@E0@"), right(CREATE), *map(right, (of(FINALIZE, 1), of(TAGS, 1))),
        right(of(GET, 1)), right(SEARCH), sent(FINALIZE, model_id="@M1@", status="LOGGED_MODEL_READY"),
        sent(PARAMS, params=AFTER), sent(TAGS, model_id="@M1@", tags=AFTER),
    ]  # fmt: skip
    found = [difference for request in sequence if (difference := both.difference(request))]
    assert not found, "\n".join(found)
    assert not (rows := both.rows_differ()), rows


@pytest.mark.parametrize("shape", HOT, ids=lambda shape: shape.route)
def test_every_odd_value_and_body_gets_what_stock_gives(both: Both, shape: Shape) -> None:
    compare(both, values(shape))
    compare(both, bodies(shape))


_ABOUT = tuple(of(shape, number) for shape in (FINALIZE, PARAMS, TAGS, GET, DELETE, DELETE_TAG) for number in range(3))
_MIXED = st.lists(
    calls((*_ABOUT, CREATE, CREATE, SEARCH, SEARCH, LOG_METRIC, LOG_BATCH, LOG_OUTPUTS)),
    min_size=3, max_size=20,
)  # fmt: skip


@settings(
    max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)  # fmt: skip
@given(asked=_MIXED)
def test_sequences_of_calls_about_models_get_what_stock_gives_and_leave_the_same_rows(
    both: Both, asked: list[Request]
) -> None:
    same(both, asked)


def test_models_made_tagged_and_finalised_at_once_leave_the_same_rows(both: Both) -> None:
    both.begin()
    assert not both.difference(right(CREATE))
    requests = []
    for n in range(60):
        model = n % 2
        requests += [
            sent(CREATE, experiment_id="@E0@" if n % 5 else "999999", name=f"model {n}",
                 params=[{"key": "p", "value": str(n)}], tags=[{"key": "t", "value": "x"}]),
            sent(of(TAGS, model), tags=[{"key": f"t{n}", "value": str(n)}, {"key": "same", "value": "v"}]),
            sent(of(PARAMS, model), model_id=f"@M{model}@", params=[{"key": f"p{n}", "value": str(n)}]),
            sent(of(FINALIZE, model), **{"model_id": f"@M{model}@"} if n % 7 else {}, status="LOGGED_MODEL_READY"),
            sent(LOG_METRIC, run_id="@R0@", value=n, step=n, **{**MODEL, "key": f"m{n}"}),
        ]  # fmt: skip
    stock, ours = both.burst(requests, CONNECTIONS)
    assert ours == stock
    assert not (rows := both.rows_differ()), rows
    found = [both.difference(right(of(GET, number))) for number in range(2)]
    assert not any(found), "\n".join(found)
