"""The hot calls that write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.writes.experiments import Experiments
from homeport.tracking.fast.writes.group import Groups
from homeport.tracking.fast.writes.inputs import Inputs
from homeport.tracking.fast.writes.logging import Logging
from homeport.tracking.fast.writes.runs import Runs
from homeport.tracking.front.call import Route, Subject


class Writes:
    """The hot calls that write, over one database.

    Args:
        database: MLflow's.
        environ: what MLflow is told.
    """

    def __init__(self, database: Database, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._groups = Groups(database)
        self._logging = Logging(self._groups)
        self._runs = Runs(self._groups, self._logging)
        self._inputs = Inputs(self._groups)
        self._experiments = Experiments(self._groups)

    @property
    def groups(self) -> list[Groups]:
        """The queue, whose counts are for metrics."""
        return [self._groups]

    def routes(self) -> Iterator[Route]:
        """The hot calls."""
        logging, runs, inputs = self._logging, self._runs, self._inputs
        yield Route.mlflow("log-metric", "POST", "runs/log-metric", logging.log_metric, Subject.RUN)
        yield Route.mlflow("log-batch", "POST", "runs/log-batch", logging.log_batch, Subject.RUN)
        yield Route.mlflow("log-parameter", "POST", "runs/log-parameter", logging.log_parameter, Subject.RUN)
        yield Route.mlflow("set-tag", "POST", "runs/set-tag", runs.set_tag, Subject.RUN)
        yield Route.mlflow("create-run", "POST", "runs/create", runs.create, Subject.EXPERIMENT)
        yield Route.mlflow("update-run", "POST", "runs/update", runs.update, Subject.RUN)
        yield Route.mlflow("delete-tag", "POST", "runs/delete-tag", runs.delete_tag, Subject.RUN)
        yield Route.mlflow("delete-run", "POST", "runs/delete", runs.delete, Subject.RUN)
        yield Route.mlflow("restore-run", "POST", "runs/restore", runs.restore, Subject.RUN)
        yield Route.mlflow("log-inputs", "POST", "runs/log-inputs", inputs.log_inputs, Subject.RUN)
        yield Route.mlflow("log-outputs", "POST", "runs/outputs", inputs.log_outputs, Subject.RUN)
        yield Route.mlflow(
            "set-experiment-tag",
            "POST",
            "experiments/set-experiment-tag",
            self._experiments.set_tag,
            Subject.EXPERIMENT,
        )

    async def close(self) -> None:
        """Finish what is under way."""
        await self._groups.close()
