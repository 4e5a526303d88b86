"""The hot calls that write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homeport import exposure
from homeport.tracking.fast.database import Database
from homeport.tracking.fast.writes.experiments import Experiments
from homeport.tracking.fast.writes.group import Groups
from homeport.tracking.fast.writes.inputs import Inputs
from homeport.tracking.fast.writes.logging import Logging
from homeport.tracking.fast.writes.models import Models
from homeport.tracking.fast.writes.runs import Runs
from homeport.tracking.fast.writes.traces import ROLLUPS, Traces
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
        self._models = Models(self._groups)
        self._traces = Traces(self._groups)
        self._experiments = Experiments(self._groups, environ)

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
        models, of_model = self._models, Subject.LOGGED_MODEL
        yield Route.mlflow("create-logged-model", "POST", "logged-models", models.create, Subject.EXPERIMENT)
        yield Route.mlflow("finalize-logged-model", "PATCH", "logged-models/{}", models.finalize, of_model)
        params = "logged-models/{}/params"
        yield Route.mlflow("log-logged-model-params", "POST", params, models.log_params, of_model)
        yield Route.mlflow("set-logged-model-tags", "PATCH", "logged-models/{}/tags", models.set_tags, of_model)
        if exposure.authentication(self._environ) is not exposure.Authentication.BASIC:
            create = self._experiments.create  # with logins MLflow gives the creator rights on it
            yield Route.mlflow("create-experiment", "POST", "experiments/create", create, Subject.ADMIN)

        if not self._environ.get(ROLLUPS, "").strip():  # with them, writing a trace means more
            traces = self._traces
            yield Route("export-spans", "POST", ("/v1/traces",), traces.export, Subject.ADMIN)
            yield Route.mlflow("start-trace", "POST", "traces", traces.start, Subject.ADMIN, version="3.0")

    async def close(self) -> None:
        """Finish what is under way."""
        await self._groups.close()
