"""Runs with metrics, params and tags, made inside the database: what searches and histories are measured on.

Refuses to know servers; the tables are MLflow 3.17's.
"""

from __future__ import annotations

from typing import Any

import psycopg2

_RUN = "lpad(to_hex(r), 32, '0')"
_STATEMENTS = (
    f"""
    insert into runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time,
                      source_version, lifecycle_stage, artifact_uri, experiment_id)
    select {_RUN}, 'run-' || r, 'UNKNOWN', '', '', 'me', 'FINISHED', 1700000000000 + r, 1700000001000 + r, '', 'active',
           'mlflow-artifacts:/%(experiment)s/' || {_RUN} || '/artifacts', %(experiment)s
    from generate_series(%(first)s, %(last)s) r""",
    f"""
    insert into metrics (key, value, timestamp, run_uuid, step, is_nan)
    select 'metric-' || m, sin(r * m + s), 1700000000000 + s, {_RUN}, s, false
    from generate_series(%(first)s, %(last)s) r, generate_series(1, %(keys)s) m, generate_series(1, %(points)s) s""",
    f"""
    insert into latest_metrics (key, value, timestamp, run_uuid, step, is_nan)
    select 'metric-' || m, sin(r * m + %(points)s), 1700000000000 + %(points)s, {_RUN}, %(points)s, false
    from generate_series(%(first)s, %(last)s) r, generate_series(1, %(keys)s) m""",
    f"""
    insert into params (key, value, run_uuid)
    select 'param-' || p, 'value ' || (r * p) %% 100, {_RUN}
    from generate_series(%(first)s, %(last)s) r, generate_series(1, %(keys)s) p""",
    f"""
    insert into tags (key, value, run_uuid)
    select t, 'run-' || r, {_RUN}
    from generate_series(%(first)s, %(last)s) r, unnest(array['mlflow.runName', 'mlflow.user', 'stage']) t""",
)


def run_id(number: int) -> str:
    """The id of that run."""
    return f"{number:032x}"


def fill(database: str, experiment: int, runs: range, *, keys: int = 20, points: int = 1) -> None:
    """So many runs, each with `keys` metrics of `points` points, `keys` params and three tags."""
    values = {
        "experiment": experiment, "first": runs[0], "last": runs[-1], "keys": keys, "points": points,
    }  # fmt: skip
    connection: Any = psycopg2.connect(database.replace("+psycopg2", ""))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in _STATEMENTS:
                cursor.execute(statement, values)
            cursor.execute("analyze")
    finally:
        connection.close()


def history(database: str, number: int, key: str, points: int) -> None:
    """One metric of a run with that many points."""
    connection: Any = psycopg2.connect(database.replace("+psycopg2", ""))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "insert into metrics (key, value, timestamp, run_uuid, step, is_nan) "
                "select %s, exp(-s / 1000.0), 1700000000000 + s, %s, s, false from generate_series(1, %s) s",
                (key, run_id(number), points),
            )
    finally:
        connection.close()
