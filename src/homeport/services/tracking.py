"""`tracking` and its job `tracking-migrate`: the MLflow server clients and browsers talk to. Only says what runs."""

from __future__ import annotations

from homeport.model.service import (
    COMPLETED,
    HEALTHY,
    Condition,
    Container,
    HttpProbe,
    Job,
    Port,
    Probe,
    Service,
    Target,
)
from homeport.model.values import Bind, Part, Secret, SecretKind, Setting, Template, Value
from homeport.services import accounts, database, objectstore
from homeport.services.sizing import Sizing
from homeport.settings import Settings

NAME = "tracking"
MIGRATE = "tracking-migrate"
FLASK_KEY = Secret("flask-secret-key")
WEBHOOK_KEY = Secret("webhook-encryption-key", SecretKind.FERNET)


def tracking_migrate(settings: Settings, target: Target) -> Job:
    """The job that creates or upgrades MLflow's schema and its users', once, before any server."""
    needs: dict[str, Condition] = {database.NAME: HEALTHY} if settings.embedded_database else {}
    passwords: dict[str, Value] = {}
    if accounts.required(settings, target):
        passwords["HOMEPORT_SERVING_PASSWORD"] = accounts.SERVING_PASSWORD
        passwords["HOMEPORT_TRAINING_PASSWORD"] = accounts.TRAINING_PASSWORD
    return Job(
        name=MIGRATE,
        title="database schema",
        command=("python", "-m", "homeport.tracking.migrate"),
        owner=NAME,
        env={
            "MLFLOW_BACKEND_STORE_URI": database.backend_store_uri(settings),
            "HOMEPORT_DATABASE_EMBEDDED": _bool(settings.embedded_database),
            "HOMEPORT_DATABASE_TIMEOUT": str(settings.patience),
            "HOMEPORT_AUTH": accounts.mode(settings, target),
            **accounts.administrator(settings, target),
            **passwords,
            **quiet(settings),
        },
        needs=needs,
        timeout=1800.0,  # an upgrade of a large database rewrites tables
        container=Container(networks=("data",), memory="1g"),
    )


def tracking(settings: Settings, sizing: Sizing, target: Target) -> Service:
    """The front with the fast lane, and stock MLflow behind it; ready only when all they need is."""
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
            "HOMEPORT_WORKERS": Setting("HOMEPORT_WORKERS", str(sizing.workers), str(sizing.workers)),
            "HOMEPORT_THREADS": str(sizing.threads),
            "HOMEPORT_FASTLANE": settings.value("fastlane"),
            "HOMEPORT_SLOW_SECONDS": settings.value("slow_seconds"),
            "MLFLOW_BACKEND_STORE_URI": database.backend_store_uri(settings),
            "MLFLOW_ARTIFACTS_DESTINATION": objectstore.destination(settings),
            "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(sizing.pool_size),
            "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": str(sizing.max_overflow),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": settings.value("jobs"),
            "MLFLOW_ENABLE_AI_GATEWAY": settings.value("ai_gateway"),
            "HOMEPORT_AUTH": accounts.mode(settings, target),
            **accounts.hosts(settings, target),
            **shared(settings),
            **_private_store(settings, target),
            "HOMEPORT_S3_PUBLIC_ENDPOINT": settings.value("s3_public_endpoint"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": FLASK_KEY,
            # Unset, every worker would encrypt webhook secrets with a random key of its own.
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": WEBHOOK_KEY,
        },
        needs=needs,
        probe=Probe(HttpProbe("/ready"), start_timeout=float(settings.start_timeout)),
        ports=(Port("main", 5000, settings.tracking_port or None, "HOMEPORT_TRACKING_PORT"),),
        stop_timeout=15.0,
        inherit=objectstore.inherit(settings),
        container=Container(
            user=owner(settings),
            networks=("backend", "data"),
            memory="2g",
            pids=512,
            route="mlflow",
            build=True,
            binds=binds(settings),
        ),
    )


def shared(settings: Settings) -> dict[str, Value]:
    """Artifacts that clients write themselves: their root is the directory that all of them see."""
    return {"HOMEPORT_SHARED_ARTIFACTS": settings.value("shared_artifacts")} if settings.shared_artifacts else {}


def binds(settings: Settings) -> tuple[Value, ...]:
    """Directories of the host that a container sees at the same path."""
    return (settings.value("shared_artifacts"),) if settings.shared_artifacts else ()


def through_server(target: Target) -> dict[str, Value]:
    """Clients in containers take artifacts through the server: presigned URLs name a store they cannot reach."""
    if target is not Target.CONTAINERS:
        return {}
    return {"MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false", "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false"}


def _private_store(settings: Settings, target: Target) -> dict[str, Value]:
    """Nobody outside reaches the containers' own store, so nobody is offered an address of it."""
    return {"HOMEPORT_PRESIGNED_URLS": "false"} if target is Target.CONTAINERS and settings.embedded_objectstore else {}


def owner(settings: Settings) -> Value:
    """Who must write into such a directory: its owner on the host; "": the image's own user."""
    if not settings.shared_artifacts:
        return ""
    return Template("{uid}:{gid}", uid=Setting("HOMEPORT_UID", ""), gid=Setting("HOMEPORT_GID", ""))


def quiet(settings: Settings) -> dict[str, Value]:
    """What keeps MLflow from reporting usage."""
    if settings.telemetry:
        return {}
    return {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def _bool(value: bool) -> str:
    return "true" if value else "false"
