"""`serving` and its job `serving-migrate`: the model-serving API, and the database it keeps predictions in.

Only says what runs. The server gets no key of the bucket and none of MLflow's database: models come through `tracking`.
"""

from __future__ import annotations

from homeport.errors import ExitCode, HomeportError
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
    Volume,
)
from homeport.model.values import Bind, Part, Path, Ref, Secret, Setting, Template, Value
from homeport.services import accounts, database, tracking
from homeport.services.sizing import Sizing
from homeport.settings import Settings

NAME = "serving"
MIGRATE = "serving-migrate"
ROLE, DATABASE = "homeport_serving", "homeport"
PASSWORD = Secret("prediction-password")


def webhook_secret(settings: Settings) -> Secret:
    """What MLflow's webhook signs with: the one that was set, or one made and kept."""
    return Secret("webhook-secret", given=settings.webhook_secret or None)


def serving_migrate(settings: Settings) -> Job:
    """The job that makes the database of kept predictions, its role and its tables."""
    needs: dict[str, Condition] = {}
    env: dict[str, Value] = {"HOMEPORT_DATABASE_TIMEOUT": str(settings.patience)}
    if settings.prediction_database_uri or not settings.embedded_database:
        env["HOMEPORT_PREDICTION_DATABASE_URI"] = _prediction_uri(settings)
    else:
        needs[database.NAME] = HEALTHY
        env["HOMEPORT_ADMIN_DATABASE_URI"] = database.backend_store_uri(settings)
        env["HOMEPORT_PREDICTION_PASSWORD"] = PASSWORD
    return Job(
        name=MIGRATE,
        title="prediction database",
        command=("python", "-m", "homeport.serving.feedback.migrate"),
        owner=NAME,
        env=env,
        needs=needs,
        timeout=600.0,
        container=Container(networks=("data",), memory="256m", pids=64),
    )


def serving(settings: Settings, sizing: Sizing, target: Target) -> Service:
    """The API that serves registered models and follows their aliases."""
    needs: dict[str, Condition] = {tracking.NAME: HEALTHY}
    # Another user's cache is not this one's to write; a container's user changes with where artifacts are.
    other_user = target is Target.CONTAINERS and bool(settings.shared_artifacts)
    cache = Volume("serving-owner" if other_user else "serving", "/var/cache/homeport")
    env: dict[str, Value] = {
        "HOMEPORT_LISTEN_HOST": Bind(part=Part.HOST),
        "HOMEPORT_LISTEN_PORT": Bind(part=Part.PORT),
        "HOMEPORT_WORKERS": Setting("HOMEPORT_SERVING_WORKERS", str(sizing.serving), str(sizing.serving)),
        "HOMEPORT_SERVE": settings.value("serve"),
        "HOMEPORT_SERVE_TRAFFIC": settings.value("serve_traffic"),
        "HOMEPORT_SERVING_CACHE": Path(cache.name),
        "HOMEPORT_SERVING_CACHE_MIB": settings.value("serving_cache_mib"),
        "HOMEPORT_SERVING_POLL": settings.value("serving_poll"),
        "HOMEPORT_SERVING_TIMEOUT": settings.value("serving_timeout"),
        "HOMEPORT_SERVING_CONCURRENCY": settings.value("serving_concurrency"),
        "HOMEPORT_SERVING_QUEUE": settings.value("serving_queue"),
        "HOMEPORT_SERVING_MAX_BODY_MIB": settings.value("serving_max_body_mib"),
        "HOMEPORT_SERVING_STRICT": settings.value("serving_strict"),
        "HOMEPORT_SERVING_ACCESS_LOG": settings.value("serving_access_log"),
        "HOMEPORT_SERVING_ENVS": settings.value("serving_envs"),
        "HOMEPORT_WEBHOOK_SECRET": webhook_secret(settings),
        "HOMEPORT_AUTH": accounts.mode(settings, target),
        **_login(settings, target),
        **tracking.shared(settings),
        "MLFLOW_TRACKING_URI": Template("http://{address}", address=Ref(tracking.NAME)),
        # A registry that is away must be noticed soon: the follower has a back-off of its own.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # One thread a prediction: requests are the parallelism, and threads of several libraries fight each other.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **tracking.through_server(target),
        **tracking.quiet(settings),
    }
    if settings.keeps_predictions:
        needs[MIGRATE] = COMPLETED
        env["HOMEPORT_PREDICTION_LOG"] = settings.value("prediction_log")
        env["HOMEPORT_PREDICTION_DATABASE_URI"] = _prediction_uri(settings)
        env["HOMEPORT_PREDICTION_KEEP_DAYS"] = settings.value("prediction_keep_days")
    return Service(
        name=NAME,
        title="model-serving API",
        command=("python", "-m", "homeport.serving"),
        env=env,
        needs=needs,
        probe=Probe(HttpProbe("/ready"), start_timeout=float(settings.start_timeout)),
        ports=(Port("main", 5002, settings.serving_port or None, "HOMEPORT_SERVING_PORT"),),
        volumes=(cache,),
        stop_timeout=30.0,
        inherit=("OTEL_",),
        container=Container(
            # The database only where predictions are kept there; the bucket never.
            networks=("backend", "data") if settings.keeps_predictions else ("backend",),
            memory="2g",
            pids=512,
            route="models",
            user=tracking.owner(settings),
            binds=tracking.binds(settings),
        ),
    )


def _login(settings: Settings, target: Target) -> dict[str, Value]:
    if not accounts.required(settings, target):
        return {}
    login = accounts.client_env(settings, target, accounts.SERVING, accounts.SERVING_PASSWORD)
    return {"HOMEPORT_SERVING_KEY": accounts.serving_key(settings), **login}


def _prediction_uri(settings: Settings) -> Value:
    if settings.prediction_database_uri:
        return Secret("prediction-database-uri", given=settings.prediction_database_uri)
    if not settings.embedded_database:
        raise HomeportError(
            code="SETTING_MISSING",
            what="there is no database to keep predictions in",
            evidence=(("HOMEPORT_PREDICTION_LOG", str(settings.prediction_log)),),
            why="MLflow's database is elsewhere (MLFLOW_BACKEND_STORE_URI), and predictions do not belong into it",
            fix="set HOMEPORT_PREDICTION_DATABASE_URI=postgresql://… to a database of its own",
            exit_code=ExitCode.USAGE,
        )
    return Template(
        "postgresql://{role}:{password}@{address}/{db}",
        quote=True,
        role=ROLE,
        password=PASSWORD,
        address=Ref(database.NAME),
        db=DATABASE,
    )
