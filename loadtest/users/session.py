"""What every kind of user shares: the plan, the logins, one checked request with a name, an end in time.

What was acknowledged and how long it took is counted here, for the process; `locustfile.py` hands it on.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from locust import FastHttpUser, constant
from locust.runners import STATE_CLEANUP, STATE_STOPPED, STATE_STOPPING

from loadtest.ledger import Ledger
from loadtest.plan import Plan

API = "/api/2.0/mlflow"
PAGE = "/ajax-api/2.0/mlflow"  # the page's own way to the same calls
PLAN = Plan.read(os.environ)
LEDGER = Ledger()
_OVER = {STATE_CLEANUP, STATE_STOPPED, STATE_STOPPING}
_SECONDS = 60.0  # a request may take

Check = Callable[[Any], str | None]
"""Looks at an answer's JSON and says what is wrong with it."""


@dataclass
class Test:
    """What the users of this process know of the test that runs.

    Args:
        experiment_id: where all runs go.
        columns: of the model that is asked.
        rows: to choose from.
        model: its name.
    """

    experiment_id: str = ""
    model: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[list[Any], ...] = ()


TEST = Test()


def tracking_headers() -> dict[str, str]:
    """The login of the tracking server."""
    if PLAN.login is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(PLAN.login).encode()).decode()}


def serving_headers() -> dict[str, str]:
    """The key of the serving API."""
    return {"X-API-Key": PLAN.key} if PLAN.key else {}


def verified() -> ssl.SSLContext:
    """Certificates are checked, against the site's own authority where it has one."""
    return ssl.create_default_context(cafile=PLAN.certificate or None)


class Client(FastHttpUser):
    """A user with one kept connection."""

    abstract = True
    answered: Mapping[str, str] = MappingProxyType({})  # headers of the last answer
    wait_time = constant(PLAN.pause)
    insecure = False
    ssl_context_factory = staticmethod(verified)
    connection_timeout = _SECONDS
    network_timeout = _SECONDS
    concurrency = 1

    @property
    def over(self) -> bool:
        """Whether the test is ending; what goes on for long looks here."""
        return self.environment.runner is not None and self.environment.runner.state in _OVER

    def pause(self) -> None:
        """The plan's pause between two requests."""
        time.sleep(PLAN.pause)  # gevent's: Locust has put it into the place of time's

    def call(self, kind: str, method: str, path: str, check: Check, body: Any = None) -> Any:
        """One request of JSON, checked: its answer, or None when it failed."""
        asked: dict[str, Any] = {} if body is None else {
            "data": json.dumps(body), "headers": {"Content-Type": "application/json"},
        }  # fmt: skip
        with self.client.request(method, path, name=kind, catch_response=True, **asked) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}" if answer.status_code else f"no answer: {answer.error!r}")
                return None
            self.answered = answer.headers
            try:
                said = json.loads(answer.content or b"{}")
                wrong = check(said)
            except (ValueError, KeyError, TypeError, IndexError) as error:
                wrong = f"not the answer it should be: {type(error).__name__}: {error}"
            if wrong:
                answer.failure(wrong)
                return None
            answer.success()
            return said


def nothing(_: Any) -> None:
    """Any JSON will do: the call acknowledges and says no more."""


def total(weight: str) -> int:
    """The share of a kind of user."""
    return PLAN.shares.get(weight, 0)
