"""The log writes what it is given, whatever happens to the database, and never holds up who gives it."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from homeport.serving.feedback import schema, statements
from homeport.serving.feedback.database import parse_uri
from homeport.serving.feedback.log import DATABASE, REFUSED, UNREADABLE, Prediction, PredictionLog, ShadowDifference
from homeport.serving.servable import Dialect, Request
from tests.programs.database.programs import eventually
from tests.programs.database.server import Server, run
from tests.programs.serving.feedback.tables import admin_uri, prediction


class Told:
    """What a log told of itself."""

    def __init__(self) -> None:
        self.dropped = 0
        self.failed: list[str] = []

    def drop(self, count: int) -> None:
        self.dropped += count


Open = Callable[..., PredictionLog]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def log(told: Told) -> Iterator[Open]:
    opened: list[PredictionLog] = []

    def start(uri: str, **options: Any) -> PredictionLog:
        opened.append(PredictionLog(uri, sample=1.0, on_dropped=told.drop, on_failed=told.failed.append, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.stop(0)
    eventually(lambda: not [one for one in threading.enumerate() if one.name == "prediction-log"])


def count(session: Any, table: str = "prediction") -> int:
    return int(run(session, f"SELECT count(*) FROM {table}")[0][0])


def test_stopping_writes_what_is_queued(uri: str, session: Any, log: Open, told: Told) -> None:
    writer = log(uri)
    for number in range(3000):
        assert writer.offer(prediction(f"r{number}", [{"x": 1.5, "name": "é"}, {"x": 2}], [0.5, None]))
    writer.stop(30)
    assert (count(session), told.dropped, told.failed) == (6000, 0, [])
    rows = run(session, "SELECT row, model, version, inputs, prediction, params FROM prediction WHERE request_id='r7'")
    assert sorted(rows) == [
        (0, "wine", "1", {"x": 1.5, "name": "é"}, 0.5, None),
        (1, "wine", "1", {"x": 2}, None, None),
    ]


def test_predictions_are_written_soon_without_any_more_coming(uri: str, session: Any, log: Open) -> None:
    writer = log(uri)
    writer.offer(prediction("only"))
    eventually(lambda: count(session) == 1)


def test_params_and_the_time_of_the_answer_are_kept(uri: str, session: Any, log: Open) -> None:
    body = json.dumps({"inputs": [1], "params": {"top": 3}}).encode()
    request = Request(Dialect.MLFLOW, "application/json", body)
    at = datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=UTC)
    writer = log(uri)
    writer.offer(Prediction("p", at.timestamp(), "m", "2", request, b'{"predictions": [4]}'))
    writer.stop(30)
    assert run(session, "SELECT at, inputs, params FROM prediction") == [(at, {"input": 1}, {"top": 3})]


def test_a_request_that_cannot_be_kept_costs_itself_alone(uri: str, session: Any, log: Open, told: Told) -> None:
    writer = log(uri)
    good = [f"good-{number}" for number in range(5)]
    for name in good[:3]:
        writer.offer(prediction(name))
    writer.offer(Prediction("broken", 0.0, "m", "1", Request(Dialect.MLFLOW, "application/json", b"{"), b"{}"))
    writer.offer(Prediction("strange", 0.0, "m", "1", Request(Dialect.OIP, None, b"[]"), b"\xff"))
    writer.offer(prediction("column", [{"a\0b": 1}]))
    writer.offer(prediction("zero\0character"))
    writer.offer(prediction(secrets.token_hex(10_000)))  # no index takes such an id
    for name in good[3:]:
        writer.offer(prediction(name))
    writer.stop(30)
    assert [row[0] for row in run(session, "SELECT request_id FROM prediction ORDER BY request_id")] == good
    assert told.failed.count(UNREADABLE) == 3
    assert told.failed.count(REFUSED) == 2
    assert DATABASE not in told.failed


def test_a_request_id_that_comes_again_keeps_its_first_rows(uri: str, session: Any, log: Open) -> None:
    writer = log(uri)
    writer.offer(prediction("twice", [{"x": 1}]))
    writer.offer(prediction("twice", [{"x": 2}]))
    writer.stop(30)
    assert run(session, "SELECT inputs FROM prediction") == [({"x": 1},)]


def test_a_full_queue_drops_and_counts_at_once(uri: str, log: Open, told: Told, session: Any) -> None:
    run(session, "BEGIN")
    run(session, "LOCK TABLE prediction IN ACCESS EXCLUSIVE MODE")
    writer = log(uri, queue_size=10)
    writer.offer(prediction("first"))
    eventually(lambda: writer.queued == 0)  # the thread has it and waits for the table
    taken = [writer.offer(prediction(f"r{number}")) for number in range(25)]
    assert taken == [True] * 10 + [False] * 15
    assert told.dropped == 15
    run(session, "ROLLBACK")
    eventually(lambda: count(session) == 11)


def test_a_queue_is_bounded_in_bytes_too(uri: str, log: Open, told: Told, session: Any) -> None:
    run(session, "BEGIN")
    run(session, "LOCK TABLE prediction IN ACCESS EXCLUSIVE MODE")
    writer = log(uri, queue_bytes=1_000_000)
    large = [{"text": "x" * 300_000}]
    assert [writer.offer(prediction(f"r{number}", large)) for number in range(5)] == [True] * 3 + [False] * 2
    run(session, "ROLLBACK")
    eventually(lambda: count(session) == 3)
    assert writer.offer(prediction("later", large))


def test_while_the_database_is_killed_nothing_blocks_and_afterwards_all_that_was_taken_is_there(
    own: Server, log: Open, told: Told
) -> None:
    own.ask("CREATE DATABASE log")
    database = parse_uri(admin_uri(own, "log"))
    with contextlib.closing(database.connect()) as connection:
        schema.bring_to_head(database, connection)
    writer = log(admin_uri(own, "log"), queue_size=1000)
    taken = 0

    def offer(amount: int) -> None:
        nonlocal taken
        for _ in range(amount):
            taken += writer.offer(prediction(f"r{taken + told.dropped}"))

    offer(500)
    own.programs[-1].stop(signal.SIGQUIT)  # as if killed, without a process of it left
    offer(3000)
    eventually(lambda: DATABASE in told.failed)
    offer(3000)
    assert told.dropped > 0
    assert taken + told.dropped == 6500
    own.start()
    eventually(lambda: writer.queued == 0, timeout=40)
    offer(100)
    writer.stop(30)
    assert own.ask("SELECT count(*) FROM prediction", database="log") == [(taken,)]


def test_stopping_without_a_database_ends_in_time_and_counts_what_is_lost(log: Open, told: Told) -> None:
    writer = log("postgresql://nobody:nothing@127.0.0.1:1/none")
    for number in range(20):
        writer.offer(prediction(f"r{number}"))
    writer.stop(1)
    eventually(lambda: told.dropped == 20)
    assert writer.offer(prediction("late")) is False


def test_missing_tables_are_waited_for(postgres: Server, log: Open, told: Told) -> None:
    postgres.ask("CREATE DATABASE bare")
    writer = log(admin_uri(postgres, "bare"))
    writer.offer(prediction("early"))
    eventually(lambda: DATABASE in told.failed)
    database = parse_uri(admin_uri(postgres, "bare"))
    with contextlib.closing(database.connect()) as connection:
        schema.bring_to_head(database, connection)
    eventually(lambda: postgres.ask("SELECT count(*) FROM prediction", database="bare") == [(1,)])


def test_old_rows_are_removed_and_young_ones_stay(uri: str, session: Any, log: Open) -> None:
    now = time.time()
    old = now - timedelta(days=91).total_seconds()
    writer = log(uri)
    for number in range(2500):
        writer.offer(prediction(f"old-{number}", at=old))
    writer.offer(prediction("young"))
    writer.stop(30)
    run(session, "INSERT INTO feedback VALUES ('old-1', 0, '1', now() - interval '91 days'), ('young', 0, '1', now())")
    run(session, "INSERT INTO shadow (request_id, at, model, version, shadow_version, prediction, shadow)"
                 " VALUES ('old', now() - interval '91 days', 'm', '1', '2', '1', '1')")  # fmt: skip
    log(uri, keep_days=90)
    eventually(lambda: (count(session), count(session, "feedback"), count(session, "shadow")) == (1, 1, 0))


def test_old_rows_are_removed_by_one_server_at_a_time(uri: str, session: Any) -> None:
    run(session, "INSERT INTO feedback VALUES ('old', 0, '1', now() - interval '91 days')")
    with contextlib.closing(psycopg2.connect(uri)) as other, contextlib.closing(psycopg2.connect(uri)) as mine:
        mine.autocommit = True
        run(other, f"SELECT pg_advisory_xact_lock({statements._SWEEPING})")
        assert not statements.remove_old(mine, 90)
        assert count(session, "feedback") == 1
        other.rollback()
        statements.remove_old(mine, 90)
        assert count(session, "feedback") == 0


def test_differences_of_a_shadow_are_written(uri: str, session: Any, log: Open) -> None:
    writer = log(uri)
    writer.offer_shadow(
        ShadowDifference(
            "s", time.time(), "wine", "1", "2", Dialect.MLFLOW,
            b'{"predictions": [1.0, 2.0]}', b'{"predictions": [1.5, 2.5]}',
        )
    )  # fmt: skip
    writer.stop(30)
    rows = run(session, "SELECT request_id, version, shadow_version, prediction, shadow, difference FROM shadow")
    assert rows == [("s", "1", "2", [1.0, 2.0], [1.5, 2.5], 0.5)]


def test_a_database_that_is_none_of_ours_is_refused_at_once(tmp_path: Path, log: Open) -> None:
    with pytest.raises(Exception, match="PREDICTION_DATABASE_NOT_POSTGRESQL"):
        log(f"sqlite:///{tmp_path}/log.db")


def test_a_cut_session_is_replaced(uri: str, session: Any, log: Open, postgres: Server) -> None:
    writer = log(uri)
    writer.offer(prediction("before"))
    eventually(lambda: count(session) == 1)
    run(
        session,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    writer.offer(prediction("after"))
    eventually(lambda: count(session) == 2)
    with contextlib.suppress(psycopg2.Error):
        assert count(session, "feedback") == 0
