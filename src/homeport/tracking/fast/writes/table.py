"""The hot calls that write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.writes.metrics import MetricWrites
from homeport.tracking.front.call import Route, Subject


class Writes:
    """The hot calls that write, over one database.

    Args:
        database: MLflow's.
        environ: what MLflow is told.
    """

    def __init__(self, database: Database, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._metrics = MetricWrites(database)

    def routes(self) -> Iterator[Route]:
        """The hot calls."""
        yield Route.mlflow("log-metric", "POST", "runs/log-metric", self._metrics.log_metric, Subject.RUN)

    async def close(self) -> None:
        """Finish what is under way."""
        await self._metrics.close()
