"""The fast lane as a whole: opened once it is sure that this is a database it knows, and closed with the server.

Refuses to know HTTP servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from homeport.tracking.fast import compatible, routes
from homeport.tracking.fast.database import Database, UnsupportedUrlError
from homeport.tracking.front.call import Table
from homeport.tracking.front.private import Private

_AGAIN_SECONDS = 1.0


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
        self.state = State(on=False, why="it is starting")
        self._opening: asyncio.Task[None] | None = None
        self._routes: routes.Routes | None = None
        reason = compatible.unwanted(environ)
        if not reason:
            try:
                self.database = Database(url)
            except UnsupportedUrlError as error:
                reason = str(error)
        if reason:
            self.state = State(on=False, why=reason)

    def start(self) -> None:
        """Begin to open it; requests pass through until it is open."""
        if self.database is not None:
            self._opening = asyncio.get_running_loop().create_task(self._open(self.database))

    async def _open(self, database: Database) -> None:
        while True:
            try:
                await database.open()
                reason = await compatible.reason(database)
                break
            except (OSError, TimeoutError, compatible.DATABASE_ERRORS) as error:
                self.state = State(on=False, why=f"the database does not answer: {error}")
                await asyncio.sleep(_AGAIN_SECONDS)
        if reason:
            self.state = State(on=False, why=reason)
            await database.close()
        else:
            self._routes = routes.Routes(database, self._private, self._environ)
            self.table = Table(self._routes.all())
            self.state = State(on=True)
        sys.stderr.write(f"fast lane: {'on' if self.state.on else 'off, ' + self.state.why}\n")
        sys.stderr.flush()

    async def close(self) -> None:
        """Finish what is under way and let go of the database."""
        if self._opening is not None:
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._opening
        if self._routes is not None:
            await self._routes.close()
        if self.database is not None:
            await self.database.close()
