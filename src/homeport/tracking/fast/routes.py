"""Every hot call there is: READ FIRST in this room. Those that write are in `writes/`, those that read in `reads/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.reads.table import Reads
from homeport.tracking.fast.writes.table import Writes
from homeport.tracking.front.call import Route
from homeport.tracking.front.private import Private


class Routes:
    """The hot calls over one database.

    Args:
        database: MLflow's.
        private: the server behind, which parses what only upstream's own code should.
        environ: what MLflow is told.
    """

    def __init__(self, database: Database, private: Private, environ: Mapping[str, str]) -> None:
        self.writes = Writes(database, environ)
        self.reads = Reads(database, private, environ)

    def all(self) -> Iterator[Route]:
        """The hot calls."""
        yield from self.writes.routes()
        yield from self.reads.routes()

    async def close(self) -> None:
        """Finish what is under way."""
        await self.writes.close()
