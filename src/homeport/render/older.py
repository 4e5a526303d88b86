"""`.env` files of older or other stacks: which of their lines are secrets, and what theirs are called here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homeport import layers
from homeport.model.values import Secret
from homeport.services.database import backend_store_uri
from homeport.settings import Settings, knobs

# A variable of an older `.env` -> the secret that its value becomes.
TAKEN = {
    "POSTGRES_PASSWORD": "database-password",
    "MYSQL_ROOT_PASSWORD": "database-root-password",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "admin-password",
    "HOMEPORT_SERVING_KEY": "serving-key",
    "HOMEPORT_WEBHOOK_SECRET": "webhook-secret",
    "MLFLOW_BACKEND_STORE_URI": "backend-store-uri",
    "HOMEPORT_PREDICTION_DATABASE_URI": "prediction-database-uri",
    "AWS_ACCESS_KEY_ID": "aws-access-key-id",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-access-key",
    "MINIO_ROOT_USER": "objectstore-access-key",
    "MINIO_ROOT_PASSWORD": "objectstore-secret-key",
}
# Names that other stacks use -> ours.
SYNONYMS = {
    "MYSQL_USER": "POSTGRES_USER",
    "MYSQL_PASSWORD": "POSTGRES_PASSWORD",
    "MYSQL_DATABASE": "POSTGRES_DB",
    "MARIADB_USER": "POSTGRES_USER",
    "MARIADB_PASSWORD": "POSTGRES_PASSWORD",
    "MARIADB_DATABASE": "POSTGRES_DB",
    "MARIADB_ROOT_PASSWORD": "MYSQL_ROOT_PASSWORD",
    "MINIO_ACCESS_KEY": "MINIO_ROOT_USER",
    "MINIO_SECRET_KEY": "MINIO_ROOT_PASSWORD",
    "MINIO_BUCKET": "HOMEPORT_BUCKET",
    "MINIO_BUCKET_NAME": "HOMEPORT_BUCKET",
}


def given(found: Mapping[str, str]) -> dict[str, str]:
    """The variables of `.env` by our names; ours win over those of other stacks. Empty ones count as not set."""
    given = {name: value for name, value in found.items() if value}
    for name, ours in SYNONYMS.items():
        if name in given:
            given.setdefault(ours, given[name])
    return given


def taken(given: Mapping[str, str]) -> dict[str, str]:
    """Secret -> its value from `.env`, where one is there."""
    taken: dict[str, str] = {}
    for item in knobs():
        if item.env in TAKEN and (raw := layers.first(item, [(".env", given)])):
            taken[TAKEN[item.env]] = str(item.read(*raw))
    for name in ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"):
        if given.get(name):
            taken[TAKEN[name]] = given[name]
    if uri := taken.get("backend-store-uri"):
        # With the driver that MLflow is tested with.
        value = backend_store_uri(Settings(backend_store_uri=uri))
        assert isinstance(value, Secret)
        taken["backend-store-uri"] = value.given or uri
    return taken


def lines(found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(variable as `.env` spells it, secret) of every line that holds a secret."""
    for variable, name in TAKEN.items():
        for spelled in (variable, *(other for other, ours in SYNONYMS.items() if ours == variable)):
            if found.get(spelled):
                yield spelled, name
