"""`tracking` and its job `tracking-migrate`: the MLflow server clients and browsers talk to. Only says what runs."""

from __future__ import annotations

from homeport.model.service import COMPLETED, HEALTHY, Condition, HttpProbe, Job, Port, Probe, Service
from homeport.model.values import Bind, Part, Secret, SecretKind, Value
from homeport.services import database, objectstore
from homeport.services.sizing import Sizing
from homeport.settings import Settings

NAME = "tracking"
MIGRATE = "tracking-migrate"
FLASK_KEY = Secret("flask-secret-key")
WEBHOOK_KEY = Secret("webhook-encryption-key", SecretKind.FERNET)


def tracking_migrate(settings: Settings) -> Job:
    """The job that creates or upgrades MLflow's schema, once, before any server."""
    needs: dict[str, Condition] = {database.NAME: HEALTHY} if settings.embedded_database else {}
    return Job(
        name=MIGRATE,
        title="database schema",
        command=("python", "-m", "homeport.tracking.migrate"),
        owner=NAME,
        env={
            "MLFLOW_BACKEND_STORE_URI": database.backend_store_uri(settings),
            "HOMEPORT_DATABASE_EMBEDDED": _bool(settings.embedded_database),
            "HOMEPORT_DATABASE_TIMEOUT": str(settings.patience),
            **quiet(settings),
        },
        needs=needs,
        timeout=1800.0,  # an upgrade of a large database rewrites tables
    )


def tracking(settings: Settings, sizing: Sizing) -> Service:
    """Stock MLflow's own application, artifacts proxied to the bucket, ready only when all it needs is."""
    needs: dict[str, Condition] = {MIGRATE: COMPLETED}
    if settings.embedded_objectstore:
        needs[objectstore.NAME] = HEALTHY
    if objectstore.is_s3(settings):
        needs[objectstore.INIT] = COMPLETED
    return Service(
        name=NAME,
        title="MLflow tracking server",
        command=("python", "-m", "homeport.tracking"),
        env={
            **settings.extra,
            **objectstore.client_env(settings),
            **quiet(settings),
            "HOMEPORT_LISTEN_HOST": Bind(part=Part.HOST),
            "HOMEPORT_LISTEN_PORT": Bind(part=Part.PORT),
            "HOMEPORT_DATABASE_EMBEDDED": _bool(settings.embedded_database),
            "HOMEPORT_WORKERS": str(sizing.workers),
            "HOMEPORT_THREADS": str(sizing.threads),
            "MLFLOW_BACKEND_STORE_URI": database.backend_store_uri(settings),
            "MLFLOW_ARTIFACTS_DESTINATION": settings.destination,
            "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(sizing.pool_size),
            "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": str(sizing.max_overflow),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": _bool(settings.jobs),
            "MLFLOW_ENABLE_AI_GATEWAY": _bool(settings.ai_gateway),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": FLASK_KEY,
            # Unset, every worker would encrypt webhook secrets with a random key of its own.
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": WEBHOOK_KEY,
        },
        needs=needs,
        probe=Probe(HttpProbe("/ready"), start_timeout=float(settings.start_timeout)),
        ports=(Port("main", 5000, settings.tracking_port or None, "HOMEPORT_TRACKING_PORT"),),
        stop_timeout=15.0,
        inherit=objectstore.inherit(settings),
    )


def quiet(settings: Settings) -> dict[str, Value]:
    """What keeps MLflow from reporting usage."""
    if settings.telemetry:
        return {}
    return {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def _bool(value: bool) -> str:
    return "true" if value else "false"
