"""What we take from inside MLflow, held to the installed version: an upgrade that moves it fails here, not later."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

from homeport.tracking.server import ServerConfig, _upstream_environ

CONFIG = ServerConfig("127.0.0.1", 5000, 2, 24, "postgresql://u@h/d", "s3://mlflow")


def test_workers_are_configured_by_the_names_that_mlflow_server_uses() -> None:
    from mlflow.environment_variables import _MLFLOW_IN_JOB_EXECUTOR, _MLFLOW_SERVER_BOOT_ID, _MLFLOW_SGI_NAME
    from mlflow.server import constants

    names = {
        constants.BACKEND_STORE_URI_ENV_VAR, constants.REGISTRY_STORE_URI_ENV_VAR, constants.SERVE_ARTIFACTS_ENV_VAR,
        constants.ARTIFACTS_DESTINATION_ENV_VAR, constants.ARTIFACT_ROOT_ENV_VAR,
        _MLFLOW_SERVER_BOOT_ID.name, _MLFLOW_IN_JOB_EXECUTOR.name, _MLFLOW_SGI_NAME.name,
    }  # fmt: skip
    assert set(_upstream_environ(CONFIG)) == names


def test_the_parts_of_mlflow_that_the_server_calls_take_what_it_passes() -> None:
    from mlflow.server import handlers
    from mlflow.server.jobs import utils

    stores = list(inspect.signature(handlers.initialize_backend_stores).parameters)
    assert stores[:3] == ["backend_store_uri", "registry_store_uri", "default_artifact_root"]
    assert list(inspect.signature(utils._launch_job_execution_runner).parameters) == ["env_map", "server_proc_pid"]
    assert list(inspect.signature(utils._check_requirements).parameters)[:1] == ["backend_store_uri"]


def test_importing_mlflows_application_starts_no_thread_so_that_it_may_be_forked() -> None:
    source = "import mlflow.server.fastapi_app, threading\nprint(len(threading.enumerate()))"
    environ = {**os.environ, **_upstream_environ(CONFIG), "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source], capture_output=True, text=True, check=True, env=environ
    )
    assert done.stdout.split()[-1] == "1"
