"""The names that permissions.py takes from inside MLflow's basic-auth, held to the installed version."""

from __future__ import annotations

import inspect
import re

from homeport.tracking import permissions


def test_every_hook_that_is_said_to_spare_administrators_does() -> None:
    from mlflow.server import auth

    used = {handler.__name__ for handler in auth.AFTER_REQUEST_HANDLERS.values()}
    assert used >= permissions._QUIET_FOR_ADMINS
    for name in permissions._QUIET_FOR_ADMINS:
        text = inspect.getsource(getattr(auth, name))
        helpers = re.findall(r"\b(_redact_\w+)\(", text)
        text += "".join(inspect.getsource(getattr(auth, helper)) for helper in helpers)
        assert "if sender_is_admin():\n        return\n" in text, name


def test_hooks_that_are_asked_about_for_others_take_out_what_is_said() -> None:
    from mlflow.server import auth

    assert set(permissions._QUIET_WITH) <= permissions._QUIET_FOR_ADMINS
    assert list(inspect.signature(auth._denied_sibling_tiers).parameters) == ["username", "resource_types"]
    assert set(auth._METRIC_SIBLING_FIELD) == {"run", "logged_model"}
    assert set(auth._MODEL_VERSION_SIBLING_FIELDS) == {"run", "logged_model"}
    assert set(auth._TRACE_METADATA_SIBLING_TIERS.values()) == {"run", "logged_model"}


def test_every_decision_that_is_remembered_is_one_of_upstreams() -> None:
    from mlflow.server import auth

    tables = (auth.BEFORE_REQUEST_VALIDATORS, auth.LOGGED_MODEL_BEFORE_REQUEST_VALIDATORS)
    validators = {each.__name__ for table in tables for each in table.values() if each is not None}
    assert validators >= permissions._STEADY
    assert hasattr(auth, "filter_experiment_ids")
    assert auth._HANDLER_INTERNAL_AUTHZ_SUFFIXES == (permissions._SEARCH, "/graphql")
