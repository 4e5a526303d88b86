"""How experiments are made and tagged: many in one statement each.

An experiment's number is taken from the sequence before it is written: its location is told by it, and a second attempt
finds by it what the first one left (mlflow 3.17.2: store/tracking/sqlalchemy_store.py `create_experiment`). Refuses to
know HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeport.tracking.fast.database import Connection
from homeport.tracking.fast.writes.group import Item, one_of_a_run
from homeport.tracking.front.call import EMPTY, Answer


@dataclass
class New:
    """An experiment to be made."""

    name: str
    location: str  # empty: below the root
    tags: dict[str, str] = field(default_factory=dict)
    root: str = ""
    created: int = 0  # ms
    number: int | None = None  # once it has one

    @property
    def place(self) -> str:
        """Where its artifacts are."""
        return self.location or f"{self.root}{'' if self.root.endswith('/') else '/'}{self.number}"


# A name that is taken takes no number here: MLflow, which refuses it, takes one.
_NUMBER = """select g.nth, nextval(pg_get_serial_sequence('experiments', 'experiment_id'))
from unnest($1::text[]) with ordinality as g(name, nth)
where not exists (select from experiments e where e.name = g.name and e.workspace = 'default')
order by g.nth"""
# Names are told in their order: two servers that make the same ones wait for each other rather than for ever.
_CREATE = """with made as (
  insert into experiments (experiment_id, name, workspace, artifact_location, lifecycle_stage, creation_time,
    last_update_time)
  select g.id, g.name, 'default', g.location, 'active', g.at, g.at
  from unnest($1::int4[], $2::text[], $3::text[], $4::int8[]) as g(id, name, location, at) order by g.name
  on conflict do nothing returning experiment_id
), tagged as (
  insert into experiment_tags (experiment_id, key, value)
  select t.id, t.key, t.value from unnest($5::int4[], $6::text[], $7::text[]) as t(id, key, value)
  join made on made.experiment_id = t.id order by 1, 2
) select experiment_id from made"""
_THERE = """select g.id from unnest($1::int4[], $2::text[]) as g(id, name)
join experiments e on e.experiment_id = g.id and e.name = g.name"""


class Created:
    """The kind of item whose data is `New`."""

    name = "create-experiment"

    def admission(self) -> Callable[[Item], bool]:
        """Each name once."""
        return one_of_a_run()

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; those whose names are taken are left to MLflow."""
        given: list[New] = [item.data for item in items]
        await self._number(connection, [new for new in given if new.number is None])
        new = [each for each in given if each.number is not None]
        done: set[int] = set()
        if new:
            tags = [(each.number, key, value) for each in new for key, value in each.tags.items()]
            rows = [(each.number, each.name, each.place, each.created) for each in new]
            columns: list[Sequence[Any]] = [*zip(*rows, strict=True)]
            columns += zip(*tags, strict=True) if tags else ((), (), ())
            done = {row[0] for row in await connection.fetch(_CREATE, *columns)}
            if again:  # an earlier attempt may have ended only now
                done |= {row[0] for row in await connection.fetch(_THERE, *columns[:2])}
        return [_made(each.number) if each.number in done else None for each in given]

    async def _number(self, connection: Connection, new: Sequence[New]) -> None:
        if new:
            for nth, number in await connection.fetch(_NUMBER, [each.name for each in new]):
                new[nth - 1].number = number


def _made(number: int | None) -> Answer:
    return Answer(orjson.dumps({"experiment_id": str(number)}))


_TAG = """with tag as (
  insert into experiment_tags (experiment_id, key, value)
  select e.experiment_id, g.key, g.value from unnest($1::int4[], $2::text[], $3::text[]) as g(id, key, value)
  join experiments e on e.experiment_id = g.id and e.lifecycle_stage = 'active' order by 1, 2
  on conflict (key, experiment_id) do update set value = excluded.value returning experiment_id
) select experiment_id from tag"""


class Tagged:
    """The kind of item whose data are an experiment's number, a key and a value."""

    name = "set-experiment-tag"

    def admission(self) -> Callable[[Item], bool]:
        """Each experiment once."""
        return one_of_a_run()

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; all of it may be written twice without harm."""
        rows = await connection.fetch(_TAG, *zip(*(item.data for item in items), strict=True))
        done = {row[0] for row in rows}
        return [EMPTY if item.data[0] in done else None for item in items]
