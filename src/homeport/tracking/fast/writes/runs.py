"""runs/create, update, delete, restore, delete-tag, and set-tag of a run's name.

What MLflow would refuse, and what is rare, is left to MLflow. Refuses to know tables.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from homeport.tracking.fast.writes.body import (
    LONGEST_KEY,
    LONGEST_RUN_ID,
    LONGEST_RUN_NAME,
    LONGEST_TAG,
    RUN_NAME,
    body,
    experiment_id,
    integer,
    is_id,
    is_name,
    is_text,
    run_id,
)
from homeport.tracking.fast.writes.group import Groups
from homeport.tracking.fast.writes.logging import Logging, read_pair
from homeport.tracking.fast.writes.names import random_name
from homeport.tracking.fast.writes.statements import Change, Changed, Created, Deleted, Made, Removed
from homeport.tracking.front.call import Answer, Call

_CREATE_KEYS = frozenset({"experiment_id", "user_id", "run_name", "start_time", "tags"})
_UPDATE_KEYS = frozenset({"run_id", "run_uuid", "status", "end_time", "run_name"})
_LONGEST_USER = 256
# service.proto's RunStatus
STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}

_CREATED = Created()
_CHANGED = Changed()
_REMOVED = Removed()
_DELETED = Deleted("deleted")
_RESTORED = Deleted("active")


def _tags(given: object) -> dict[str, str] | None:
    """A new run's tags. MLflow validates none of them: only what every table takes is taken here."""
    if given is None:
        return {}
    if type(given) is not list:
        return None
    tags: dict[str, str] = {}
    for tag in given:
        if type(tag) is not dict or not tag.keys() <= {"key", "value"}:
            return None
        key, value = tag.get("key"), tag.get("value", "")
        if type(key) is not str or not key or not is_text(key, LONGEST_KEY) or not is_text(value, LONGEST_TAG):
            return None
        tags[key] = value
    return tags if len(tags) == len(given) else None


def read_created(call: Call) -> Made | None:
    """The run to be made, but for its id."""
    given = body(call)
    if given is None or not given.keys() <= _CREATE_KEYS:
        return None
    experiment = experiment_id(given.get("experiment_id"))
    user = given.get("user_id", "")
    name = given.get("run_name", "")
    start = integer(given.get("start_time", 0))
    tags = _tags(given.get("tags"))
    if experiment is None or start is None or tags is None:
        return None
    if not is_text(user, _LONGEST_USER) or not is_text(name, LONGEST_RUN_NAME):
        return None
    tagged = tags.get(RUN_NAME)
    if tagged is not None and (not tagged or len(tagged) > LONGEST_RUN_NAME or (name and name != tagged)):
        return None
    return Made("", experiment, user, name or tagged or "", start, tags)


def read_changed(call: Call) -> tuple[str, Change] | None:
    """The run to be changed, and how."""
    given = body(call)
    if given is None or not given.keys() <= _UPDATE_KEYS:
        return None
    run = run_id(given)
    status: Any = given.get("status")
    if status is not None:
        if type(status) is int:
            status = STATUSES.get(status)
        if type(status) is not str or status not in STATUSES.values():
            return None
    end = given.get("end_time")
    if end is not None:
        end = integer(end)
        if end is None:
            return None
    name = given.get("run_name")
    if run is None or (name is not None and not is_text(name, LONGEST_RUN_NAME)):
        return None
    return run, Change(status, end, name or None, True)


def _read_run(call: Call, *keys: str) -> dict[str, Any] | None:
    given = body(call)
    if given is None or not given.keys() <= {"run_id", *keys} or not is_id(given.get("run_id"), LONGEST_RUN_ID):
        return None
    return given


class Runs:
    """The calls.

    Args:
        groups: write them.
        logging: sets the tags that are not the run's name.
    """

    def __init__(self, groups: Groups, logging: Logging) -> None:
        self._groups = groups
        self._logging = logging

    async def create(self, call: Call) -> Answer | None:
        """runs/create."""
        made = read_created(call)
        if made is None:
            return None
        run = uuid.uuid4().hex
        try:
            name = made.name or random_name()
        except (LookupError, OSError, AttributeError):
            return None
        made = made._replace(run=run, name=name, tags={**made.tags, RUN_NAME: name})
        return await self._groups.write(_CREATED, run, made, 1 + len(made.tags), len(call.body))

    async def update(self, call: Call) -> Answer | None:
        """runs/update."""
        found = read_changed(call)
        if found is None:
            return None
        return await self._groups.write(_CHANGED, found[0], found[1], 1, len(call.body))

    async def set_tag(self, call: Call) -> Answer | None:
        """runs/set-tag: the tag that is the run's name changes the run too."""
        given = call.json
        if given is None or given.get("key") != RUN_NAME:
            return await self._logging.set_tag(call)
        found = read_pair(call, LONGEST_RUN_NAME)
        if found is None or not found[2]:
            return None
        return await self._groups.write(_CHANGED, found[0], Change(None, None, found[2], False), 1, len(call.body))

    async def delete_tag(self, call: Call) -> Answer | None:
        """runs/delete-tag."""
        given = _read_run(call, "key")
        if given is None or not is_name(given.get("key")):
            return None
        return await self._groups.write(_REMOVED, given["run_id"], given["key"], 1, len(call.body))

    async def delete(self, call: Call) -> Answer | None:
        """runs/delete."""
        given = _read_run(call)
        if given is None:
            return None
        return await self._groups.write(_DELETED, given["run_id"], int(time.time() * 1000), 1, len(call.body))

    async def restore(self, call: Call) -> Answer | None:
        """runs/restore."""
        given = _read_run(call)
        if given is None:
            return None
        return await self._groups.write(_RESTORED, given["run_id"], None, 1, len(call.body))
