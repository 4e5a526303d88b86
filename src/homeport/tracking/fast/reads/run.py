"""A run as MLflow writes it: the statements that fetch its parts, as JSON already, and how they are put together.

PostgreSQL writes the text of metrics, params and tags: a page of runs costs this process a copy, not thousands of
objects. Follows mlflow 3.17.2, entities/run*.py `to_proto` and utils/proto_json_utils.py `message_to_json`. Refuses to
know which runs are wanted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from homeport.tracking.fast.database import Row
from homeport.tracking.fast.reads.request import UnsureError
from homeport.tracking.fast.reads.texts import QUOTED, number, text

# Nothing is null; an empty text is what upstream cannot write.
_NAME = """(
      case when r.name <> '' then r.name else coalesce((
        select nullif(value, '') from tags where run_uuid = r.run_uuid and key = 'mlflow.runName'
      ), r.name) end
    )"""
_INFO = f"""coalesce(
    '{{"run_id":' || {text("r.run_uuid")} || ',"run_uuid":' || {text("r.run_uuid")}
    || ',"experiment_id":"' || r.experiment_id || '","user_id":' || {text("r.user_id")}
    || ',"status":' || {text("r.status")} || ',"start_time":' || r.start_time
    || ',"lifecycle_stage":' || {text("r.lifecycle_stage")}
    || case when r.end_time <> 0 then ',"end_time":' || r.end_time else '' end
    || case when r.artifact_uri <> '' then ',"artifact_uri":' || {text("r.artifact_uri")} else '' end
    || coalesce(',"run_name":' || {text(_NAME)}, '') || '}}', '')"""
_METRICS = f"""case when bool_or(timestamp is null) then '' else string_agg(
    '{{"key":' || {text("key")} || ',"value":' || {number(QUOTED)} || ',"timestamp":' || timestamp
    || ',"step":' || step || '}}', ',') end"""
_PAIRS = f"""string_agg(
    '{{"key":' || {text("key")} || coalesce(',"value":' || {text("value")}, '') || '}}', ',')"""
_DATA = """json_agg(json_build_array(
    d.dataset_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, d.dataset_schema, d.dataset_profile,
    t.name, t.value))::text"""
_MODELS = f"""string_agg('{{"model_id":' || {text("destination_id")} || ',"step":' || step || '}}', ',')"""
_USED = f"""string_agg('{{"model_id":' || {text("destination_id")} || '}}', ',')"""


class Part(NamedTuple):
    """What belongs to a run, as one text.

    Args:
        said: an aggregate.
        among: tables and conditions.
        run: the column that names the run.
    """

    said: str
    among: str
    run: str = "run_uuid"

    @property
    def of_one(self) -> str:
        """Of the run $1."""
        return f"(select {self.said} from {self.among} {self.run} = $1)"  # noqa: S608 - of constants only

    def of_many(self, place: int) -> str:
        """Of each of the runs $1 that has some of it."""
        rows = f"from {self.among} {self.run} = any($1::text[]) group by 2"
        return f"select {place}, {self.run}, {self.said} {rows}"


_PARTS = (
    Part(_METRICS, "latest_metrics where"),
    Part(_PAIRS, "params where"),
    Part(_PAIRS, "tags where"),
    Part(
        _DATA,
        "inputs i join datasets d on d.dataset_uuid = i.source_id "
        "left join input_tags t on t.input_uuid = i.input_uuid where i.destination_type = 'RUN' and",
        "i.destination_id",
    ),
    Part(_MODELS, "inputs where source_type = 'RUN_OUTPUT' and destination_type = 'MODEL_OUTPUT' and", "source_id"),
)
# Told by runs/get only.
_INPUTS = Part(_USED, "inputs where source_type = 'RUN_INPUT' and destination_type = 'MODEL_INPUT' and", "source_id")
_COUNT = 1 + len(_PARTS)

ONE = f"""select {", ".join([_INFO, *(part.of_one for part in (*_PARTS, _INPUTS))])}
from runs r where r.run_uuid = $1"""  # noqa: S608 - of constants only
# A row for each part that a run has, with the part's number and the run.
MANY = "\nunion all ".join([
    f"select 0, r.run_uuid, {_INFO} from runs r where r.run_uuid = any($1::text[])",  # noqa: S608 - of constants only
    *(part.of_many(place) for place, part in enumerate(_PARTS, 1)),
])  # fmt: skip


def one(row: Row) -> str:
    """The JSON of a run.

    Args:
        row: of `ONE`.

    Raises:
        UnsureError: the database holds what upstream cannot write.
    """
    return _written(row)


def many(rows: Iterable[Row], wanted: Sequence[str]) -> Iterator[str]:
    """The JSON of runs, in the order wanted.

    Args:
        rows: of `MANY`.
        wanted: their ids.

    Raises:
        UnsureError: the database holds what upstream cannot write, or no more one of the runs.
    """
    found: dict[str, list[str | None]] = {run: [None] * _COUNT for run in wanted}
    if len(found) != len(wanted):
        raise UnsureError
    for part, run, said in rows:
        found[run][part] = said
    return map(_written, found.values())


def _written(parts: Sequence[str | None]) -> str:
    info, metrics, params, tags, data, outputs, *more = parts
    if not info or metrics == "":
        raise UnsureError
    said = [
        f'"{name}":[{text_}]' for name, text_ in (("metrics", metrics), ("params", params), ("tags", tags)) if text_
    ]
    inputs = [f'"dataset_inputs":{_datasets(orjson.loads(data))}'] if data else []
    if more and more[0]:
        inputs.append(f'"model_inputs":[{more[0]}]')
    made = f'"model_outputs":[{outputs}]' if outputs else ""
    return f'{{"info":{info},"data":{{{",".join(said)}}},"inputs":{{{",".join(inputs)}}},"outputs":{{{made}}}}}'


def _datasets(rows: Iterable[Sequence[Any]]) -> str:
    """Each dataset once, with its tags."""
    found: dict[str, dict[str, Any]] = {}
    for dataset, name, digest, kind, source, schema, profile, tag, value in rows:
        entry = found.get(dataset)
        if entry is None:
            said = {"name": name, "digest": digest, "source_type": kind, "source": source}
            if schema:
                said["schema"] = schema
            if profile:
                said["profile"] = profile
            entry = found[dataset] = {"dataset": said}
        if tag is not None:
            entry.setdefault("tags", []).append({"key": tag, "value": value})
    return orjson.dumps(list(found.values())).decode()


def pairs(keys: Sequence[str], values: Sequence[str | None]) -> list[dict[str, str]]:
    """Keys with their values; a value that is null is left out, as protobuf does."""
    if None in values:
        return [
            {"key": key} if value is None else {"key": key, "value": value}
            for key, value in zip(keys, values, strict=True)
        ]
    return [{"key": key, "value": value} for key, value in zip(keys, values, strict=True)]  # type: ignore[dict-item]  # none is null


def plain(values: Iterable[float]) -> list[float | str]:
    """Numbers as protobuf writes them in JSON: those that JSON lacks as strings."""
    return [_named(value) if math.isnan(value) or math.isinf(value) else value for value in values]


def _named(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
