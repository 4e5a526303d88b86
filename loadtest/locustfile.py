"""What Locust loads: the users, and how what each process counted reaches the master, which writes it down.

`python -m loadtest` starts it. `locust -f loadtest/locustfile.py` does too, with Locust's own page and no report.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from locust import events
from locust.event import EventHook
from locust.runners import MasterRunner, WorkerRunner

from loadtest import rows
from loadtest.outside import Platform
from loadtest.timeline import Timeline
from loadtest.users.artifacts import Artifacts
from loadtest.users.predictor import Predictor
from loadtest.users.reader import Reader
from loadtest.users.session import LEDGER, PLAN, TEST
from loadtest.users.writer import Writer

__all__ = ["Artifacts", "Predictor", "Reader", "Writer"]

_END = 60.0  # seconds for users to finish what they are at
_LOOK = 0.05
_measured = Timeline()
_written: list[list[Any]] = []
_last: set[str] = set()  # workers that said their last word

F = TypeVar("F", bound=Callable[..., None])


def _on(hook: EventHook) -> Callable[[F], F]:
    """Called when that happens."""

    def listening(listener: F) -> F:
        hook.add_listener(listener)  # type: ignore[no-untyped-call] # Locust's
        return listener

    return listening


@_on(events.init_command_line_parser)
def _options(parser: Any, **_: Any) -> None:
    """What a worker on another machine gets from its master: Locust hands on the options that it does not know."""
    for name in ("experiment", "model"):
        parser.add_argument(f"--load-{name}", default=getattr(PLAN, name))


@_on(events.init)
def _connect(environment: Any, runner: Any, **_: Any) -> None:
    """Workers stop when the master says so and send the rest; it waits for that."""
    if isinstance(runner, MasterRunner):
        runner.register_message("rest", _receive)
    elif isinstance(runner, WorkerRunner):
        runner.register_message("wrap-up", _wrap_up, concurrent=True)


@_on(events.test_start)
def _begin(environment: Any, **_: Any) -> None:
    """Look up, before the first user asks, where runs go and what rows there are. The master has no users."""
    if isinstance(environment.runner, MasterRunner):
        return
    told = environment.parsed_options
    platform = Platform(replace(PLAN, experiment=told.load_experiment))
    TEST.experiment_id = platform.experiment()
    TEST.model = told.load_model
    if PLAN.wants("predictor") and TEST.model:
        names, data = rows.columns(platform.models()[TEST.model]["example"])
        TEST.columns = tuple(names)
        TEST.rows = tuple(rows.from_csv(PLAN.rows, names, data[0]) if PLAN.rows else rows.drawn(data))


@_on(events.request)
def _count(name: str, response_time: float, response_length: int, exception: Any, start_time: float, **_: Any) -> None:
    ended = int(start_time + response_time / 1000)
    error = None if exception is None else str(exception) or repr(exception)
    _measured.add(ended, name, response_time, response_length or 0, error)


@_on(events.report_to_master)
def _send(data: dict[str, Any], **_: Any) -> None:
    data["homeport"] = _measured.take()


@_on(events.worker_report)
def _add(data: dict[str, Any], **_: Any) -> None:
    _measured.merge(data["homeport"])


@_on(events.test_stopping)
def _end(environment: Any, **_: Any) -> None:
    """The master of a test that ends: every worker stops its users and sends what it still has, or is given up."""
    runner = environment.runner
    if not isinstance(runner, MasterRunner):
        return
    there = {client.id for client in runner.clients.all}
    for each in there:
        runner.send_message("wrap-up", client_id=each)
    deadline = time.monotonic() + _END
    while not there <= _last and time.monotonic() < deadline:
        time.sleep(_LOOK)  # gevent's: the master goes on receiving


def _wrap_up(environment: Any, **_: Any) -> None:
    environment.runner.stop()
    rest = {"timeline": _measured.take(), "ledger": LEDGER.take()}
    environment.runner.send_message("rest", rest)


def _receive(msg: Any, **_: Any) -> None:
    _measured.merge(msg.data["timeline"])
    _written.extend(msg.data["ledger"])
    _last.add(msg.node_id)


@_on(events.quit)
def _write_down(**_: Any) -> None:
    """The master's last act. A worker has nothing left to say."""
    if PLAN.result is None or not _last:
        return
    whole = {"workers": len(_last), "timeline": _measured.take(), "ledger": _written}
    unfinished = PLAN.result.with_suffix(".part")
    unfinished.write_text(json.dumps(whole))
    os.replace(unfinished, PLAN.result)  # noqa: PTH105 - one rename
