"""A run as MLflow writes it: one statement that fetches it whole, and its JSON.

Metrics, params and tags come as arrays: a tenth of the objects that rows would take. Follows mlflow 3.17.2,
entities/run*.py `to_proto` and utils/proto_json_utils.py `message_to_json`. Refuses to know which runs are wanted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from homeport.tracking.fast.database import Row
from homeport.tracking.fast.reads.request import UnsureError

_RUN_NAME = "mlflow.runName"

_COLUMNS = """
select r.run_uuid, r.name, r.experiment_id, r.user_id, r.status, r.start_time, r.end_time, r.artifact_uri,
       r.lifecycle_stage,
       metric.keys as metric_keys, metric.vals as metric_values, metric.times as metric_times,
       metric.steps as metric_steps, metric.odd as metrics_odd,
       param.keys as param_keys, param.vals as param_values, tag.keys as tag_keys, tag.vals as tag_values,
       data.ids as data_ids, data.names as data_names, data.digests as data_digests, data.kinds as data_kinds,
       data.sources as data_sources, data.schemas as data_schemas, data.profiles as data_profiles,
       data.tags as data_tags, data.vals as data_values, output.ids as output_ids, output.steps as output_steps
"""
_PARTS = """
left join lateral (
  select array_agg(key) as keys, array_agg(case when is_nan then 'NaN' else value end) as vals,
         array_agg(timestamp) as times, array_agg(step) as steps,
         bool_or(is_nan or timestamp is null or value in ('NaN', 'Infinity', '-Infinity')) as odd
  from latest_metrics where run_uuid = r.run_uuid
) metric on true
left join lateral (
  select array_agg(key) as keys, array_agg(value) as vals from params where run_uuid = r.run_uuid
) param on true
left join lateral (
  select array_agg(key) as keys, array_agg(value) as vals from tags where run_uuid = r.run_uuid
) tag on true
left join lateral (
  select array_agg(d.dataset_uuid) as ids, array_agg(d.name) as names, array_agg(d.digest) as digests,
         array_agg(d.dataset_source_type) as kinds, array_agg(d.dataset_source) as sources,
         array_agg(d.dataset_schema) as schemas, array_agg(d.dataset_profile) as profiles,
         array_agg(t.name) as tags, array_agg(t.value) as vals
  from inputs i join datasets d on d.dataset_uuid = i.source_id left join input_tags t on t.input_uuid = i.input_uuid
  where i.destination_type = 'RUN' and i.destination_id = r.run_uuid
) data on true
left join lateral (
  select array_agg(destination_id) as ids, array_agg(step) as steps from inputs
  where source_type = 'RUN_OUTPUT' and source_id = r.run_uuid and destination_type = 'MODEL_OUTPUT'
) output on true
"""
# Models that went into a run are told by runs/get only.
ONE = f"""{_COLUMNS}, array(
  select destination_id from inputs
  where source_type = 'RUN_INPUT' and source_id = r.run_uuid and destination_type = 'MODEL_INPUT'
) as input_ids from runs r {_PARTS} where r.run_uuid = $1"""  # noqa: S608 - of constants only
MANY = f"""{_COLUMNS}, null as input_ids
from unnest($1::text[]) with ordinality as wanted(run_uuid, place) join runs r on r.run_uuid = wanted.run_uuid {_PARTS}
order by wanted.place"""


def written(row: Row) -> bytes:
    """The run's JSON.

    Args:
        row: of `ONE` or `MANY`.

    Raises:
        UnsureError: the database holds what upstream cannot write.
    """
    (
        run_id, name, experiment, user, status, start, end, artifacts, stage,
        metric_keys, metric_values, metric_times, metric_steps, odd, param_keys, param_values, tag_keys, tag_values,
        data_ids, *data, output_ids, output_steps, input_ids,
    ) = row  # fmt: skip
    if experiment is None or user is None or status is None or start is None or stage is None:
        raise UnsureError
    info: dict[str, Any] = {
        "run_id": run_id, "run_uuid": run_id, "experiment_id": str(experiment), "user_id": user, "status": status,
        "start_time": start, "lifecycle_stage": stage,
    }  # fmt: skip
    if not name and tag_keys and _RUN_NAME in tag_keys:
        name = tag_values[tag_keys.index(_RUN_NAME)] or name
    if name is not None:
        info["run_name"] = name
    if end:
        info["end_time"] = end
    if artifacts:
        info["artifact_uri"] = artifacts
    said: dict[str, Any] = {}
    if metric_keys:
        said["metrics"] = [
            {"key": key, "value": value, "timestamp": time, "step": step}
            for key, value, time, step in zip(
                metric_keys, plain(metric_values) if odd else metric_values, metric_times, metric_steps, strict=True
            )
        ]
        if odd and None in metric_times:
            raise UnsureError
    if param_keys:
        said["params"] = pairs(param_keys, param_values)
    if tag_keys:
        said["tags"] = pairs(tag_keys, tag_values)
    inputs: dict[str, Any] = {}
    if data_ids:
        inputs["dataset_inputs"] = _datasets(data_ids, *data)
    if input_ids:
        inputs["model_inputs"] = [{"model_id": found} for found in input_ids]
    outputs: dict[str, Any] = {}
    if output_ids:
        found = zip(output_ids, output_steps, strict=True)
        outputs["model_outputs"] = [{"model_id": model, "step": step} for model, step in found]
    return orjson.dumps({"info": info, "data": said, "inputs": inputs, "outputs": outputs})


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


def _datasets(ids: Sequence[str], *columns: Sequence[str | None]) -> list[dict[str, Any]]:
    """Each dataset once, with its tags."""
    found: dict[str, dict[str, Any]] = {}
    for dataset, name, digest, kind, source, schema, profile, tag, value in zip(ids, *columns, strict=True):
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
    return list(found.values())
