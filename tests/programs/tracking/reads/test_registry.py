"""Model versions, by number and by alias, are told as MLflow tells them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.programs.tracking.reads.both import API, Both
from tests.programs.tracking.reads.filling import Filled

BY_VERSION = API + "model-versions/get"
BY_ALIAS = API + "registered-models/alias"
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
