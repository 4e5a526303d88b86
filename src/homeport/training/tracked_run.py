"""One MLflow run that always ends: FINISHED, FAILED on an error, KILLED on Ctrl-C or SIGTERM.

What happens inside the run it refuses to know.
"""

from __future__ import annotations

import contextlib
import os
import signal
from types import TracebackType

import mlflow
from mlflow.exceptions import MlflowException

from homeport.training.signals import Terminated


class TrackedRun:
    """A context manager around one run; MLflow's own marks an interrupted run as failed."""

    def __init__(self, experiment_id: str) -> None:
        """Remember the experiment; the run starts on entering."""
        self._experiment_id = experiment_id
        self.run_id = ""
        self.name = ""

    def __enter__(self) -> TrackedRun:
        """Start the run on the tracking server."""
        info = mlflow.start_run(experiment_id=self._experiment_id).info
        self.run_id, self.name = info.run_id, info.run_name or info.run_id
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run with the status that says how it went; never hide the error that ended it."""
        if error is None:
            mlflow.end_run("FINISHED")
            return
        # A second Ctrl-C must not leave the run marked as running for ever.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # If the server is gone, the error at hand says so: there is nothing to gain from waiting for it again.
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
        with contextlib.suppress(MlflowException):
            mlflow.end_run("KILLED" if isinstance(error, KeyboardInterrupt | Terminated) else "FAILED")
