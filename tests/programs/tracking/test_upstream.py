"""What we take from inside MLflow, held to the installed version: an upgrade that moves it fails here, not later."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from homeport.tracking import accounts, gate, server
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


def test_what_is_taken_from_inside_basic_auth_is_there() -> None:
    from mlflow.environment_variables import _MLFLOW_AUTH_ADMIN_BOOTSTRAPPED, _MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN
    from mlflow.gateway.constants import MLFLOW_GATEWAY_AUTH_HEADER
    from mlflow.server import auth

    assert _MLFLOW_AUTH_ADMIN_BOOTSTRAPPED.name == "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED"
    assert _MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN.name == server._JOBS_TOKEN
    assert MLFLOW_GATEWAY_AUTH_HEADER.lower().encode() == gate._GATEWAY_HEADER
    assert list(inspect.signature(auth._authenticate_cached).parameters) == ["username", "password"]
    assert list(inspect.signature(auth._auth_cache_key).parameters) == ["username", "password"]
    assert hasattr(auth, "_USER_AUTH_CACHE")
    assert auth._USER_AUTH_CACHE_LOCK.acquire(blocking=False)
    auth._USER_AUTH_CACHE_LOCK.release()
    assert auth.auth_config.authorization_function == auth.DEFAULT_AUTHORIZATION_FUNCTION


def test_the_accounts_fit_upstreams_tables_and_rules() -> None:
    from mlflow.server.auth import permissions
    from mlflow.server.auth.db import models
    from mlflow.utils.validation import _validate_password
    from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

    columns = {table.name: set(table.columns.keys()) for table in models.Base.metadata.tables.values()}
    assert columns["users"] == {"id", "username", "password_hash", "is_admin"}
    assert columns["roles"] == {"id", "name", "workspace", "description"}
    assert columns["role_permissions"] == {"id", "role_id", "resource_type", "resource_pattern", "permission"}
    assert columns["user_role_assignments"] == {"id", "user_id", "role_id"}
    assert accounts._WORKSPACE == DEFAULT_WORKSPACE_NAME
    for grants in accounts._GRANTS.values():
        for kind, permission in grants.items():
            permissions._validate_permission_for_resource_type(permission, kind)
            permissions._validate_resource_pattern("*", kind)
    _validate_password("x" * accounts._SHORTEST)
    with pytest.raises(Exception, match="at least"):
        _validate_password("x" * (accounts._SHORTEST - 1))


def test_basic_auth_too_may_be_forked_once_it_is_made(tmp_path: Path) -> None:
    """No thread, no connection, no file, and no password of the administrator stays behind."""
    source = """
import os, threading
from homeport.tracking import upstream
os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"] = "the administrator's"
upstream.with_basic_auth(URI)
from mlflow.server import auth
print(len(threading.enumerate()), auth.store.engine.pool.checkedout(), "MLFLOW_AUTH_ADMIN_PASSWORD" in os.environ,
      auth.auth_config.admin_password, "MLFLOW_AUTH_CONFIG_PATH" in os.environ, auth.auth_config.database_uri == URI,
      auth.auth_config.auth_cache_ttl_seconds, auth.auth_config.default_permission)
"""
    uri = f"sqlite:///{tmp_path}/100%25.db"
    config = {**_upstream_environ(CONFIG), "MLFLOW_FLASK_SERVER_SECRET_KEY": "k", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source.replace("URI", repr(uri))],
        capture_output=True, text=True, check=False, env={**os.environ, **config, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.split() == ["1", "0", "False", "None", "False", "True", "60", "READ"], done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["100%.db"]
