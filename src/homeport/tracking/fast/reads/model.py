"""A logged model as MLflow writes it: the parts of statements that fetch it whole, and its JSON.

Follows mlflow 3.17.2, store/tracking/dbmodels/models.py `SqlLoggedModel` and entities/logged_model.py `to_proto`.
Refuses to know which models are wanted.
"""

from __future__ import annotations

from typing import Any

import orjson

from homeport.tracking.fast.database import Row
from homeport.tracking.fast.reads.request import UnsureError
from homeport.tracking.fast.reads.run import pairs, plain

# service.proto's LoggedModelStatus
STATUSES = (
    "LOGGED_MODEL_STATUS_UNSPECIFIED",
    "LOGGED_MODEL_PENDING",
    "LOGGED_MODEL_READY",
    "LOGGED_MODEL_UPLOAD_FAILED",
)

# Of `m`, which has the columns of logged_models.
COLUMNS = """
select m.model_id, m.experiment_id, m.name, m.artifact_location, m.creation_timestamp_ms, m.last_updated_timestamp_ms,
       m.status, m.model_type, m.source_run_id, m.status_message,
       tag.keys as tag_keys, tag.vals as tag_values, param.keys as param_keys, param.vals as param_values,
       metric.keys as metric_keys, metric.vals as metric_values, metric.times as metric_times,
       metric.steps as metric_steps, metric.runs as metric_runs, metric.names as metric_names,
       metric.digests as metric_digests, metric.odd as metrics_odd, metric.bad as metrics_bad
"""
# Metrics that upstream fails at: without a value, or with half of a dataset.
BAD_METRIC = "(metric_value is null or (dataset_name is null) <> (dataset_digest is null))"
PARTS = f"""
left join lateral (
  select array_agg(tag_key) as keys, array_agg(tag_value) as vals from logged_model_tags where model_id = m.model_id
) tag on true
left join lateral (
  select array_agg(param_key) as keys, array_agg(param_value) as vals from logged_model_params
  where model_id = m.model_id
) param on true
left join lateral (
  select array_agg(metric_name) as keys, array_agg(metric_value) as vals, array_agg(metric_timestamp_ms) as times,
         array_agg(metric_step) as steps, array_agg(run_id) as runs, array_agg(dataset_name) as names,
         array_agg(dataset_digest) as digests, bool_or(metric_value in ('NaN', 'Infinity', '-Infinity')) as odd,
         bool_or({BAD_METRIC}) as bad
  from logged_model_metrics where model_id = m.model_id
) metric on true
"""  # noqa: S608 - constants only
ONE = f"""{COLUMNS} from logged_models m {PARTS}
where m.model_id = $1 and ($2 or m.lifecycle_stage <> 'deleted')"""
MANY = f"""{COLUMNS} from unnest($1::text[]) with ordinality as wanted(id, place)
join logged_models m on m.model_id = wanted.id {PARTS} order by wanted.place"""


def written(row: Row) -> bytes:
    """The model's JSON.

    Args:
        row: with `COLUMNS`.

    Raises:
        UnsureError: the database holds what upstream cannot write.
    """
    (
        model, experiment, name, location, created, updated, status, kind, run, message,
        tag_keys, tag_values, param_keys, param_values,
        metric_keys, metric_values, metric_times, metric_steps, metric_runs, names, digests, odd, bad,
    ) = row  # fmt: skip
    if bad or not 0 <= status < len(STATUSES):
        raise UnsureError
    info: dict[str, Any] = {
        "model_id": model, "experiment_id": str(experiment), "name": name, "creation_timestamp_ms": created,
        "last_updated_timestamp_ms": updated, "artifact_uri": location, "status": STATUSES[status],
    }  # fmt: skip
    optional = {"model_type": kind, "source_run_id": run, "status_message": message}
    info |= {field: value for field, value in optional.items() if value is not None}
    if tag_keys:
        info["tags"] = pairs(tag_keys, tag_values)
    data: dict[str, Any] = {}
    if param_keys:
        data["params"] = pairs(param_keys, param_values)
    if metric_keys:
        values = plain(metric_values) if odd else metric_values
        columns = (metric_keys, values, metric_times, metric_steps, metric_runs, names, digests)
        data["metrics"] = [_metric(model, *each) for each in zip(*columns, strict=True)]
    return orjson.dumps({"info": info, "data": data})


def _metric(model: str, *row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row's values
    key, value, time, step, run, name, digest = row
    said = {"key": key, "value": value, "timestamp": time, "step": step, "model_id": model}
    optional = {"dataset_name": name, "dataset_digest": digest, "run_id": run}
    return said | {field: given for field, given in optional.items() if given}
