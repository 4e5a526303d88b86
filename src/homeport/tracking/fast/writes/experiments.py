"""experiments/set-experiment-tag. What MLflow would refuse, and what is rare, is left to MLflow.

Experiments are created by MLflow alone: rarely, and with logins on it then gives the creator rights. Refuses to know
how requests are queued.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from homeport.tracking.fast.database import Connection
from homeport.tracking.fast.writes.body import body, experiment_id, is_name, is_text
from homeport.tracking.fast.writes.group import Groups, Item, one_of_a_run
from homeport.tracking.front.call import EMPTY, Answer, Call

_KEYS = frozenset({"experiment_id", "key", "value"})
_LONGEST_VALUE = 20000
# Keys whose values upstream checks, or counts.
_CHECKED = ("mlflow.customView", "mlflow.trace.")

_SET = """with tag as (
  insert into experiment_tags (experiment_id, key, value)
  select e.experiment_id, g.key, g.value from unnest($1::int4[], $2::text[], $3::text[]) as g(id, key, value)
  join experiments e on e.experiment_id = g.id and e.lifecycle_stage = 'active' order by 1, 2
  on conflict (key, experiment_id) do update set value = excluded.value returning experiment_id
) select experiment_id from tag"""


class _Tagged:
    name = "set-experiment-tag"

    def admission(self) -> Callable[[Item], bool]:
        """Each experiment once."""
        return one_of_a_run()

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; all of it may be written twice without harm."""
        rows = await connection.fetch(_SET, *zip(*(item.data for item in items), strict=True))
        done = {row[0] for row in rows}
        return [EMPTY if item.data[0] in done else None for item in items]


_TAGGED = _Tagged()


def read_tag(call: Call) -> tuple[int, str, str] | None:
    """The experiment, key and value."""
    given = body(call)
    if given is None or not given.keys() <= _KEYS:
        return None
    experiment, key, value = experiment_id(given.get("experiment_id")), given.get("key"), given.get("value", "")
    if experiment is None or not is_name(key) or not is_text(value, _LONGEST_VALUE):
        return None
    return None if str(key).startswith(_CHECKED) else (experiment, str(key), value)


class Experiments:
    """The calls.

    Args:
        groups: write them.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def set_tag(self, call: Call) -> Answer | None:
        """experiments/set-experiment-tag."""
        found = read_tag(call)
        if found is None:
            return None
        return await self._groups.write(_TAGGED, f"experiment {found[0]}", found, 1, len(call.body))
