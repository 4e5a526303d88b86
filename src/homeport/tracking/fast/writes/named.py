"""How a batch is written that gives its run another name too: both in one transaction.

Rare, so groups are of one (mlflow 3.17.2: store/tracking/sqlalchemy_store.py `_set_tags`). Refuses to know tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from homeport.tracking.fast.database import Connection
from homeport.tracking.fast.writes.group import Item, Kind
from homeport.tracking.fast.writes.logged import Entries, Logged
from homeport.tracking.fast.writes.statements import Change, Changed
from homeport.tracking.front.call import EMPTY, Answer

_LOGGED = Logged()
_CHANGED = Changed()


class Renaming(NamedTuple):
    """What a batch logs, without the tag that is the run's name, and that name."""

    entries: Entries
    name: str


class _LeftError(Exception):
    """One of the two is left to MLflow, so both are."""


class Renamed:
    """The kind of item whose data is `Renaming`."""

    name = "log-batch"

    def admission(self) -> Callable[[Item], bool]:
        """The first only."""
        turns = iter((True,))
        return lambda _: next(turns, False)

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write both; all of it may be written twice without harm."""
        run, given = items[0].run, items[0].data
        try:
            async with connection.transaction():
                await _part(_LOGGED, connection, run, given.entries, again)
                await _part(_CHANGED, connection, run, Change(None, None, given.name, False), again)
        except _LeftError:
            return [None]
        return [EMPTY]


async def _part(kind: Kind, connection: Connection, run: str, data: Entries | Change, again: bool) -> None:
    if await kind.write(connection, [Item(kind, run, data, 0, 0)], again) != [EMPTY]:
        raise _LeftError
