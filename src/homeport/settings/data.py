"""Where runs and artifacts are kept: PostgreSQL, MariaDB, an object store or a directory, of our own or elsewhere.

Refuses to know what the values are used for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from homeport.knobs import choice, flag, knob, optional_path, s3_bucket, secret, text, uri


@dataclass(frozen=True)
class Data:
    """The database and the artifacts."""

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

    @cached_property
    def embedded_database(self) -> bool:
        """Whether the platform runs a PostgreSQL of its own."""
        return not self.backend_store_uri

    @cached_property
    def embedded_objectstore(self) -> bool:
        """Whether the platform runs an object store of its own."""
        return not self.s3_endpoint_url and not self.artifacts_destination and not self.shared_artifacts

    @cached_property
    def destination(self) -> str:
        """Where artifacts go, as a URI or an absolute path."""
        if self.shared_artifacts:
            return str(self.shared_artifacts)
        return self.artifacts_destination or f"s3://{self.bucket}"
