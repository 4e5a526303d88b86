"""Logged models, one and many, are told as MLflow tells them, or left to it."""

from __future__ import annotations

import json
import random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.tracking import planning
from homeport.tracking.fast.reads.plans import PLAIN
from tests.programs.tracking.reads.both import AJAX, API, Both
from tests.programs.tracking.reads.filling import NUMBERS, START, WORDS, Filled

ONE = API + "logged-models/"
SEARCH = API + "logged-models/search"
KEYS = ["a", "b", "ü c"]
DATASETS = [(None, None), ("one", "1"), ("one", "2"), ("ä", "1")]


@pytest.fixture(scope="module")
def models(both: Both, filled: Filled) -> list[str]:
    """Ids of models of all kinds, some of the same moment; the last two are deleted."""
    dice = random.Random(7)
    run = both.store.create_run(filled.experiments[0], "me", START, [], "of models").info.run_id
    made = [_model(both.store, dice, filled, run, number) for number in range(40)]
    both.run(
        "update logged_models m set creation_timestamp_ms = $1 + n / 3, last_updated_timestamp_ms = $1 + n % 5"
        " from unnest($2::text[]) with ordinality as g(id, n) where g.id = m.model_id",
        START, made,
    )  # fmt: skip
    for gone in made[-2:]:
        both.store.delete_logged_model(gone)
    return made


def _model(store: Any, dice: random.Random, filled: Filled, run: str, number: int) -> str:
    from mlflow.entities import LoggedModelParameter, LoggedModelStatus, LoggedModelTag, Metric

    name = dice.choice([None, "model", "mödel 😀", "x_y"])
    found = store.create_logged_model(
        dice.choice(filled.experiments[:3]), name, dice.choice([None, "", run]),
        [LoggedModelTag(key, dice.choice(WORDS)) for key in dice.sample(KEYS, dice.randrange(4))],
        [LoggedModelParameter(key, dice.choice(WORDS)) for key in dice.sample(KEYS, dice.randrange(4))],
        dice.choice([None, "", "agent", "ü"]),
    )  # fmt: skip
    if number % 3:
        store.finalize_logged_model(found.model_id, dice.choice(list(LoggedModelStatus)))
    logged = [
        Metric(key, dice.choice(NUMBERS), START + step, step, found.model_id, *dataset)
        for key in dice.sample(["a", "b", "c.d-e"], dice.randrange(4))
        for step, dataset in enumerate(dice.sample(DATASETS, dice.randrange(1, 4)))
    ]
    store.log_batch(run, logged, [], [])
    model: str = found.model_id
    return model


def test_every_model_is_told_as_mlflow_tells_it(both: Both, models: list[str]) -> None:
    told = [both.same(ONE + model)["model"] for model in models[:-2]]
    # The comparison would mean little if the kinds of models were not there.
    assert {model["info"]["status"] for model in told} == set(STATUSES)
    assert any("tags" not in model["info"] for model in told)
    assert any(model["data"] == {} for model in told)
    metrics = [metric for model in told for metric in model["data"].get("metrics", [])]
    assert any("dataset_name" in metric for metric in metrics)
    assert any("dataset_name" not in metric for metric in metrics)
    both.same(AJAX + "logged-models/" + models[0])


STATUSES = (
    "LOGGED_MODEL_STATUS_UNSPECIFIED", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED",
)  # fmt: skip


def test_a_deleted_model_is_told_to_whoever_says_so(both: Both, models: list[str]) -> None:
    gone = ONE + models[-1]
    both.same(gone, "allow_deleted=true")
    both.same(ONE + models[0], "allow_deleted=false")
    for query in ("", "allow_deleted=false", "allow_deleted=", "allow_deleted=false&allow_deleted=true"):
        assert both.stock(gone, query)[0] == 404
        both.left(gone, query)
    both.left(gone, "allow_deleted=TRUE")


@pytest.mark.parametrize("model", ["m-none", "search", "m-" + "0" * 32, "x" * 400, "%"])
def test_what_is_no_model_is_left_to_mlflow(both: Both, models: list[str], model: str) -> None:
    assert both.stock(ONE + model)[0] == 404
    both.left(ONE + model)


@pytest.mark.parametrize("change", ["metric_value = null", "dataset_digest = null", "dataset_name = null"])
def test_a_model_with_metrics_that_mlflow_cannot_tell_is_left_to_it(both: Both, models: list[str], change: str) -> None:
    model = both.rows("select model_id from logged_model_metrics where dataset_name = 'one' order by 1 limit 1")[0][0]
    before = both.rows("select * from logged_model_metrics where model_id = $1", model)
    both.run(f"update logged_model_metrics set {change} where model_id = $1 and dataset_name = 'one'", model)
    both.left(ONE + model)
    home = both.rows("select experiment_id::text from logged_models where model_id = $1", model)[0][0]
    both.left(SEARCH, body=json.dumps({"experiment_ids": [home], "max_results": 99}).encode())
    both.run("delete from logged_model_metrics where model_id = $1", model)
    for row in before:
        both.run(f"insert into logged_model_metrics values ({', '.join(f'${n + 1}' for n in range(len(row)))})", *row)
    both.same(ONE + model)


def test_rows_that_only_others_write_are_told_alike(both: Both, models: list[str]) -> None:
    model = models[0]
    both.run("update logged_models set status_message = '', model_type = null where model_id = $1", model)
    both.same(ONE + model)
    both.run("update logged_models set status_message = 'why', source_run_id = null where model_id = $1", model)
    both.same(ONE + model)
    both.run("update logged_models set status = 9 where model_id = $1", models[1])
    both.left(ONE + models[1])
    both.run("update logged_models set status = 2 where model_id = $1", models[1])


_text_is = st.sampled_from(["=", "!=", "LIKE", "ILIKE", "like"])
_number_is = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
_word = st.sampled_from([*WORDS, "%", "_", "model", "mödel%", "X%", "agent"]).map("'{}'".format)
_key = st.sampled_from(["a", "b", "`ü c`", "absent"])
_clause = st.one_of(
    st.builds("metrics.{} {} {}".format, st.sampled_from(["a", "b", "`c.d-e`", "none"]), _number_is,
              st.sampled_from(["0", "1", "-1", "0.1", "1e15", "1.7976931348623157e308"])),
    st.builds("{}.{} {} {}".format, st.sampled_from(["params", "tags"]), _key, _text_is, _word),
    st.builds("{} {} {}".format,
              st.sampled_from(["name", "attributes.name", "model_type", "source_run_id", "model_id", "status_message",
                               "artifact_location", "lifecycle_stage"]), _text_is, _word),
    st.sampled_from(["name IN ('model', 'x_y')", "params.a NOT IN ('x')", "tags.a IN ('x','y')", "name in ('model')"]),
)  # fmt: skip
_nonsense = st.sampled_from(
    ["metrics.a", "metrics.a = 'x'", "params.a > 1", "a or b", "none = 'x'", "metrics.a LIKE 'x'", "tag.a = 'x'", "()"]
)
_filter = st.one_of(st.lists(_clause, max_size=3), st.lists(_clause | _nonsense, max_size=2)).map(" and ".join)
_dataset = st.fixed_dictionaries(
    {"dataset_name": st.sampled_from(["one", "ä", "none"])}, optional={"dataset_digest": st.sampled_from(["1", ""])}
)
_order = st.fixed_dictionaries(
    {"field_name": st.sampled_from([
        "creation_time", "creation_timestamp", "creation_timestamp_ms", "last_updated_timestamp", "name", "model_id",
        "model_type", "metrics.a", "metrics.c.d-e", "metrics.none", "status", "source_run_id", "none", "params.a",
    ])},
    optional={"ascending": st.booleans(), "dataset_name": st.sampled_from(["one", ""]),
              "dataset_digest": st.sampled_from(["1", ""])},
)  # fmt: skip
_wanted = st.fixed_dictionaries(
    {},
    optional={
        "filter": _filter, "order_by": st.lists(_order, max_size=3), "datasets": st.lists(_dataset, max_size=2),
        "max_results": st.sampled_from([1, 3, 7, 100, "5"]),
    },
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(wanted=_wanted)
def test_searches_of_all_kinds_find_what_mlflow_finds(
    both: Both, filled: Filled, models: list[str], wanted: dict[str, Any]
) -> None:
    asked = {"experiment_ids": filled.experiments[:2], **wanted}
    body = json.dumps(asked).encode()
    status, found = both.stock(SEARCH, body=body)
    if status != 200:
        both.left(SEARCH, body=body)
        return
    both.same(SEARCH, body=body)
    if "next_page_token" in found:
        both.post(SEARCH, **{**asked, "page_token": found["next_page_token"]})


def test_pages_are_walked_to_the_end_and_tokens_are_upstreams_own(
    both: Both, filled: Filled, models: list[str]
) -> None:
    order = [{"field_name": "metrics.a", "ascending": False, "dataset_name": "one", "dataset_digest": None}]
    for more in ({}, {"filter": "name != 'ä'", "order_by": order}):
        asked = {"experiment_ids": filled.experiments, "max_results": 4, **more}
        seen: list[str] = []
        page = both.post(SEARCH, **asked)
        while page:
            seen += [model["info"]["model_id"] for model in page["models"]]
            token = page.get("next_page_token")
            page = both.post(SEARCH, **asked, page_token=token) if token else {}
        assert len(seen) == len(set(seen))
        assert sorted(seen) == sorted(models[:-2])


def test_what_the_page_and_the_client_ask_needs_no_plan(both: Both, filled: Filled, models: list[str]) -> None:
    asked = both.planner.asked
    for order in ([], [{"field_name": "creation_time", "ascending": False}]):
        assert both.post(SEARCH, experiment_ids=filled.experiments, order_by=order)["models"]
    assert both.planner.asked == asked


def test_the_plan_known_by_heart_is_the_one_upstream_makes(both: Both) -> None:
    status, body = planning.answer(orjson.dumps({"of": "logged-models", "filter": "", "order_by": []}), ())
    made, known = orjson.loads(body), PLAIN["logged-models"]
    assert status == 200
    assert made["places"] == [{"value": "deleted"}, *known.places[:1], {"name": "limit"}, {"name": "offset"}]
    text = " ".join(made["statement"].lower().replace("logged_models.", "").split())
    assert text == (
        "select model_id from logged_models where lifecycle_stage != $1::varchar and experiment_id = any"
        " ($2::integer[]) order by creation_timestamp_ms desc, model_id asc limit $3::bigint offset $4::bigint"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"experiment_ids": []}, {"experiment_ids": ["x"]}, {"experiment_ids": [1]}, {"experimentIds": ["1"]},
        {"experiment_ids": ["1"], "max_results": 0}, {"experiment_ids": ["1"], "max_results": -1},
        {"experiment_ids": ["1"], "page_token": "x"}, {"experiment_ids": ["1"], "order_by": ["name"]},
        {"experiment_ids": ["1"], "page_token": "eyJvZmZzZXQiOiAxfQ=="}, {"experiment_ids": ["1"], "order_by": [{}]},
        {"experiment_ids": ["1"], "datasets": [{}]}, {"experiment_ids": ["1"], "datasets": [{"dataset_name": ""}]},
        {"experiment_ids": ["1"], "datasets": {"dataset_name": "a"}}, {"experiment_ids": ["1"], "unknown": 1},
        {"experiment_ids": ["1"], "order_by": [{"field_name": "name", "ascending": "true"}]},
        *({"experiment_ids": ["1"], "filter": each}
          for each in ("creation_time > 5", "metrics.a > NaN", "metrics.a > 1e999", "status = '2'")),
    ],
    ids=repr,
)  # fmt: skip
def test_searches_out_of_the_ordinary_are_left_to_mlflow(both: Both, models: list[str], fields: dict[str, Any]) -> None:
    both.left(SEARCH, body=json.dumps(fields).encode())


def test_a_token_of_another_search_is_left_to_mlflow(both: Both, filled: Filled, models: list[str]) -> None:
    asked = {"experiment_ids": filled.experiments, "max_results": 3}
    token = both.post(SEARCH, **asked)["next_page_token"]
    for other in (
        {"experiment_ids": filled.experiments[:1]}, {"filter": "name = 'model'"},
        {"order_by": [{"field_name": "name"}]}, {"page_token": token + "="},
    ):  # fmt: skip
        both.left(SEARCH, body=json.dumps({**asked, "page_token": token, **other}).encode())
