"""Databases and buckets elsewhere as values: addresses stand in them, passwords and keys become keys of Secrets."""

from __future__ import annotations

import ipaddress
import re
import shlex
from typing import Protocol
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from homeport.render.site import PLAIN_IN_URI
from homeport.settings import Settings

_CREATE = "kubectl create secret generic"
_CA = {"sslrootcert", "ssl_ca"}  # libpq's name, PyMySQL's name
_IN_IMAGE = "/etc/ssl/certs/ca-certificates.crt"  # what Debian trusts; the same path in the image
_ROLES = {
    "s3": (
        "AWS_*",
        "no access key is set: serviceAccount.annotations (IRSA) or artifacts.existingSecret gives the right",
    ),
    "gs": (
        "GOOGLE_*",
        "serviceAccount.annotations (workload identity) or artifacts.google.existingSecret gives the right",
    ),
}
_AZURE = ("AZURE_*", "serviceAccount.annotations (workload identity) or artifacts.azure.existingSecret gives the right")


class Found(Protocol):
    """Where values, commands and remarks are collected."""

    steps: list[str]
    left: list[tuple[str, str]]

    def put(self, path: str, value: object) -> None:
        """Say what stands at a path."""

    def drop(self, *paths: str) -> None:
        """Leave values at the chart's defaults."""


def password_of(uri: str) -> str:
    """The password in a database's URI, as it is; empty where there is none.

    libpq and SQLAlchemy take it before the host or as a parameter.
    """
    parts = urlsplit(uri)
    return unquote(parts.password or "") or dict(parse_qsl(parts.query)).get("password", "")


def database(settings: Settings, found: Found, secret: str) -> None:
    """The database that runs are kept in."""
    uri = settings.backend_store_uri
    if not uri:
        found.left.append(("database", "its rows stay in this platform's own: pg_dump and pg_restore move them"))
        for path, name in (("database.user", settings.postgres_user), ("database.name", settings.postgres_db)):
            if not re.fullmatch(PLAIN_IN_URI, name):
                found.drop(path)
                found.left.append((path, f"{name} has other signs than letters, digits, . _ ~ -: choose another there"))
        return
    found.drop("database.user", "database.name", "database.url")
    if uri.startswith("sqlite"):
        found.left.append(
            (
                "MLFLOW_BACKEND_STORE_URI",
                "SQLite is a file of one machine; without database.url the chart runs PostgreSQL",
            )
        )
        return
    parts = urlsplit(uri)
    login, _, host = parts.netloc.rpartition("@")
    user, query = login.partition(":")[0], []
    for name, value in parse_qsl(parts.query):
        if name == "user" and not user:
            user = quote(value, safe="")
        elif name in _CA and value.startswith("/") and value != _IN_IMAGE:
            found.put("database.ca.existingConfigMap", "homeport-database-ca")
            found.steps.append(f"kubectl create configmap homeport-database-ca --from-file=ca.crt={shlex.quote(value)}")
        elif name != "password":
            query.append((name, value))
            if value.startswith("/") and value != _IN_IMAGE:
                found.left.append(("database.url", f"{name}={value} is a path of this machine"))
    place = f"{user}@{host}" if user else host
    # By hand: urlunsplit leaves out the slashes of a URI without a host, which names a socket.
    tail = f"?{urlencode(query, safe='/:,')}" if query else ""
    found.put("database.url", f"{parts.scheme}://{place}{parts.path}{tail}")
    _if_here("database.url", parts.hostname, found)
    if password_of(uri):
        found.put("database.existingSecret", secret or "homeport-database")
        if secret:
            found.put("database.passwordKey", "database-password")
        else:
            found.steps.append(f"{_CREATE} homeport-database --from-file=password=FILE  # the password alone")


def artifacts(settings: Settings, found: Found, secret: str) -> None:
    """The bucket that artifacts go to."""
    if settings.embedded_objectstore:
        found.left.append(("objectstore", "its artifacts stay in this platform's own: rclone copies buckets"))
        return
    found.drop("artifacts.bucket")
    scheme = settings.destination.partition("://")[0] if "://" in settings.destination else "file"
    if scheme == "file":
        found.drop("artifacts.destination")
        if not settings.shared_artifacts:
            found.left.append(
                (
                    "MLFLOW_ARTIFACTS_DESTINATION",
                    "a directory of this machine; without it the chart runs an object store",
                )
            )
        return
    found.put("artifacts.destination", settings.destination)
    if scheme != "s3":
        found.left.append(_ROLES.get(scheme, _AZURE))
        return
    if settings.s3_endpoint_url:
        _if_here("artifacts.endpoint", urlsplit(settings.s3_endpoint_url).hostname, found)
    if not (settings.aws_access_key_id and settings.aws_secret_access_key):
        found.left.append(_ROLES["s3"])
        return
    found.put("artifacts.existingSecret", secret or "homeport-bucket")
    if secret:
        found.put("artifacts.accessKeyKey", "aws-access-key-id")
        found.put("artifacts.secretKeyKey", "aws-secret-access-key")
    else:
        found.steps.append(
            f"{_CREATE} homeport-bucket --from-file=access-key=FILE --from-file=secret-key=FILE  # a key each, alone"
        )


def predictions(settings: Settings, found: Found, secret: str) -> None:
    """The database that predictions are kept in."""
    if not settings.keeps_predictions:
        found.drop("serving.predictions.fraction")
        return
    if not settings.prediction_database_uri:
        found.drop("serving.predictions.fraction")
        found.left.append(
            (
                "HOMEPORT_PREDICTION_LOG",
                "predictions are kept in this platform's own database; in a cluster they need one elsewhere: "
                "serving.predictions.existingSecret",
            )
        )
        return
    _if_here("HOMEPORT_PREDICTION_DATABASE_URI", urlsplit(settings.prediction_database_uri).hostname, found)
    found.put("serving.predictions.existingSecret", secret or "homeport-predictions")
    if secret:
        found.put("serving.predictions.urlKey", "prediction-database-uri")
    else:
        found.steps.append(f"{_CREATE} homeport-predictions --from-file=uri=FILE  # the URI, with its password")


def _if_here(what: str, host: str | None, found: Found) -> None:
    """A remark where an address means the machine that it is used on."""
    try:
        here = not host or host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if here:
        found.left.append((what, f"{host or 'no host'} is this machine: name it as the cluster reaches it"))
