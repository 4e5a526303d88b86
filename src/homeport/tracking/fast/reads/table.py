"""The hot calls that read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homeport.tracking.fast.database import Database
from homeport.tracking.front.call import Route
from homeport.tracking.front.private import Private


class Reads:
    """The hot calls that read, over one database.

    Args:
        database: MLflow's.
        private: parses what only upstream's own code should.
        environ: what MLflow is told.
    """

    def __init__(self, database: Database, private: Private, environ: Mapping[str, str]) -> None:
        self._database = database
        self._private = private
        self._environ = environ

    def routes(self) -> Iterator[Route]:
        """The hot calls."""
        return iter(())
