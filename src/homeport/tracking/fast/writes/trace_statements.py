"""How spans and what is known of their traces are written: many requests in one transaction.

First the traces' rows are locked, in the order of their ids; so nobody else, neither upstream, is between reading and
writing. Mirrors store/tracking/sqlalchemy_store.py of mlflow 3.17.2, `log_spans` and `start_trace`. Refuses to know
HTTP, and what is in a span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import asyncpg

from homeport.tracking.fast import traces
from homeport.tracking.fast.database import Connection
from homeport.tracking.fast.writes.group import Item
from homeport.tracking.fast.writes.otlp import Batch, SpanRow, TraceRow
from homeport.tracking.fast.writes.statements import PLAIN_LOCATION, appended
from homeport.tracking.front.call import Answer

SPANS_LOCATION = "mlflow.trace.spansLocation"
ARTIFACT_LOCATION = "mlflow.artifactLocation"
_HERE = "TRACKING_STORE"
FINALIZED = "mlflow.trace.infoFinalized"
_LONGEST_LOCATION = 4000  # of an experiment; a tag takes twice as much
STORED = Answer(b"", kind=b"application/x-protobuf")  # an ExportTraceServiceResponse that says nothing

_ELSEWHERE = f"""(select from trace_tags x where x.request_id = t.request_id and x.key = '{SPANS_LOCATION}'
  and x.value <> '{_HERE}')"""
_LOOK = f"""with there as materialized (
  select t.request_id, t.timestamp_ms from trace_info t where t.request_id = any($1::text[]) order by 1 for update
) select array(select request_id from there order by 1) as ids,
  array(select timestamp_ms from there order by request_id) as times,
  array(select t.request_id from there t where exists {_ELSEWHERE}
    or ($3 and exists (select from assessments a where a.trace_id = t.request_id))) as barred,
  array(select experiment_id from experiments where experiment_id = any($2::int4[]) and lifecycle_stage = 'active'
    and artifact_location ~ '{PLAIN_LOCATION}' and length(artifact_location) <= {_LONGEST_LOCATION}) as experiments
"""  # noqa: S608 - constants only
# Of a trace that was there before, upstream's answer tells no tags that were not.
_KNOWN = """select t.id, array(select key from trace_tags where request_id = t.id) from unnest($1::text[]) as t(id)"""
_LOCATION = appended("e.artifact_location", "'traces/' || trace.request_id || '/artifacts'")

_SPANS = f"""with trace as (
  insert into trace_info as t (request_id, experiment_id, timestamp_ms, execution_time_ms, status, request_preview,
    response_preview, db_payload_generation)
  select id, experiment, started, ended - started, coalesce(status, 'IN_PROGRESS'), request, response, 1
  from unnest($1::text[], $2::int4[], $3::int8[], $4::int8[], $5::text[], $6::text[], $7::text[])
    as g(id, experiment, started, ended, status, request, response)
  order by id
  on conflict (request_id) do update set
    timestamp_ms = least(t.timestamp_ms, excluded.timestamp_ms),
    execution_time_ms = greatest(t.timestamp_ms + t.execution_time_ms, excluded.timestamp_ms
      + excluded.execution_time_ms) - least(t.timestamp_ms, excluded.timestamp_ms),
    status = case when t.status in ('IN_PROGRESS', 'STATE_UNSPECIFIED') and excluded.status <> 'IN_PROGRESS'
      then excluded.status else t.status end,
    request_preview = coalesce(t.request_preview, excluded.request_preview),
    response_preview = coalesce(t.response_preview, excluded.response_preview),
    db_payload_generation = t.db_payload_generation + 1
  where not exists {_ELSEWHERE}
  returning request_id, experiment_id, xmax = 0 as made
), span as (
  insert into spans (trace_id, experiment_id, span_id, parent_span_id, name, type, status, start_time_unix_nano,
    end_time_unix_nano, content, model_name, model_provider)
  select s.trace, trace.experiment_id, s.span, s.parent, s.name, s.kind, s.status, s.started, s.ended, s.content,
    s.model, s.provider
  from unnest($8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::int8[], $15::int8[],
      $16::text[], $17::text[], $18::text[])
    as s(trace, span, parent, name, kind, status, started, ended, content, model, provider)
  join trace on trace.request_id = s.trace order by 1, 3
  on conflict (trace_id, span_id) do update set experiment_id = excluded.experiment_id,
    parent_span_id = excluded.parent_span_id, name = excluded.name, type = excluded.type, status = excluded.status,
    start_time_unix_nano = excluded.start_time_unix_nano, end_time_unix_nano = excluded.end_time_unix_nano,
    content = excluded.content, input_cost = null, output_cost = null, total_cost = null,
    model_name = excluded.model_name, model_provider = excluded.model_provider
), tag as (
  insert into trace_tags as x (request_id, key, value)
  select g.id, g.key, g.value from unnest($19::text[], $20::text[], $21::text[]) as g(id, key, value)
  join trace on trace.request_id = g.id
  union all select trace.request_id, '{ARTIFACT_LOCATION}', {_LOCATION}
  from trace join experiments e using (experiment_id) where trace.made
  order by 1, 2
  on conflict (request_id, key) do update set value = excluded.value where x.value is distinct from excluded.value
), assessment as (
  update assessments a set trace_timestamp_ms = g.started from unnest($22::text[], $23::int8[]) as g(id, started)
  where a.trace_id = g.id
) select request_id, made from trace"""  # noqa: S608 - constants only

_KEPT = (
    "trace_name", "request_preview", "response_preview", "session_id", *traces.TOKENS.values(), *traces.COSTS.values()
)  # fmt: skip
_SET = ", ".join(f"{name} = coalesce(excluded.{name}, t.{name})" for name in _KEPT)
_INFOS = f"""with trace as (
  insert into trace_info as t (request_id, experiment_id, timestamp_ms, execution_time_ms, status, client_request_id,
    {", ".join(_KEPT)})
  select * from unnest($1::text[], $2::int4[], $3::int8[], $4::int8[], $5::text[], $6::text[], $7::text[], $8::text[],
      $9::text[], $10::text[], $11::int8[], $12::int8[], $13::int8[], $14::int8[], $15::int8[], $16::int8[],
      $17::float8[], $18::float8[], $19::float8[])
    as g(id)
  order by id
  on conflict (request_id) do update set experiment_id = excluded.experiment_id, timestamp_ms = excluded.timestamp_ms,
    execution_time_ms = excluded.execution_time_ms, status = excluded.status,
    client_request_id = excluded.client_request_id, {_SET}, db_payload_generation = t.db_payload_generation + 1
  where not exists {_ELSEWHERE}
  returning request_id, experiment_id, xmax = 0 as made
), tag as (
  insert into trace_tags as x (request_id, key, value)
  select g.id, g.key, g.value from unnest($20::text[], $21::text[], $22::text[]) as g(id, key, value)
  join trace on trace.request_id = g.id
  union all select trace.request_id, '{ARTIFACT_LOCATION}', {_LOCATION}
  from trace join experiments e using (experiment_id)
  order by 1, 2
  on conflict (request_id, key) do update set value = excluded.value where x.value is distinct from excluded.value
), metadata as (
  insert into trace_request_metadata as m (request_id, key, value)
  select g.id, g.key, g.value from unnest($23::text[], $24::text[], $25::text[]) as g(id, key, value)
  join trace on trace.request_id = g.id
  union all select request_id, '{FINALIZED}', 'true' from trace
  order by 1, 2
  on conflict (request_id, key) do update set value = excluded.value where m.value is distinct from excluded.value
), span as (
  update spans s set experiment_id = trace.experiment_id from trace
  where s.trace_id = trace.request_id and s.experiment_id <> trace.experiment_id
) select request_id, made from trace"""  # noqa: S608 - constants only


class Info(NamedTuple):
    """What a client tells about a whole trace; in the order of the statement."""

    trace: str
    experiment: int
    start: int
    duration: int | None
    status: str
    client_request: str | None
    kept: tuple[Any, ...]  # `_KEPT`; None leaves what is there
    tags: dict[str, str]
    metadata: dict[str, str]


class _Look(NamedTuple):
    """What is in the database of that which a group asks about."""

    times: dict[str, int]  # of the traces that are there, in ms
    barred: frozenset[str]  # traces whose spans are elsewhere, or that only upstream can show
    experiments: frozenset[int]


def _each_trace_once() -> Callable[[Item], bool]:
    """An admission: what comes later about the same trace comes in the next group."""
    known: set[str] = set()

    def admits(item: Item) -> bool:
        given = _ids(item)
        if not known.isdisjoint(given):
            return False
        known.update(given)
        return True

    return admits


def _ids(item: Item) -> list[str]:
    data: Batch | Info = item.data
    return [data.trace] if isinstance(data, Info) else [trace.trace for trace in data.traces]


async def _look(connection: Connection, items: Sequence[Item], assessed: bool) -> _Look:
    ids = [trace for item in items for trace in _ids(item)]
    experiments = list({item.data.experiment for item in items})
    row = await connection.fetchrow(_LOOK, ids, experiments, assessed)
    times = dict(zip(row["ids"], row["times"], strict=True))
    return _Look(times, frozenset(row["barred"]), frozenset(row["experiments"]))


def _fits(look: _Look, item: Item) -> bool:
    return item.data.experiment in look.experiments and look.barred.isdisjoint(_ids(item))


def _pairs(given: Iterable[tuple[str, dict[str, str]]]) -> list[list[str]]:
    """Columns of ids, keys, values."""
    rows = [(trace, key, value) for trace, pairs in given for key, value in pairs.items()]
    return [list(column) for column in zip(*rows, strict=True)] or [[], [], []]


def _check(look: _Look, wanted: int, written: Sequence[Any]) -> None:
    """What was looked at is what was written.

    Raises:
        asyncpg.SerializationError: a trace was made, or its spans moved, between the two; all is tried again.
    """
    if len(written) != wanted or any((row["request_id"] in look.times) is row["made"] for row in written):
        raise asyncpg.SerializationError("a trace was changed meanwhile")


class Spans:
    """The kind of item whose data are `Batch`es."""

    name = "spans"

    def admission(self) -> Callable[[Item], bool]:
        """Each trace once."""
        return _each_trace_once()

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; all of it may be written twice without harm, as upstream does where a client sends it twice."""
        async with connection.transaction():
            look = await _look(connection, items, assessed=False)
            fitting = [item for item in items if _fits(look, item)]
            if fitting:
                batches: list[Batch] = [item.data for item in fitting]
                given = [(batch.experiment, trace) for batch in batches for trace in batch.traces]
                _check(look, len(given), await connection.fetch(_SPANS, *_columns(batches, given, look)))
        done = set(fitting)
        return [STORED if item in done else None for item in items]


def _columns(batches: list[Batch], given: list[tuple[int, TraceRow]], look: _Look) -> list[list[Any]]:
    """The arguments of `_SPANS`."""
    infos = [
        (trace.trace, experiment, trace.start, trace.end, trace.status, trace.request, trace.response)
        for experiment, trace in given
    ]
    spans: list[SpanRow] = [span for batch in batches for span in batch.spans]
    tags = _pairs((trace.trace, {**trace.tags, SPANS_LOCATION: _HERE}) for _, trace in given)
    earlier = [(t.trace, t.start) for _, t in given if look.times.get(t.trace, t.start) > t.start]
    columns = [list(column) for rows in (infos, spans) for column in zip(*rows, strict=True)]
    return [*columns, *tags, [trace for trace, _ in earlier], [start for _, start in earlier]]


class Infos:
    """The kind of item whose data are `Info`."""

    name = "start-trace"

    def admission(self) -> Callable[[Item], bool]:
        """Each trace once."""
        return _each_trace_once()

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; all of it may be written twice without harm, as upstream does where a client sends it twice."""
        answers: dict[str, Answer] = {}
        async with connection.transaction():
            look = await _look(connection, items, assessed=True)
            infos: list[Info] = [item.data for item in items if _fits(look, item)]
            if infos:
                rows = [(*info[:6], *info.kept) for info in infos]
                columns = [list(column) for column in zip(*rows, strict=True)]
                tags = _pairs((info.trace, info.tags) for info in infos)
                known = dict(await connection.fetch(_KNOWN, list(look.times))) if look.times else {}
                metadata = _pairs((info.trace, info.metadata) for info in infos)
                _check(look, len(infos), await connection.fetch(_INFOS, *columns, *tags, *metadata))
                for row in await connection.fetch(traces.MANY, [info.trace for info in infos]):
                    said = traces.written(row, known.get(row["request_id"]))
                    answers[row["request_id"]] = Answer(b'{"trace":{"trace_info":' + said + b"}}")
        return [answers.get(item.data.trace) for item in items]
