"""Registered models, and their versions by number, by alias and by stage, are told as MLflow tells them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.programs.tracking.reads.both import API, Both, ordered
from tests.programs.tracking.reads.filling import Filled
from tests.programs.tracking.reads.shelf import NAMES

BY_VERSION = API + "model-versions/get"
BY_ALIAS = API + "registered-models/alias"
MODEL = API + "registered-models/get"
LATEST = API + "registered-models/get-latest-versions"
PLACE = API + "model-versions/get-download-uri"
NAME = "Mödel 1"


def test_every_version_is_told_as_mlflow_tells_it(both: Both, filled: Filled) -> None:
    first = both.get(BY_VERSION, name=NAME, version=1)["model_version"]
    assert {alias.lower() for alias in first["aliases"]} == {"champion", "challenger-2"}
    both.get(BY_VERSION, name=NAME, version="002")
    both.get(BY_VERSION, name="plain", version=1)


@pytest.mark.parametrize("alias", ["champion", "Challenger-2", "newest"])
def test_an_alias_leads_to_its_version(both: Both, filled: Filled, alias: str) -> None:
    assert alias in both.get(BY_ALIAS, name=NAME, alias=alias)["model_version"]["aliases"]


@pytest.mark.parametrize(
    "query",
    ["", "name=plain", "version=1", "name=plain&version=", "name=plain&version=9", "name=plain&version=x",
     "name=absent&version=1", "name=M%C3%B6del+1&version=3"],
)  # fmt: skip
def test_what_is_no_version_is_left_to_mlflow(both: Both, filled: Filled, query: str) -> None:
    assert both.stock(BY_VERSION, query)[0] != 200
    both.left(BY_VERSION, query)


@pytest.mark.parametrize("alias", ["", "absent", "gone", "a b", "latest", "Latest", "%00"])
def test_what_is_no_stored_alias_is_left_to_mlflow(both: Both, filled: Filled, alias: str) -> None:
    both.left(BY_ALIAS, f"name=M%C3%B6del+1&alias={alias}")


def test_rows_that_only_others_write_are_told_alike(both: Both, filled: Filled, ask: Any) -> None:
    both.registry.create_model_version("plain", "x")
    ask(
        "UPDATE model_versions SET last_updated_time = NULL, source = NULL, description = '', status_message = '',"
        " run_id = '' WHERE name = 'plain' AND version = 2"
    )
    both.get(BY_VERSION, name="plain", version=2)
    ask("UPDATE model_versions SET status_message = 'why', status = NULL WHERE name = 'plain' AND version = 2")
    both.get(BY_VERSION, name="plain", version=2)
    ask("UPDATE model_versions SET creation_time = NULL WHERE name = 'plain' AND version = 2")
    both.left(BY_VERSION, "name=plain&version=2")
    ask("DELETE FROM model_versions WHERE name = 'plain' AND version = 2")


def test_a_moved_alias_is_seen_at_once(both: Both, filled: Filled) -> None:
    for version in (1, 2, 1):
        both.registry.set_registered_model_alias(NAME, "moved", version)
        assert both.get(BY_ALIAS, name=NAME, alias="moved")["model_version"]["version"] == str(version)
    both.registry.delete_registered_model_alias(NAME, "moved")
    both.left(BY_ALIAS, "name=M%C3%B6del+1&alias=moved")


@pytest.mark.parametrize("name", [*NAMES, "prompt 1", "not a prompt"])
def test_every_registered_model_is_told_as_mlflow_tells_it(both: Both, shelf: None, name: str) -> None:
    told = both.get(MODEL, name=name)["registered_model"]
    both.get(API.replace("api", "ajax-api") + "registered-models/get", name=name)
    stages = [version["current_stage"] for version in told.get("latest_versions", [])]
    assert len(stages) == len(set(stages))
    assert not stages if name in {"no versions", "all gone"} else stages


@pytest.mark.parametrize("name", [*NAMES, "prompt 1"])
@pytest.mark.parametrize("stages", [[], ["Production"], ["none", "STAGING"], ["Archived", "archived"]])
def test_the_newest_versions_are_told_with_their_aliases(both: Both, shelf: None, name: str, stages: list[str]) -> None:
    query = urlencode({"name": name, "stages": stages}, doseq=True)
    body = json.dumps({"name": name, "stages": stages}).encode()
    wanted = both.stock(LATEST, query)
    assert wanted == both.stock(LATEST, body=body)
    for answer in (both.fast(LATEST, query), both.fast(LATEST, body=body)):
        assert answer is not None
        assert _by_stage(json.loads(answer.body)) == _by_stage(wanted[1])


def _by_stage(told: dict[str, Any]) -> list[str]:
    """Upstream tells the stages in no order of its own."""
    assert told.keys() <= {"model_versions"}
    return sorted(ordered(version) for version in told.get("model_versions", []))


def test_some_newest_version_has_an_alias_and_some_model_has_several_stages(both: Both, shelf: None) -> None:
    found = [both.stock(LATEST, urlencode({"name": name}))[1].get("model_versions", []) for name in NAMES]
    assert any(len(versions) > 2 for versions in found)
    assert any("aliases" in version for versions in found for version in versions)


def test_where_a_version_lies_is_told_as_mlflow_tells_it(both: Both, shelf: None, ask: Any) -> None:
    for version in (1, 2):
        assert both.get(PLACE, name=NAME, version=version)["artifact_uri"]
    both.registry.create_model_version("UPPER", "x")
    number = max(version["version"] for version in both.get(MODEL, name="UPPER")["registered_model"]["latest_versions"])
    here = f"WHERE name = 'UPPER' AND version = {number}"
    for values in ("storage_location = 'y'", "storage_location = ''", "source = ''", "storage_location = NULL"):
        ask(f"UPDATE model_versions SET {values} {here}")
        both.get(PLACE, name="UPPER", version=number)
    ask(f"UPDATE model_versions SET source = NULL {here}")
    assert both.get(PLACE, name="UPPER", version=number) == {}
    ask(f"DELETE FROM model_versions {here}")


@pytest.mark.parametrize("path", [MODEL, LATEST, PLACE])
@pytest.mark.parametrize(
    "query",
    ["", "name=", "name=absent&version=1", "version=1", "name=a%2Fb", "name=a%3Ab&version=1", "name=..&version=1",
     "name=%00&version=1", "name=+&version=1"],
)  # fmt: skip
def test_what_is_no_model_is_left_to_mlflow(both: Both, shelf: None, path: str, query: str) -> None:
    assert both.stock(path, query)[0] != 200
    both.left(path, query)


@pytest.mark.parametrize("query", ["name=plain", "name=plain&version=", "name=plain&version=x", "name=plain&version=9",
                                   "name=M%C3%B6del+1&version=3", "name=plain&version=1.0"])  # fmt: skip
def test_a_version_that_is_not_there_lies_nowhere(both: Both, filled: Filled, query: str) -> None:
    assert both.stock(PLACE, query)[0] != 200
    both.left(PLACE, query)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"name": ""}, {"name": None}, {"name": 1}, {"name": "absent"}, {"name": "plain", "stages": "None"},
        {"name": "plain", "stages": ["nowhere"]}, {"name": "plain", "stages": [1]}, {"name": "a/b"},
        {"name": "plain", "stages": [""]},
    ],
)  # fmt: skip
def test_a_bad_question_for_the_newest_is_left_to_mlflow(both: Both, filled: Filled, body: Any) -> None:
    text = json.dumps(body).encode()
    assert both.stock(LATEST, body=text)[0] != 200
    both.left(LATEST, body=text)


def test_a_name_or_stage_that_only_others_write_is_left_to_mlflow(both: Both, filled: Filled, ask: Any) -> None:
    both.registry.create_registered_model("others")
    both.registry.create_model_version("others", "x")
    ask("UPDATE model_versions SET current_stage = NULL WHERE name = 'others'")
    both.left(MODEL, "name=others")
    ask("UPDATE model_versions SET current_stage = 'Elsewhere' WHERE name = 'others'")
    assert both.get(MODEL, name="others")["registered_model"]["latest_versions"]
    assert both.get(LATEST, name="others") == {}
    ask("DELETE FROM model_versions WHERE name = 'others'")
    ask("UPDATE registered_models SET name = 'oth/ers' WHERE name = 'others'")
    both.left(MODEL, "name=oth%2Fers")
    ask("DELETE FROM registered_models WHERE name = 'oth/ers'")
