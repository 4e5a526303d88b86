"""Sequences of calls as hypothesis strategies: mostly right, now and then odd, and searches in MLflow's own grammar."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.differential.registry_shapes import REGISTRY
from tests.differential.shapes import (
    BESIDE,
    LOG_BATCH,
    LOG_METRIC,
    PLAIN,
    READS,
    SEARCH_EXPERIMENTS,
    SEARCH_RUNS,
    WRITES,
    Shape,
)
from tests.differential.values import ODD, QUERY
from tests.differential.wire import Request

_COMPARED = ("=", "!=", ">", ">=", "<", "<=")
_LIKE = ("=", "!=", "LIKE", "ILIKE", "like")
_METRICS = ("metrics.m", "metrics.loss", "metric.m", "metrics.`a/b`", 'metrics."m"', "metrics.none")
_WORDS = (
    "params.p", "param.q", "params.`a/b`", "tags.t", "tag.`mlflow.runName`", "tags.`mlflow.user`", "parameters.p",
    "attributes.status", "attribute.run_name", "attributes.`run name`", "run_name", "status", "user_id", "artifact_uri",
    "attributes.run_id", "run_id", "dataset.name", "dataset.digest", "dataset.context", "attributes.lifecycle_stage",
)  # fmt: skip
_TIMES = ("attributes.start_time", "start_time", "attributes.end_time", "attributes.created", "end_time")
_LITERALS = (
    "'1'", "'2'", '"1"', "'named by tag'", "'%a%'", "'run _'", "'RUNNING'", "'FINISHED'", "'@R0@'", "'ü'", "''", "'%'",
    "'it''s'", "'d'", "'me'", "'run a'", "'\\\\'", "'1\\''",
)  # fmt: skip
_BROKEN = (
    "m = 1", "metrics.m", "metrics.m = 'x'", "params.p = 1", "params.p > '1'", "metrics.m = 1 OR metrics.m = 2", "AND",
    "metrics.m = 1 AND", "(metrics.m = 1)", "nope.x = 1", "attributes.nope = 'x'", "status = RUNNING", "'", "`", ";",
    "metrics.m == 1", "run_id IN ()", "params.p IN ('1')", "metrics.m = 1; drop table runs", "NOT metrics.m = 1",
    "1 = 1",
    "metrics.m LIKE '1'", "metrics.m > NaN", "tags. = 'x'", "params.p IS", "attributes.start_time = 'x'", "a.b.c = '1'",
)  # fmt: skip

numbers = st.sampled_from(("0", "1", "1.5", "-1", "2", "1e2", "1600000000000", "-0.5", "NaN", "1e400"))
comparison = st.one_of(
    st.builds(" ".join, st.tuples(st.sampled_from(_METRICS), st.sampled_from(_COMPARED), numbers)),
    st.builds(" ".join, st.tuples(st.sampled_from(_WORDS), st.sampled_from(_LIKE), st.sampled_from(_LITERALS))),
    st.builds(" ".join, st.tuples(st.sampled_from(_TIMES), st.sampled_from(_COMPARED), numbers)),
    st.builds("{} {} ('{}','@R1@')".format,
              st.sampled_from(("run_id", "attributes.run_id", "attributes.run_name", "status")),
              st.sampled_from(("IN", "NOT IN", "in")), st.sampled_from(("@R0@", "RUNNING", "run a"))),
    st.builds("{} {}".format, st.sampled_from(("params.p", "tags.t", "tags.none", "metrics.m", "run_name")),
              st.sampled_from(("IS NULL", "IS NOT NULL", "is null"))),
    st.sampled_from(_BROKEN),
)  # fmt: skip
filters = st.lists(comparison, min_size=1, max_size=3).map(" AND ".join)
order = st.builds(
    "{}{}".format,
    st.sampled_from((
        *_METRICS, "params.p", "params.`a/b`", "tags.t", "tags.`mlflow.user`", "attributes.start_time", "start_time",
        "attributes.end_time", "status", "attributes.status", "attribute.user_id", "nope", "nope.x", "metrics.m x", "",
        "attributes.artifact_uri.x", "dataset.name", "Created", "params.`p` ", "`metrics`.`m`", "attributes.nope",
    )),
    st.sampled_from(("", " ASC", " DESC", " desc", " UP", "  DESC ")),
)  # fmt: skip
orders = st.lists(order, max_size=3).map(json.dumps)


@st.composite
def calls(draw: st.DrawFn, shapes: Sequence[Shape | None] = ()) -> Request:
    """One call; of those, if any are given."""
    shape = draw(st.sampled_from(shapes or (*_WEIGHED, *BESIDE)))
    if shape is None:
        return draw(st.sampled_from(PLAIN))
    values = []
    for name, right in shape.fields.items():
        luck = draw(st.integers(0, 19))
        first = name == next(iter(shape.fields))
        if shape is SEARCH_RUNS and name == "filter" and luck < 14:
            values.append((name, json.dumps(draw(filters))))
        elif shape is SEARCH_RUNS and name == "order_by" and luck < 14:
            values.append((name, draw(orders)))
        elif luck == 19:
            values.append((name, draw(st.sampled_from(QUERY if shape.method == "GET" else ODD))))
        elif first or luck < 13:
            values.append((name, draw(st.sampled_from(right))))
    return shape.request(draw(st.permutations(values)) if draw(st.integers(0, 9)) == 9 else values)


# Those that matter most come most often.
_WEIGHED: tuple[Shape | None, ...] = (
    *WRITES, *READS, *REGISTRY, LOG_METRIC, LOG_METRIC, LOG_BATCH, LOG_BATCH, SEARCH_RUNS, SEARCH_RUNS,
    SEARCH_EXPERIMENTS, None,
)  # fmt: skip
sequences = st.lists(calls(), min_size=1, max_size=25)
