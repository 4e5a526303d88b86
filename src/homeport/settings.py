"""Every knob once: its environment name, type, default and help, and where each value came from.

Reads flags, the environment, `.env` and `homeport.toml`, in that order of precedence. Refuses to know what the values
are used for: `stack.py` does.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from homeport.errors import ExitCode, HomeportError
from homeport.knobs import (
    Knob,
    choice,
    did_you_mean,
    flag,
    fraction,
    knob,
    number,
    path,
    port,
    s3_bucket,
    secret,
    text,
    uri,
)
from homeport.serving.follow import references
from homeport.serving.traffic import parse as parse_traffic

DEFAULT_HOME_NAME = "homeport"
NOTHING_SERVED = "none"

# Variables in our name space that are no settings: set by `homeport env`, by the supervisor, or by tests.
INTERNAL = frozenset(
    {"HOMEPORT_EXPORTED", "HOMEPORT_REASON_FILE", "HOMEPORT_NO_SKIP", "HOMEPORT_SERVING_URL", "HOMEPORT_SERVING_KEY"}
)


def default_home() -> Path:
    """The user data directory (XDG_DATA_HOME/homeport on Linux)."""
    from platformdirs import user_data_path

    return user_data_path(DEFAULT_HOME_NAME, appauthor=False)


def default_cache() -> Path:
    """The user cache directory (XDG_CACHE_HOME/homeport on Linux)."""
    from platformdirs import user_cache_path

    return user_cache_path(DEFAULT_HOME_NAME, appauthor=False)


def _served(raw: object) -> str:
    """References to registered models, or `none`."""
    value = text(raw)
    if value.lower() != NOTHING_SERVED:
        references.parse(value)
    return value


def _traffic(raw: object) -> str:
    """Traffic rules."""
    value = str(raw).strip()
    parse_traffic(value)
    return value


@dataclass(frozen=True)
class Settings:
    """The platform's settings. Attribute names are the keys of homeport.toml."""

    home: Path = knob(
        "HOMEPORT_HOME", path, default_home, "Where data, logs and secrets are kept.", shown="user data directory"
    )
    cache: Path = knob(
        "HOMEPORT_CACHE", path, default_cache, "Where downloaded data sets are kept.", shown="user cache directory"
    )
    tracking_port: int = knob(
        "HOMEPORT_TRACKING_PORT", port, 5000, "Port of the tracking server on 127.0.0.1; 0: any free port."
    )
    database_port: int = knob(
        "HOMEPORT_DATABASE_PORT", port, 0, "Port of the embedded PostgreSQL on 127.0.0.1; 0: any free port."
    )
    objectstore_port: int = knob(
        "HOMEPORT_OBJECTSTORE_PORT", port, 0, "Port of the embedded object store on 127.0.0.1; 0: any free port."
    )
    workers: int = knob("HOMEPORT_WORKERS", number(0, 64), 0, "Tracking server processes; 0: by cores and memory.")
    start_timeout: int = knob(
        "HOMEPORT_START_TIMEOUT", number(1, 3600), 120, "Seconds within which each service must be ready."
    )
    postgres_bin: str = knob(
        "HOMEPORT_POSTGRES_BIN",
        text,
        "",
        "Directory with the programs of a PostgreSQL 16 or newer; empty: the one from the wheel.",
    )
    postgres_user: str = knob("POSTGRES_USER", text, "mlflow", "Database user that owns MLflow's tables.")
    postgres_password: str = knob(
        "POSTGRES_PASSWORD", secret, "", "Password of that user; empty: generated and kept in secrets/."
    )
    postgres_db: str = knob("POSTGRES_DB", text, "mlflow", "Database that holds MLflow's tables.")
    backend_store_uri: str = knob(
        "MLFLOW_BACKEND_STORE_URI",
        uri("postgresql", "postgres", "mysql", "mariadb", "sqlite"),
        "",
        "A database elsewhere (PostgreSQL, MySQL/MariaDB, SQLite); set: no `database` service is started.",
        holds_secret=True,
    )
    artifacts_destination: str = knob(
        "MLFLOW_ARTIFACTS_DESTINATION",
        uri("s3", "gs", "wasbs", "abfss", "file", ""),
        "",
        "Where artifacts go (s3://, gs://, wasbs://, abfss://, a directory); set: no `objectstore` service is started.",
    )
    s3_endpoint_url: str = knob(
        "MLFLOW_S3_ENDPOINT_URL",
        uri("http", "https"),
        "",
        "An S3 API elsewhere; set: no `objectstore` service is started.",
    )
    s3_ignore_tls: bool = knob("MLFLOW_S3_IGNORE_TLS", flag, False, "Accept any TLS certificate of that S3 API.")
    bucket: str = knob(
        "HOMEPORT_BUCKET", s3_bucket, "mlflow", "Bucket for artifacts when MLFLOW_ARTIFACTS_DESTINATION is not set."
    )
    aws_access_key_id: str = knob(
        "AWS_ACCESS_KEY_ID",
        secret,
        "",
        "Access key of an S3 API elsewhere; the embedded store generates its own and ignores this.",
    )
    aws_secret_access_key: str = knob(
        "AWS_SECRET_ACCESS_KEY", secret, "", "Secret key that belongs to AWS_ACCESS_KEY_ID."
    )
    aws_region: str = knob("AWS_DEFAULT_REGION", text, "us-east-1", "Region named in S3 requests.")
    serve: str = knob(
        "HOMEPORT_SERVE",
        _served,
        "*@champion",
        "What is served: `name@alias`, `name/version`, `*@alias` (every model with the alias), separated by commas; "
        "`none`: no `serving` service.",
    )
    serve_traffic: str = knob(
        "HOMEPORT_SERVE_TRAFFIC",
        _traffic,
        "",
        "Canary and shadow rules: `wine-quality: champion 90, challenger 10; penguins: champion 100, shadow next`.",
    )
    serving_port: int = knob(
        "HOMEPORT_SERVING_PORT", port, 5002, "Port of the serving API on 127.0.0.1; 0: any free port."
    )
    serving_workers: int = knob(
        "HOMEPORT_SERVING_WORKERS", number(0, 64), 0, "Serving processes; 0: by cores and memory."
    )
    serving_poll: int = knob(
        "HOMEPORT_SERVING_POLL", number(1, 3600), 3, "Seconds between two looks at the registry, in each worker."
    )
    serving_timeout: int = knob(
        "HOMEPORT_SERVING_TIMEOUT", number(1, 86400), 60, "Seconds after which a prediction is given up (504)."
    )
    serving_concurrency: int = knob(
        "HOMEPORT_SERVING_CONCURRENCY",
        number(0, 256),
        0,
        "Predictions of one model at a time in one worker, for models too slow for the event loop; 0: by cores.",
    )
    serving_queue: int = knob(
        "HOMEPORT_SERVING_QUEUE",
        number(0, 100_000),
        64,
        "Requests of one model that may wait in one worker; more are refused (429).",
    )
    serving_max_body_mib: int = knob(
        "HOMEPORT_SERVING_MAX_BODY_MIB", number(1, 1_000_000), 100, "Largest request body in MiB (413)."
    )
    serving_cache_mib: int = knob(
        "HOMEPORT_SERVING_CACHE_MIB", number(1, 10**9), 10240, "Most MiB of downloaded models that are kept."
    )
    serving_strict: bool = knob(
        "HOMEPORT_SERVING_STRICT",
        flag,
        False,
        "Refuse input that would lose information in a cast, in every request; else only with `?strict=true`.",
    )
    serving_access_log: str = knob(
        "HOMEPORT_SERVING_ACCESS_LOG",
        choice("off", "errors", "all"),
        "errors",
        "Which answers get a line (JSON) in the serving log.",
    )
    serving_envs: str = knob(
        "HOMEPORT_SERVING_ENVS",
        text,
        "",
        "Directory with Python environments for models that run in a process of their own: `NAME/bin/python`.",
    )
    webhook_secret: str = knob(
        "HOMEPORT_WEBHOOK_SECRET",
        secret,
        "",
        "What MLflow's webhook signs with; empty: generated and kept in secrets/.",
    )
    prediction_log: float = knob(
        "HOMEPORT_PREDICTION_LOG", fraction, 0.0, "Fraction of the predictions that are kept for training; 0: none."
    )
    prediction_database_uri: str = knob(
        "HOMEPORT_PREDICTION_DATABASE_URI",
        uri("postgresql", "postgres"),
        "",
        "A PostgreSQL elsewhere for the kept predictions; empty: a database `homeport` in the embedded one.",
        holds_secret=True,
    )
    prediction_keep_days: int = knob(
        "HOMEPORT_PREDICTION_KEEP_DAYS", number(1, 36500), 90, "Days after which kept predictions are deleted."
    )
    jobs: bool = knob(
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", flag, False, "MLflow's background job runner (on in stock MLflow)."
    )
    ai_gateway: bool = knob("MLFLOW_ENABLE_AI_GATEWAY", flag, False, "MLflow's AI gateway (on in stock MLflow).")
    telemetry: bool = knob(
        "HOMEPORT_ENABLE_TELEMETRY", flag, False, "Let MLflow report usage to its makers (on in stock MLflow)."
    )
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    extra: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # MLFLOW_* of the user that are no settings of ours
    warnings: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @cached_property
    def embedded_database(self) -> bool:
        """Whether the platform runs a PostgreSQL of its own."""
        return not self.backend_store_uri

    @cached_property
    def embedded_objectstore(self) -> bool:
        """Whether the platform runs an object store of its own."""
        return not self.s3_endpoint_url and not self.artifacts_destination

    @cached_property
    def serves(self) -> bool:
        """Whether there is a serving API at all."""
        return self.serve.lower() != NOTHING_SERVED

    @cached_property
    def keeps_predictions(self) -> bool:
        """Whether predictions are kept, and so need a database of their own."""
        return self.serves and self.prediction_log > 0

    @property
    def patience(self) -> int:
        """Seconds a job waits for what it needs elsewhere: long enough to start, short enough to say why in time."""
        return max(1, min(60, self.start_timeout // 2))

    @cached_property
    def destination(self) -> str:
        """Where artifacts go, as a URI."""
        return self.artifacts_destination or f"s3://{self.bucket}"

    def source(self, name: str) -> str:
        """Where the value of a setting came from: flag, environment, .env, homeport.toml or default."""
        return self.sources.get(name, "default")


def knobs() -> tuple[Knob, ...]:
    """Every setting, in the order of the reference page."""
    return tuple(item.metadata["knob"].named(item.name) for item in fields(Settings) if "knob" in item.metadata)


def load(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> Settings:
    """Read the settings: flag, then environment, then `.env`, then `homeport.toml`, then default.

    Args:
        flags: setting name -> value as the user gave it on the command line; None values are left out.
        environ: the environment, os.environ when not given.
        directory: where `.env` and `homeport.toml` are looked for, the working directory when not given.

    Raises:
        HomeportError: SETTING_INVALID or CONFIG_UNREADABLE (exit 2), naming the setting, the value and its source.
    """
    directory = directory or Path.cwd()
    ambient = _without_exported(dict(os.environ if environ is None else environ))
    dotenv = _dotenv(directory / ".env")
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("flag", {item.env: flags[item.name] for item in knobs() if flags and flags.get(item.name) is not None}),
        ("environment", ambient),
        (".env", dotenv),
    ]
    toml = _toml(directory / "homeport.toml")
    home = next((str(layer["HOMEPORT_HOME"]) for _, layer in [*layers, ("", toml)] if layer.get("HOMEPORT_HOME")), None)
    home_toml = _toml((Path(home).expanduser() if home else default_home()) / "homeport.toml")
    layers += [("homeport.toml", toml), ("homeport.toml of the home", home_toml)]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for item in knobs():
        found = _first(item, layers)
        if found is not None:
            raw, source = found
            values[item.name], sources[item.name] = item.read(raw, source), source
    return Settings(
        **values,
        sources=sources,
        extra=_mlflow_extra({**dotenv, **ambient}),
        warnings=_unknown(ambient, "environment") + _unknown(dotenv, ".env"),
    )


def dumps(settings: Settings) -> dict[str, Any]:
    """The settings as data for another process of ours; holds the secrets in clear."""
    values = {item.name: item.written(getattr(settings, item.name)) for item in knobs()}
    return {"values": values, "sources": dict(settings.sources), "extra": dict(settings.extra)}


def loads(data: Mapping[str, Any]) -> Settings:
    """What `dumps` made, unchanged: nothing is read from the environment or from files."""
    given = {item.name: item.read(raw, "") for item in knobs() if (raw := data["values"][item.name]) != ""}
    return Settings(**given, sources=data["sources"], extra=data["extra"])


def _first(item: Knob, layers: list[tuple[str, Mapping[str, Any]]]) -> tuple[Any, str] | None:
    for source, layer in layers:
        file_name = layer.get(f"{item.env}_FILE") if item.is_secret else None
        # An empty variable counts as not set: `.env` files list names without values.
        if layer.get(item.env) not in {None, ""}:
            if file_name:
                raise item.refused("", source, f"both {item.env} and {item.env}_FILE are set", "keep one of the two")
            return layer[item.env], source
        if file_name:
            return item.from_file(Path(str(file_name)).expanduser(), source), source
    return None


def _without_exported(environ: dict[str, str]) -> dict[str, str]:
    """The environment less what `homeport env` exported: clients' variables are not this platform's configuration."""
    exported = {name for name in environ.get("HOMEPORT_EXPORTED", "").split(",") if name}
    return {name: value for name, value in environ.items() if name not in exported}


def _dotenv(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return {name: value for name, value in dotenv_values(file).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, error, "make it readable, one NAME=value a line, in UTF-8") from error


def _toml(file: Path) -> dict[str, Any]:
    """The file's keys as environment names, so that every layer speaks one language."""
    try:
        if not file.is_file():
            return {}
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _unreadable(file, error, "mend the line named above, or remove the file") from error
    names = {item.name: item.env for item in knobs()}
    for key in content:
        if key not in names:
            raise HomeportError(
                code="SETTING_UNKNOWN",
                what=f'homeport.toml has a key that is no setting: "{key}"',
                evidence=(("file", str(file)),),
                why="a setting that is silently ignored is worse than an error",
                fix=did_you_mean(key, names) or "homeport config show lists all settings",
                exit_code=ExitCode.USAGE,
            )
    return {names[key]: value for key, value in content.items()}


def _unreadable(file: Path, error: Exception, fix: str) -> HomeportError:
    return HomeportError(
        code="CONFIG_UNREADABLE",
        what=f"{file.name} cannot be read",
        evidence=(("file", str(file)), ("error", str(error))),
        fix=fix,
        exit_code=ExitCode.USAGE,
    )


def _unknown(layer: Mapping[str, str], source: str) -> tuple[str, ...]:
    known = {item.env for item in knobs()} | {f"{item.env}_FILE" for item in knobs() if item.is_secret} | INTERNAL
    return tuple(
        f"{name} ({source}) is no setting of Homeport and is ignored. {did_you_mean(name, known)}".rstrip()
        for name in sorted(layer)
        if name.startswith("HOMEPORT_") and name not in known and not name.startswith("HOMEPORT_TEST_")
    )


# What a client sets for itself; a server that saw them would talk to itself or to somebody else's server.
_CLIENT_ONLY = ("MLFLOW_TRACKING_", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_", "MLFLOW_EXPERIMENT_", "MLFLOW_ACTIVE_")


def _mlflow_extra(layer: Mapping[str, str]) -> dict[str, str]:
    known = {item.env for item in knobs()}
    return {
        name: value
        for name, value in sorted(layer.items())
        if name.startswith("MLFLOW_") and name not in known and not name.startswith(_CLIENT_ONLY)
    }
