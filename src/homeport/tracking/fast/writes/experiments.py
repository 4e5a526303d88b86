"""experiments/create and set-experiment-tag. What MLflow would refuse, and what is rare, is left to MLflow.

With logins on, whoever creates an experiment gets rights on it, which only MLflow gives: `table.py` then offers no
creation. Refuses to know tables.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from homeport.tracking.fast.writes.body import body, experiment_id, is_name, is_text
from homeport.tracking.fast.writes.experiment_statements import Created, New, Tagged
from homeport.tracking.fast.writes.group import Groups
from homeport.tracking.fast.writes.statements import PLAIN_LOCATION
from homeport.tracking.front.call import Answer, Call

_TAG_KEYS = frozenset({"experiment_id", "key", "value"})
_NEW_KEYS = frozenset({"name", "artifact_location", "tags"})
_LONGEST_NAME = 256
_LONGEST_LOCATION = 256
_LONGEST_VALUE = 20000
_MOST_TAGS = 1000
# Keys whose values upstream checks, or counts.
_CHECKED = ("mlflow.customView", "mlflow.trace.")
_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"  # where upstream is told it
_LOCATION_LIMIT = "MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH"  # a shorter limit than ours may be told

_PLAIN = re.compile(PLAIN_LOCATION)
_CREATED = Created()
_TAGGED = Tagged()


def is_plain(location: str) -> bool:
    """Whether upstream stores this artifact location as it is, and adds to it with a slash and nothing else."""
    return len(location) <= _LONGEST_LOCATION and _PLAIN.fullmatch(location) is not None


def _pair(given: Mapping[str, Any]) -> tuple[str, str] | None:
    key, value = given.get("key"), given.get("value", "")
    if not is_name(key) or not is_text(value, _LONGEST_VALUE) or str(key).startswith(_CHECKED):
        return None
    return str(key), value


def read_tag(call: Call) -> tuple[int, str, str] | None:
    """The experiment, key and value."""
    given = body(call)
    if given is None or not given.keys() <= _TAG_KEYS:
        return None
    experiment, pair = experiment_id(given.get("experiment_id")), _pair(given)
    return None if experiment is None or pair is None else (experiment, *pair)


def read_new(call: Call) -> New | None:
    """The experiment to be made; its location is empty where the server chooses it."""
    given = body(call)
    if given is None or not given.keys() <= _NEW_KEYS:
        return None
    name, location, tags = given.get("name"), given.get("artifact_location", ""), given.get("tags", [])
    if not name or not is_text(name, _LONGEST_NAME) or type(location) is not str or type(tags) is not list:
        return None
    if (location and not is_plain(location)) or len(tags) > _MOST_TAGS:
        return None
    pairs: dict[str, str] = {}
    for tag in tags:
        pair = _pair(tag) if type(tag) is dict and tag.keys() <= {"key", "value"} else None
        if pair is None:
            return None
        pairs[pair[0]] = pair[1]
    return New(name, location, pairs) if len(pairs) == len(tags) else None


class Experiments:
    """The calls.

    Args:
        groups: write them.
        environ: what MLflow is told.
    """

    def __init__(self, groups: Groups, environ: Mapping[str, str]) -> None:
        self._groups = groups
        root = environ.get(_ROOT, "")
        self._root = root if is_plain(root) else ""
        self._limited = bool(environ.get(_LOCATION_LIMIT))

    async def create(self, call: Call) -> Answer | None:
        """experiments/create."""
        new = read_new(call)
        if new is None or (not new.location and not self._root) or (new.location and self._limited):
            return None
        new.root = self._root
        new.created = int(time.time() * 1000)
        return await self._groups.write(
            _CREATED, f"experiment named {new.name}", new, 1 + len(new.tags), len(call.body)
        )

    async def set_tag(self, call: Call) -> Answer | None:
        """experiments/set-experiment-tag."""
        found = read_tag(call)
        if found is None:
            return None
        return await self._groups.write(_TAGGED, f"experiment {found[0]}", found, 1, len(call.body))
