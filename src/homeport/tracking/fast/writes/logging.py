"""runs/log-metric, log-batch, log-parameter and set-tag: read as MLflow reads them, then written in groups.

What MLflow would refuse, and what is rare, is left to MLflow. Refuses to know tables.
"""

from __future__ import annotations

import math
from typing import Any

from homeport.tracking.fast.writes.body import (
    LARGEST_INTEGER,
    LONGEST_KEY,
    LONGEST_PARAM,
    LONGEST_RUN_NAME,
    LONGEST_TAG,
    RUN_NAME,
    body,
    integer,
    is_id,
    is_name,
    is_short_name,
    is_text,
    number,
    run_id,
)
from homeport.tracking.fast.writes.group import Groups
from homeport.tracking.fast.writes.logged import Entries, Logged
from homeport.tracking.fast.writes.named import Renamed, Renaming
from homeport.tracking.front.call import Answer, Call

LARGEST_DOUBLE = 1.7976931348623157e308  # how MLflow stores an infinity
_MOST_METRICS = 1000
_MOST_PAIRS = 100
_MOST_ENTITIES = 1000
_LONGEST_MODEL_ID = 36
_LONGEST_DATASET_NAME = 500
_LONGEST_DATASET_DIGEST = 36

_PLAIN = 4  # keys of a metric that is nothing but key, value, timestamp and step
_METRIC_KEYS = frozenset({"key", "value", "timestamp", "step", "model_id", "dataset_name", "dataset_digest", "run_id"})
_LOG_METRIC_KEYS = _METRIC_KEYS | {"run_uuid"}
_LOG_BATCH_KEYS = frozenset({"run_id", "metrics", "params", "tags"})
_PAIR_KEYS = frozenset({"key", "value"})
_RUN_PAIR_KEYS = frozenset({"run_id", "run_uuid", "key", "value"})

_LOGGED = Logged()
_RENAMED = Renamed()


def stored(value: float) -> tuple[float, bool]:
    """A metric's value as it is stored, and whether it is NaN (upstream's `sanitize_metric_value`)."""
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return 0.0, True
    if math.isinf(value):
        return math.copysign(LARGEST_DOUBLE, value), False
    return value, False


def _optional(value: object, longest: int) -> bool:
    return value is None or is_text(value, longest)


class Reader:
    """The metrics of one request, collected as columns."""

    __slots__ = ("keys", "models", "nans", "steps", "timestamps", "values")

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.values: list[float] = []
        self.timestamps: list[int] = []
        self.steps: list[int] = []
        self.nans: list[bool] = []
        self.models: list[tuple[Any, ...]] = []

    def read(self, given: dict[str, Any]) -> bool:
        """Take one metric; false if MLflow should look at it."""
        key, value, timestamp = given.get("key"), given.get("value"), given.get("timestamp")
        if not is_name(key):
            return False
        nan = False
        if type(value) is float:
            value += 0.0  # upstream's driver writes the text of -0.0, which PostgreSQL reads as 0
        else:
            value = number(value)
            if value is None:
                return False
            value, nan = stored(value + 0.0)
        if type(timestamp) is not int:
            timestamp = integer(timestamp)
        if timestamp is None or not 0 <= timestamp <= LARGEST_INTEGER:
            return False
        step = given.get("step", 0)
        if step is None:
            step = 0
        elif type(step) is not int or not -LARGEST_INTEGER <= step <= LARGEST_INTEGER:
            step = integer(step)
            if step is None:
                return False
        if (len(given) != _PLAIN or "step" not in given) and not self._rest(given, str(key), value, timestamp, step):
            return False
        self.keys.append(str(key))
        self.values.append(value)
        self.timestamps.append(timestamp)
        self.steps.append(step)
        self.nans.append(nan)
        return True

    def _rest(self, given: dict[str, Any], key: str, value: float, timestamp: int, step: int) -> bool:
        model = given.get("model_id")
        name = given.get("dataset_name")
        digest = given.get("dataset_digest")
        if not _optional(name, _LONGEST_DATASET_NAME) or not _optional(digest, _LONGEST_DATASET_DIGEST):
            return False
        if bool(name) != bool(digest):
            return False
        if model is not None and model != "":
            if type(model) is not str or not is_id(model.removeprefix("m-"), _LONGEST_MODEL_ID - 2):
                return False
            self.models.append((model, key, timestamp, step, value, name or None, digest or None))
        return True

    def entries(self, params: Any = (), tags: Any = ()) -> Entries | None:  # noqa: ANN401 - columns
        """All of it; None if two metrics of a model have one key, which MLflow refuses or not by their values."""
        models: tuple[Any, ...] = ()
        if self.models:
            models = tuple(zip(*self.models, strict=True))
            if len({row[:4] for row in self.models}) != len(self.models):
                return None
        metrics = (self.keys, self.values, self.timestamps, self.steps, self.nans) if self.keys else ()
        return Entries(metrics, params, tags, models)


def _plain(given: list[Any]) -> Reader | None:
    """Metrics that are all just as MLflow's own client sends them; looked at column by column, which is fast."""
    try:
        keys = [metric["key"] for metric in given]
        values = [metric["value"] for metric in given]
        timestamps = [metric["timestamp"] for metric in given]
        steps = [metric["step"] for metric in given]
        if (
            set(map(type, given)) != {dict}
            or set(map(len, given)) != {_PLAIN}
            or set(map(type, values)) != {float}
            or set(map(type, timestamps)) != {int}
            or set(map(type, steps)) != {int}
            or set(map(type, keys)) != {str}
        ):
            return None
    except (KeyError, TypeError, IndexError):
        return None
    if min(timestamps) < 0 or max(timestamps) > LARGEST_INTEGER or max(map(len, keys)) > LONGEST_KEY:
        return None
    if min(steps) < -LARGEST_INTEGER or max(steps) > LARGEST_INTEGER or not all(map(is_short_name, keys)):
        return None
    reader = Reader()
    reader.keys, reader.timestamps, reader.steps = keys, timestamps, steps
    reader.values = [value + 0.0 for value in values]
    reader.nans = [False] * len(keys)
    return reader


def _metrics(given: object) -> Reader | None:
    reader = Reader()
    if type(given) is not list or len(given) > _MOST_METRICS:
        return None
    plain = _plain(given)
    if plain is not None:
        return plain
    read = reader.read
    for metric in given:
        if type(metric) is not dict or not read(metric):
            return None
        if len(metric) != _PLAIN or "step" not in metric:
            other = metric.get("run_id")
            if not metric.keys() <= _METRIC_KEYS or (other is not None and type(other) is not str):
                return None
    return reader


def _pairs(given: object, longest: int) -> dict[str, str] | None:
    """Params or tags; None for null, which upstream fails at, and for a key twice, which it refuses of params."""
    if type(given) is not list or len(given) > _MOST_PAIRS:
        return None
    pairs: dict[str, str] = {}
    for pair in given:
        if type(pair) is not dict or not pair.keys() <= _PAIR_KEYS:
            return None
        key, value = pair.get("key"), pair.get("value", "")
        if not is_name(key) or not is_text(value, longest):
            return None
        pairs[str(key)] = value
    return pairs if len(pairs) == len(given) else None


def _columns(pairs: dict[str, str]) -> tuple[tuple[str, ...], ...]:
    return (tuple(pairs), tuple(pairs.values())) if pairs else ()


def read_metric(call: Call) -> tuple[str, Entries] | None:
    """log-metric's run and metric."""
    given = body(call)
    if given is None or not given.keys() <= _LOG_METRIC_KEYS:
        return None
    run = run_id(given)
    if run is None:
        return None
    key, value, timestamp, step = given.get("key"), given.get("value"), given.get("timestamp"), given.get("step")
    if (
        len(given) == _PLAIN + ("run_id" in given) + ("run_uuid" in given)
        and type(value) is float
        and type(timestamp) is int
        and type(step) is int
        and 0 <= timestamp <= LARGEST_INTEGER
        and -LARGEST_INTEGER <= step <= LARGEST_INTEGER
        and is_name(key)
    ):
        return run, Entries(((key,), (value + 0.0,), (timestamp,), (step,), (False,)))
    reader = Reader()
    if not reader.read(given):
        return None
    entries = reader.entries()
    return (run, entries) if entries is not None else None


def read_batch(call: Call) -> tuple[str, Entries, str] | None:
    """log-batch's run and entries, and the run's new name, which stands among the tags; empty if there is none."""
    given = body(call)
    if given is None or not given.keys() <= _LOG_BATCH_KEYS:
        return None
    run = run_id(given)
    reader = _metrics(given.get("metrics", []))
    params = _pairs(given.get("params", []), LONGEST_PARAM)
    tags = _pairs(given.get("tags", []), LONGEST_TAG)
    if run is None or reader is None or params is None or tags is None:
        return None
    if len(reader.keys) + len(params) + len(tags) > _MOST_ENTITIES:
        return None
    name = tags.pop(RUN_NAME, None)
    if name is not None and not 0 < len(name) <= LONGEST_RUN_NAME:
        return None
    entries = reader.entries(_columns(params), _columns(tags))
    return (run, entries, name or "") if entries is not None else None


def read_pair(call: Call, longest: int) -> tuple[str, str, str] | None:
    """The run, key and value of log-parameter and set-tag."""
    given = body(call)
    if given is None or not given.keys() <= _RUN_PAIR_KEYS:
        return None
    run, key, value = run_id(given), given.get("key"), given.get("value", "")
    if run is None or not is_name(key) or not is_text(value, longest):
        return None
    return run, str(key), value


class Logging:
    """The calls.

    Args:
        groups: write them.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def log_metric(self, call: Call) -> Answer | None:
        """runs/log-metric."""
        found = read_metric(call)
        if found is None:
            return None
        return await self._groups.write(_LOGGED, found[0], found[1], 1, len(call.body))

    async def log_batch(self, call: Call) -> Answer | None:
        """runs/log-batch."""
        found = read_batch(call)
        if found is None:
            return None
        run, entries, name = found
        rows = 1 + sum(len(columns[0]) for columns in entries if columns)
        kind, data = (_RENAMED, Renaming(entries, name)) if name else (_LOGGED, entries)
        return await self._groups.write(kind, run, data, rows, len(call.body))

    async def log_parameter(self, call: Call) -> Answer | None:
        """runs/log-parameter."""
        found = read_pair(call, LONGEST_PARAM)
        if found is None:
            return None
        run, key, value = found
        return await self._groups.write(_LOGGED, run, Entries(params=((key,), (value,))), 1, len(call.body))

    async def set_tag(self, call: Call) -> Answer | None:
        """runs/set-tag, but for the run's name, see `runs.py`."""
        found = read_pair(call, LONGEST_TAG)
        if found is None:
            return None
        run, key, value = found
        return await self._groups.write(_LOGGED, run, Entries(tags=((key,), (value,))), 1, len(call.body))
