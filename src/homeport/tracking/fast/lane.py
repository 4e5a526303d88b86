"""The fast lane as a whole: open while it is sure that this is a database it knows, and closed with the server.

Refuses to know HTTP servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from homeport.tracking.fast import compatible, routes
from homeport.tracking.fast.database import Database, UnsupportedUrlError
from homeport.tracking.fast.writes.group import Groups
from homeport.tracking.front.call import Answer, Call, HotCall, Route, Table
from homeport.tracking.front.private import Private

_AGAIN_SECONDS = 1.0  # between two tries to reach the database at all
_LOOK_SECONDS = 2.0  # between two looks whether it is still the same schema
_FIRST_SECONDS = 1.5  # that the first requests wait for it rather than for MLflow
_CLOSE_SECONDS = 5.0  # until what is under way is given up
_STARTING = "it is starting"
# Another schema under a running server shows so before the next look.
_SUSPICIOUS = (
    asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError, asyncpg.UndefinedObjectError,
    asyncpg.UndefinedFunctionError, asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError,
    asyncpg.ReadOnlySQLTransactionError, asyncpg.NotNullViolationError,
)  # fmt: skip


@dataclass(frozen=True)
class State:
    """Whether the lane is on, and if not, why."""

    on: bool
    why: str = ""


class Lane:
    """The hot calls over one database.

    Args:
        url: MLflow's database, as SQLAlchemy is told.
        environ: what MLflow is told.
        private: asks the private server, see `front.private`.
    """

    def __init__(self, url: str, environ: Mapping[str, str], private: Private) -> None:
        self._environ = environ
        self._private = private
        self.database: Database | None = None
        self.table = Table()
        self.state = State(on=False, why=_STARTING)
        self._watching: asyncio.Task[None] | None = None
        self._suspicion = asyncio.Event()
        self._settled = asyncio.Event()
        self._routes: routes.Routes | None = None
        reason = compatible.unwanted(environ, url)
        if not reason:
            try:
                self.database = Database(url)
            except UnsupportedUrlError as error:
                reason = str(error)
        if reason:
            self.state = State(on=False, why=reason)

    def start(self) -> None:
        """Begin to open it; requests pass through until it is open."""
        if self.database is None:
            _say(self.state)
            self._settled.set()
        else:
            self._watching = asyncio.get_running_loop().create_task(self._watch(self.database))

    async def settled(self) -> None:
        """Until it was first found out whether it may be on, or that takes too long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), _FIRST_SECONDS)

    @property
    def gauges(self) -> Sequence[Groups]:
        """The groups of writes, for metrics."""
        return self._routes.writes.groups if self._routes is not None else ()

    async def probe(self) -> None:
        """Ask its database something.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: it does not answer.
        """
        if self.database is not None:
            await self.database.row("select 1")

    async def _watch(self, database: Database) -> None:
        """Open it, and close it when the schema is another one; open it again when it is as it was."""
        while True:
            try:
                await database.open()
                reason = await compatible.reason(database)
            except (OSError, TimeoutError, *compatible.DATABASE_ERRORS) as error:
                # Away is not changed: what is under way finds out by itself, and MLflow says the same.
                if not self.state.on:
                    self.state = State(on=False, why=f"the database does not answer: {error or type(error).__name__}")
                self._settled.set()
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            except Exception as error:  # a lane that nobody watches must not stay open
                reason = f"its database could not be examined: {type(error).__name__}: {error}"
            self._decide(database, reason)
            self._settled.set()
            self._suspicion.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._suspicion.wait(), _LOOK_SECONDS)

    def _decide(self, database: Database, reason: str) -> None:
        state = State(on=not reason, why=reason)
        if state == self.state:
            return
        if state.on and self._routes is None:
            self._routes = routes.Routes(database, self._private, self._environ)
        self.table = Table(self._guarded(self._routes)) if state.on and self._routes is not None else Table()
        self.state = state
        _say(state)

    def _guarded(self, all_routes: routes.Routes) -> Iterator[Route]:
        """The hot calls; one that finds another schema than it knows has the schema looked at."""
        for route in all_routes.all():
            yield replace(route, handle=self._suspecting(route.handle))

    def _suspecting(self, handle: HotCall) -> HotCall:
        async def handled(call: Call) -> Answer | None:
            try:
                return await handle(call)
            except _SUSPICIOUS:
                self._suspicion.set()
                raise

        return handled

    async def close(self) -> None:
        """Finish what is under way, for some seconds, and let go of the database."""
        self.table = Table()
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        if self._routes is not None:
            await _soon(self._routes.close())
        if self.database is not None:
            await _soon(self.database.close())


async def _soon(closing: Awaitable[None]) -> None:
    """Wait for it, but not for ever: a pool that is not waited for ends its connections."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(closing, _CLOSE_SECONDS)


def _say(state: State) -> None:
    sys.stderr.write(f"fast lane: {'on' if state.on else 'off, ' + state.why}\n")
    sys.stderr.flush()
