"""A trace's information as MLflow writes it: one statement that fetches it whole, and its JSON.

Follows mlflow 3.17.2: store `_build_trace_infos_from_rows`, entities/trace_info.py `to_proto`. Traces with assessments
are left to upstream. Refuses to know which traces are wanted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from homeport.tracking.fast.database import Row
from homeport.tracking.fast.reads.request import UnsureError

TRACE_NAME = "mlflow.traceName"
SESSION = "mlflow.trace.session"
TOKEN_USAGE = "mlflow.trace.tokenUsage"  # noqa: S105 - of a language model
COST = "mlflow.trace.cost"
PROMOTED = frozenset({SESSION, TOKEN_USAGE, COST})  # kept as columns
TOKENS = {
    name: name
    for name in (
        "input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
        "cache_creation_input_tokens_above_1hr",
    )
}  # fmt: skip
COSTS = {name: name for name in ("input_cost", "output_cost", "total_cost")}
STATES = frozenset({"OK", "ERROR", "IN_PROGRESS"})
LATEST = 253_402_300_799_999  # ms; the end of the year 9999, and of protobuf's timestamps
_LONGEST_METADATA = 250
_LONGEST_TAG_KEY, _LONGEST_TAG = 250, 4096

MANY = f"""
select t.request_id, t.experiment_id, t.timestamp_ms, t.execution_time_ms, t.status, t.client_request_id,
  t.request_preview, t.response_preview, t.trace_name, t.session_id, {", ".join(f"t.{name}" for name in TOKENS)},
  {", ".join(f"t.{name}" for name in COSTS)},
  tag.keys as tag_keys, tag.vals as tag_values, metadata.keys as metadata_keys, metadata.vals as metadata_values,
  exists (select from assessments a where a.trace_id = t.request_id) as assessed
from unnest($1::text[]) with ordinality as wanted(id, place) join trace_info t on t.request_id = wanted.id
left join lateral (
  select array_agg(key) as keys, array_agg(value) as vals from trace_tags where request_id = t.request_id
) tag on true
left join lateral (
  select array_agg(key) as keys, array_agg(value) as vals from trace_request_metadata where request_id = t.request_id
) metadata on true
order by wanted.place"""  # noqa: S608 - constants only


def written(row: Row, known: Collection[str] | None = None) -> bytes:
    """The trace's JSON.

    Args:
        row: of `MANY`.
        known: keys of the tags that are told, if not all are.

    Raises:
        UnsureError: the database holds what upstream cannot write, or what only it can.
    """
    start, duration = row["timestamp_ms"], row["execution_time_ms"]
    if row["assessed"] or row["status"] not in STATES or not 0 <= start <= LATEST:
        raise UnsureError
    said: dict[str, Any] = {
        "trace_id": row["request_id"],
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": str(row["experiment_id"])},
        },
        "request_time": timestamp(start),
        "state": row["status"],
    }
    for name in ("client_request_id", "request_preview", "response_preview"):
        if row[name] is not None:
            said[name] = row[name]
    if duration is not None:
        if not 0 <= duration <= LATEST:
            raise UnsureError
        said["execution_duration"] = _duration(duration)
    tags = _pairs(row["tag_keys"], row["tag_values"])
    tags = {key: value for key, value in tags.items() if key != TRACE_NAME and (known is None or key in known)}
    if row["trace_name"] is not None:
        tags[TRACE_NAME] = row["trace_name"]
    if tags:
        said["tags"] = {key[:_LONGEST_TAG_KEY]: value[:_LONGEST_TAG] for key, value in tags.items()}
    more = _pairs(row["metadata_keys"], row["metadata_values"])
    more = {key: value for key, value in more.items() if key not in PROMOTED} | _promoted(row)
    if more:
        longest = _LONGEST_METADATA
        said["trace_metadata"] = {key[:longest]: value[:longest] for key, value in more.items()}
    return orjson.dumps(said)


def tag(row: Row, key: str) -> str | None:
    """One of the trace's tags."""
    return _pairs(row["tag_keys"], row["tag_values"]).get(key)


def metadata(row: Row, key: str) -> str | None:
    """One of its metadata."""
    return _pairs(row["metadata_keys"], row["metadata_values"]).get(key)


def _promoted(row: Row) -> dict[str, str]:
    """Columns as the metadata they came from."""
    said = {} if row["session_id"] is None else {SESSION: str(row["session_id"])}
    for key, columns in ((TOKEN_USAGE, TOKENS), (COST, COSTS)):
        found = {name: row[column] for name, column in columns.items() if row[column] is not None}
        if found:
            said[key] = json.dumps(found)
    return said


def _pairs(keys: Sequence[str] | None, values: Sequence[str | None] | None) -> dict[str, str]:
    found = dict(zip(keys or (), values or (), strict=True))
    if None in found.values():  # upstream writes the word `None`
        raise UnsureError
    return found  # type: ignore[return-value]  # none is null


def timestamp(milliseconds: int) -> str:
    """As protobuf writes it: with a fraction of three digits, or none."""
    seconds, rest = divmod(milliseconds, 1000)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{rest:03}Z" if rest else f"{whole}Z"


def _duration(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds}.{rest:03}s" if rest else f"{seconds}s"
