from __future__ import annotations

import pytest
from loadtest.plan import SHARES, USERS, Plan, shares

from homeport.errors import ExitCode, HomeportError

HERE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000/"}


def test_the_variables_of_homeport_env_are_enough() -> None:
    exported = {
        **HERE, "MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "secret",
        "HOMEPORT_SERVING_URL": "http://127.0.0.1:5002", "HOMEPORT_SERVING_KEY": "one,two",
    }  # fmt: skip
    plan = Plan.read(exported)
    assert (plan.tracking, plan.login) == ("http://127.0.0.1:5000", ("admin", "secret"))
    assert (plan.serving, plan.key) == ("http://127.0.0.1:5002", "one")
    assert all(plan.wants(user) for user in USERS)


def test_without_a_serving_url_nobody_asks_for_predictions() -> None:
    plan = Plan.read(HERE)
    assert not plan.wants("predictor")
    assert plan.login is None


def test_shares_name_who_is_there() -> None:
    assert shares("") == dict(SHARES)
    assert shares("writer=3, reader=1") == {"writer": 3, "reader": 1}


@pytest.mark.parametrize("text", ["writers=3", "writer", "writer=-1", "writer=x", "writer=0"])
def test_shares_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(HomeportError) as refused:
        shares(text)
    assert refused.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("pause", ["-1", "soon", "inf", "nan"])
def test_a_pause_that_is_none_is_refused(pause: str) -> None:
    with pytest.raises(HomeportError, match="LOADTEST_OPTION"):
        Plan.read({**HERE, "HOMEPORT_LOAD_PAUSE": pause})


@pytest.mark.parametrize("uri", ["", "sqlite:///mlflow.db", "./mlruns"])
def test_a_platform_without_an_http_address_is_refused(uri: str) -> None:
    with pytest.raises(HomeportError, match="LOADTEST_NO_PLATFORM"):
        Plan.read({"MLFLOW_TRACKING_URI": uri})
