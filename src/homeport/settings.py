"""Every knob once: its environment name, type, default and help, and where each value came from.

Reads flags, the environment, `.env` and `homeport.toml`, in that order of precedence. Refuses to know what the values
are used for: `stack.py` does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from homeport import layers
from homeport.knobs import (
    Knob,
    choice,
    domain,
    flag,
    fraction,
    knob,
    number,
    optional_path,
    path,
    port,
    real,
    s3_bucket,
    secret,
    text,
    uri,
)
from homeport.model.values import Setting
from homeport.serving.follow import references
from homeport.serving.traffic import parse as parse_traffic

DEFAULT_HOME_NAME = "homeport"
NOTHING_SERVED = "none"


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
    target: str = knob(
        "HOMEPORT_TARGET",
        choice("embedded", "compose"),
        "embedded",
        "Where the platform runs: `embedded` (plain processes on this machine) or `compose` (containers).",
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
    workers: int = knob(
        "HOMEPORT_WORKERS",
        number(0, 64),
        0,
        "MLflow processes behind the tracking server's front; 0: one with the fast lane, else by cores and memory.",
    )
    fastlane: str = knob(
        "HOMEPORT_FASTLANE",
        choice("auto", "off"),
        "auto",
        "`auto`: hot calls are answered on PostgreSQL directly where that is known to be exact; `off`: all by MLflow.",
    )
    slow_seconds: float = knob(
        "HOMEPORT_SLOW_SECONDS",
        real(0, 3600),
        1.0,
        "Requests to the tracking server that take longer are written to its log; 0: none.",
    )
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
    s3_public_endpoint: str = knob(
        "HOMEPORT_S3_PUBLIC_ENDPOINT",
        uri("http", "https"),
        "",
        "The S3 API as clients reach it; set: large artifacts go there directly, by presigned URLs.",
    )
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
    shared_artifacts: Path | None = knob(
        "HOMEPORT_SHARED_ARTIFACTS",
        optional_path,
        None,
        "A directory that every client and the server see at this same path; set: artifacts are not sent through the "
        "server, and no `objectstore` service is started.",
    )
    database_engine: str = knob(
        "HOMEPORT_DATABASE",
        choice("postgresql", "mariadb"),
        "postgresql",
        "Which database the container targets run; plain processes run PostgreSQL.",
    )
    mysql_root_password: str = knob(
        "MYSQL_ROOT_PASSWORD", secret, "", "Password of MariaDB's root; empty: generated and kept in secrets/."
    )
    auth: str = knob(
        "HOMEPORT_AUTH",
        choice("auto", "basic", "off"),
        "auto",
        "Whether clients must log in: `basic` (MLflow's own users), `off`, or `auto`: off on loopback, basic in "
        "containers.",
    )
    admin_username: str = knob(
        "MLFLOW_AUTH_ADMIN_USERNAME", text, "admin", "MLflow's administrator, where clients must log in."
    )
    admin_password: str = knob(
        "MLFLOW_AUTH_ADMIN_PASSWORD", secret, "", "Password of that account; empty: generated and kept in secrets/."
    )
    serving_key: str = knob(
        "HOMEPORT_SERVING_KEY",
        secret,
        "",
        "Key that the serving API asks for where clients must log in; empty: generated and kept in secrets/.",
    )
    domain: str = knob(
        "DOMAIN", domain, "localhost", "Domain of the gateway: the UI is mlflow.DOMAIN, predictions models.DOMAIN."
    )
    tls: str = knob(
        "HOMEPORT_TLS",
        choice("auto", "internal", "letsencrypt"),
        "auto",
        "Who signs the gateway's certificate: `internal` (a CA of its own), `letsencrypt`, or `auto`: Let's Encrypt "
        "where DOMAIN is public.",
    )
    acme_email: str = knob("HOMEPORT_ACME_EMAIL", text, "", "Whom Let's Encrypt writes to before a certificate ends.")
    gateway: str = knob(
        "HOMEPORT_GATEWAY",
        choice("own", "external"),
        "own",
        "`external`: a Traefik of the site finds the services by their labels, and none is started.",
    )
    gateway_network: str = knob(
        "HOMEPORT_GATEWAY_NETWORK", text, "traefik", "The Docker network of a site's own Traefik."
    )
    listen: str = knob("HOMEPORT_LISTEN", text, "127.0.0.1", "Address on the host that the gateway listens on.")
    http_port: int = knob("HOMEPORT_HTTP_PORT", port, 80, "Port on the host for HTTP, which leads to HTTPS.")
    https_port: int = knob("HOMEPORT_HTTPS_PORT", port, 443, "Port on the host for HTTPS.")
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
    def fast_lane(self) -> bool:
        """Whether hot calls are to be answered without MLflow; the server still looks whether they may be."""
        return self.fastlane == "auto" and (self.embedded_database or self.backend_store_uri.startswith("postgres"))

    @cached_property
    def embedded_objectstore(self) -> bool:
        """Whether the platform runs an object store of its own."""
        return not self.s3_endpoint_url and not self.artifacts_destination and not self.shared_artifacts

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
        """Where artifacts go, as a URI or an absolute path."""
        if self.shared_artifacts:
            return str(self.shared_artifacts)
        return self.artifacts_destination or f"s3://{self.bucket}"

    @property
    def basic_auth(self) -> bool:
        """Whether clients of plain processes must log in."""
        return self.auth == "basic"

    def value(self, name: str, default: str | None = None) -> Setting:
        """A setting as a value of the graph.

        Args:
            name: attribute of this class.
            default: what a target uses where its user sets nothing; the setting's own default when not given.
        """
        item = next(item for item in knobs() if item.name == name)
        fallback = item.written(item.default()) if callable(item.default) else item.written(item.default)
        return Setting(item.env, item.written(getattr(self, name)), fallback if default is None else default)

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
    ambient = layers.without_exported(dict(os.environ if environ is None else environ))
    dotenv, notes = layers.understood(layers.dotenv(directory / ".env"))
    every: layers.Layers = [
        ("flag", {item.env: flags[item.name] for item in knobs() if flags and flags.get(item.name) is not None}),
        ("environment", ambient),
        (".env", dotenv),
    ]
    toml = layers.toml(directory / "homeport.toml", knobs())
    home = next((str(layer["HOMEPORT_HOME"]) for _, layer in [*every, ("", toml)] if layer.get("HOMEPORT_HOME")), None)
    home_toml = layers.toml((Path(home).expanduser() if home else default_home()) / "homeport.toml", knobs())
    every += [("homeport.toml", toml), ("homeport.toml of the home", home_toml)]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for item in knobs():
        found = layers.first(item, every)
        if found is not None:
            raw, source = found
            values[item.name], sources[item.name] = item.read(raw, source), source
    unknown = (layers.unknown(layer, source, knobs()) for layer, source in ((ambient, "environment"), (dotenv, ".env")))
    return Settings(
        **values,
        sources=sources,
        extra=layers.mlflow_extra({**dotenv, **ambient}, knobs()),
        warnings=(*notes, *(line for lines in unknown for line in lines)),
    )


def dumps(settings: Settings) -> dict[str, Any]:
    """The settings as data for another process of ours; holds the secrets in clear."""
    values = {item.name: item.written(getattr(settings, item.name)) for item in knobs()}
    return {"values": values, "sources": dict(settings.sources), "extra": dict(settings.extra)}


def loads(data: Mapping[str, Any]) -> Settings:
    """What `dumps` made, unchanged: nothing is read from the environment or from files."""
    given = {item.name: item.read(raw, "") for item in knobs() if (raw := data["values"][item.name]) != ""}
    return Settings(**given, sources=data["sources"], extra=data["extra"])
