"""The same sites twice, by their settings and by the chart's values: what the contract with the graph is held on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.chart.rendering import Values

S3_SITE = {
    "artifacts": {"destination": "s3://bucket/runs", "endpoint": "https://s3.example.org", "existingSecret": "keys"}
}


@dataclass(frozen=True)
class Case:
    """The same site twice: by its settings and by the chart's values."""

    environ: Mapping[str, str]
    values: Values


CASES: dict[str, Case] = {
    "trial": Case({}, {}),
    "production": Case(
        {
            "DOMAIN": "ml.example.org",
            "MLFLOW_BACKEND_STORE_URI": "postgresql://me:pw@db.example.org/runs",
            "MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket/runs",
            "MLFLOW_S3_ENDPOINT_URL": "https://s3.example.org",
            "AWS_ACCESS_KEY_ID": "AK",
            "AWS_SECRET_ACCESS_KEY": "SK",
            "HOMEPORT_S3_PUBLIC_ENDPOINT": "https://files.example.org",
        },
        {
            "domain": "ml.example.org",
            "database": {"url": "postgresql://me:pw@db.example.org/runs"},
            "artifacts": {**S3_SITE["artifacts"], "publicEndpoint": "https://files.example.org"},
        },
    ),
    "google": Case(
        {
            "MLFLOW_BACKEND_STORE_URI": "postgresql://me:pw@db.example.org/runs",
            "MLFLOW_ARTIFACTS_DESTINATION": "gs://bucket/runs",
        },
        {
            "database": {"existingSecret": "db", "urlKey": "uri"},
            "artifacts": {"destination": "gs://bucket/runs", "google": {"existingSecret": "sa"}},
        },
    ),
    "mysql": Case(
        {"MLFLOW_BACKEND_STORE_URI": "mysql://me:pw@db.example.org/runs", "HOMEPORT_WORKERS": "2"},
        {"database": {"url": "mysql://me:pw@db.example.org/runs"}},
    ),
    "nobody logs in": Case({"HOMEPORT_AUTH": "off"}, {"auth": {"enabled": False}}),
    "predictions": Case(
        {
            "HOMEPORT_PREDICTION_LOG": "0.5",
            "HOMEPORT_PREDICTION_DATABASE_URI": "postgresql://me:pw@db.example.org/kept",
            "HOMEPORT_PREDICTION_KEEP_DAYS": "30",
        },
        {"serving": {"predictions": {"fraction": 0.5, "existingSecret": "kept", "keepDays": 30}}},
    ),
    "nothing is served": Case({"HOMEPORT_SERVE": "none"}, {"serving": {"enabled": False}}),
    "everything else": Case(
        {
            "POSTGRES_USER": "me",
            "POSTGRES_DB": "runs",
            "HOMEPORT_BUCKET": "box",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "HOMEPORT_WORKERS": "3",
            "HOMEPORT_FASTLANE": "off",
            "HOMEPORT_SLOW_SECONDS": "2.5",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "true",
            "MLFLOW_ENABLE_AI_GATEWAY": "true",
            "MLFLOW_AUTH_ADMIN_USERNAME": "root",
            "HOMEPORT_ENABLE_TELEMETRY": "true",
            "HOMEPORT_SERVE": "a@b, c/3",
            "HOMEPORT_SERVE_TRAFFIC": "a: b 90, d 10",
            "HOMEPORT_SERVING_WORKERS": "2",
            "HOMEPORT_SERVING_POLL": "10",
            "HOMEPORT_SERVING_TIMEOUT": "30",
            "HOMEPORT_SERVING_CONCURRENCY": "4",
            "HOMEPORT_SERVING_QUEUE": "10",
            "HOMEPORT_SERVING_MAX_BODY_MIB": "5",
            "HOMEPORT_SERVING_CACHE_MIB": "1000000",
            "HOMEPORT_SERVING_STRICT": "true",
            "HOMEPORT_SERVING_ACCESS_LOG": "all",
            "HOMEPORT_SERVING_ENVS": "/envs",
        },
        {
            "database": {"user": "me", "name": "runs"},
            "artifacts": {"bucket": "box", "region": "eu-central-1"},
            "auth": {"adminUsername": "root"},
            "telemetry": True,
            "tracking": {"workers": 3, "fastlane": "off", "slowSeconds": 2.5, "jobs": True, "aiGateway": True},
            "serving": {
                "models": "a@b, c/3", "traffic": "a: b 90, d 10", "workers": 2, "poll": 10, "timeout": 30,
                "concurrency": 4, "queue": 10, "maxBodyMib": 5, "cacheMib": 1_000_000, "strict": True,
                "accessLog": "all", "envs": "/envs",
            },
        },
    ),
}  # fmt: skip
