"""A platform's settings become values that Helm's engine takes; no password stands in them, nothing is lost unsaid."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from homeport.model.service import Target
from homeport.render.chart import fragment
from homeport.render.chart.carried import LEFT, OTHERWISE, SECRET, Carried, carried
from homeport.render.chart.origin import Origin, of_home, of_site
from homeport.render.chart.stores_elsewhere import password_of
from homeport.render.chart.tree import every
from homeport.render.files import every as compose_files
from homeport.render.site import make
from homeport.settings import knobs, load
from tests.documents import ROOT

CHART = str(ROOT / "charts" / "homeport")


def embedded(tmp_path: Path, **environ: str) -> Origin:
    home = {"HOMEPORT_HOME": str(tmp_path / "home")}
    return of_home(load({}, environ=home | environ, directory=tmp_path))


def composed(tmp_path: Path, **environ: str) -> Origin:
    for name, text in compose_files().items():
        (tmp_path / name).write_text(text)
    (tmp_path / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in environ.items()))
    make(tmp_path)
    return of_site(load({}, environ={}, directory=tmp_path), tmp_path, {})


def moved(origin: Origin, *, one_secret: bool = False) -> Carried:
    return carried(origin.settings, origin.target, image=origin.image, one_secret=one_secret)


@cache
def chart() -> helm_python.Chart:
    """The chart as the engine reads it, once for all tests."""
    return helm_python.Chart.load(CHART)


def rendered(found: Carried, secrets: Path | None = None) -> dict[str, Any]:
    """The values as the file says them, after Helm's engine took them; every template is filled in."""
    values: dict[str, Any] = yaml.safe_load(fragment.text(found, secrets))
    assert chart().render(values, name="homeport", namespace="mlflow")
    assert values == found.nested()
    return values


def left(found: Carried) -> dict[str, str]:
    return dict(found.left)


def test_a_platform_that_sets_nothing_is_the_charts_defaults(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    (tmp_path / "c").mkdir()
    assert rendered(moved(embedded(tmp_path / "e"))) == {}
    assert rendered(moved(composed(tmp_path / "c"))) == {}


def test_every_setting_has_a_value_or_a_reason_why_not() -> None:
    values = {value.setting for value in every().values() if value.setting}
    names = {item.name for item in knobs()}
    assert names == (values | LEFT.keys() | OTHERWISE)
    assert not (values - {"serving_envs"}) & LEFT.keys()


def test_an_embedded_platform_with_stores_elsewhere_is_carried_over(tmp_path: Path) -> None:
    origin = embedded(
        tmp_path,
        DOMAIN="ml.example.org",
        MLFLOW_BACKEND_STORE_URI="postgresql://ml:p%40ss@db.example.org:5432/runs?sslmode=require",
        MLFLOW_ARTIFACTS_DESTINATION="s3://team/mlflow",
        MLFLOW_S3_ENDPOINT_URL="https://s3.example.org",
        AWS_ACCESS_KEY_ID="AKIA",
        AWS_SECRET_ACCESS_KEY="verysecret",
        AWS_DEFAULT_REGION="eu-central-1",
        HOMEPORT_WORKERS="3",
        HOMEPORT_FASTLANE="off",
        HOMEPORT_SLOW_SECONDS="0.5",
        HOMEPORT_SERVE="*@prod",
        HOMEPORT_SERVE_TRAFFIC="wine: champion 90, challenger 10",
        HOMEPORT_SERVING_POLL="9",
        HOMEPORT_SERVING_CACHE_MIB="2000000",
        HOMEPORT_SERVING_ACCESS_LOG="off",
        MLFLOW_ENABLE_AI_GATEWAY="true",
    )
    assert rendered(moved(origin)) == {
        "domain": "ml.example.org",
        "database": {
            "url": "postgresql://ml@db.example.org:5432/runs?sslmode=require",
            "existingSecret": "homeport-database",
        },
        "artifacts": {
            "destination": "s3://team/mlflow",
            "endpoint": "https://s3.example.org",
            "region": "eu-central-1",
            "existingSecret": "homeport-bucket",
        },
        "tracking": {"workers": 3, "fastlane": "off", "slowSeconds": 0.5, "aiGateway": True},
        "serving": {
            "models": "*@prod",
            "traffic": "wine: champion 90, challenger 10",
            "poll": 9,
            "cacheMib": 2_000_000,
            "accessLog": "off",
            "cache": {"size": "2002048Mi"},
        },
    }
    text = fragment.text(moved(origin), None)
    assert "kubectl create secret generic homeport-database --from-file=password=FILE" in text
    assert not [secret for secret in ("p@ss", "p%40ss", "AKIA", "verysecret") if secret in text]


def test_a_site_of_compose_is_carried_over(tmp_path: Path) -> None:
    origin = composed(
        tmp_path,
        DOMAIN="ml.example.org",
        HOMEPORT_IMAGE="registry.example.org:5000/team/homeport:1.2",
        HOMEPORT_SERVING_WORKERS="2",
        HOMEPORT_AUTH="off",
        HOMEPORT_TLS="letsencrypt",
        HOMEPORT_HTTPS_PORT="8443",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="true",
        POSTGRES_USER="ml",
        HOMEPORT_BUCKET="runs",
    )
    found = moved(origin)
    assert rendered(found) == {
        "domain": "ml.example.org",
        "image": {"repository": "registry.example.org:5000/team/homeport", "tag": "1.2"},
        "auth": {"enabled": False},
        "database": {"user": "ml"},
        "artifacts": {"bucket": "runs"},
        "tracking": {"jobs": True},
        "serving": {"workers": 2},
    }
    assert {"HOMEPORT_TLS", "HOMEPORT_HTTPS_PORT", "database", "objectstore"} <= left(found).keys()


def test_stores_elsewhere_of_a_site_are_read_from_its_secret_files(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    for name, secret in {
        "backend-store-uri": "postgresql+psycopg2://u:pw@db.example.org/runs",
        "aws-access-key-id": "ak",
        "aws-secret-access-key": "sk",
    }.items():
        (tmp_path / "secrets" / name).write_text(secret + "\n")
    origin = composed(
        tmp_path,
        COMPOSE_FILE="compose.yaml:compose.external.yaml",
        MLFLOW_S3_ENDPOINT_URL="https://s3.example.org",
    )
    assert rendered(moved(origin)) == {
        "database": {"url": "postgresql+psycopg2://u@db.example.org/runs", "existingSecret": "homeport-database"},
        "artifacts": {
            "destination": "s3://mlflow",
            "endpoint": "https://s3.example.org",
            "existingSecret": "homeport-bucket",
        },
    }


def test_a_line_of_an_older_env_that_has_no_effect_in_compose_has_none_here(tmp_path: Path) -> None:
    origin = composed(tmp_path, MLFLOW_S3_ENDPOINT_URL="http://minio:9000")
    assert rendered(moved(origin)) == {}


@pytest.mark.parametrize(
    ("environ", "about", "why"),
    [
        ({"HOMEPORT_TRACKING_PORT": "5010"}, "HOMEPORT_TRACKING_PORT", "tracking.service.port"),
        ({"HOMEPORT_LISTEN": "0.0.0.0"}, "HOMEPORT_LISTEN", "ingress"),
        ({"HOMEPORT_SERVING_ENVS": "/srv/envs"}, "HOMEPORT_SERVING_ENVS", "serving.extraVolumes"),
        ({"HOMEPORT_SHARED_ARTIFACTS": "/srv/artifacts"}, "HOMEPORT_SHARED_ARTIFACTS", "bucket"),
        ({"MLFLOW_BACKEND_STORE_URI": "sqlite:////srv/mlflow.db"}, "MLFLOW_BACKEND_STORE_URI", "SQLite"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "/srv/artifacts"}, "MLFLOW_ARTIFACTS_DESTINATION", "directory"),
        ({"HOMEPORT_PREDICTION_LOG": "1"}, "HOMEPORT_PREDICTION_LOG", "serving.predictions"),
        ({"DOMAIN": "ml.localhost"}, "DOMAIN", "port-forward"),
        ({"MLFLOW_BACKEND_STORE_URI": "postgresql://u@127.0.0.1/db"}, "database.url", "this machine"),
        (
            {"MLFLOW_ARTIFACTS_DESTINATION": "s3://b", "MLFLOW_S3_ENDPOINT_URL": "http://localhost:9000"},
            "artifacts.endpoint",
            "this machine",
        ),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "s3://b"}, "AWS_*", "IRSA"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "gs://b"}, "GOOGLE_*", "workload identity"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "abfss://c@a.dfs.core.windows.net/p"}, "AZURE_*", "workload identity"),
        ({"MLFLOW_SOMETHING_TOKEN": "hidden"}, "MLFLOW_SOMETHING_TOKEN", "secretKeyRef"),
        ({"MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "5"}, "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "chart sets it"),
        ({}, "HOMEPORT_AUTH", "must log in"),
    ],
)
def test_what_has_no_counterpart_is_named_with_the_reason(
    environ: dict[str, str], about: str, why: str, tmp_path: Path
) -> None:
    found = moved(embedded(tmp_path, **environ))
    assert why in left(found)[about]
    rendered(found)
    assert "hidden" not in fragment.text(found, None)


def test_variables_of_mlflow_reach_tracking(tmp_path: Path) -> None:
    found = moved(
        embedded(tmp_path, MLFLOW_SERVER_ALLOWED_HOSTS="a.example.org, b.example.org", MLFLOW_HTTP_REQUEST_TIMEOUT="30")
    )
    assert rendered(found)["tracking"] == {
        "allowedHosts": ["a.example.org", "b.example.org"],
        "extraEnv": [{"name": "MLFLOW_HTTP_REQUEST_TIMEOUT", "value": "30"}],
    }


def test_an_image_that_no_cluster_can_pull_is_not_carried_over(tmp_path: Path) -> None:
    found = moved(composed(tmp_path, HOMEPORT_IMAGE="homeport:ours"))
    assert rendered(found) == {}
    assert "push it to a registry" in left(found)["HOMEPORT_IMAGE"]


def test_no_serving_is_no_serving(tmp_path: Path) -> None:
    assert rendered(moved(embedded(tmp_path, HOMEPORT_SERVE="none"))) == {"serving": {"enabled": False}}


def test_a_certificate_authority_becomes_a_configmap(tmp_path: Path) -> None:
    uri = "postgresql://u:p@db.example.org/runs?sslmode=verify-full&sslrootcert=/srv/ca.pem"
    found = moved(embedded(tmp_path, MLFLOW_BACKEND_STORE_URI=uri))
    values = rendered(found)["database"]
    assert values["url"] == "postgresql://u@db.example.org/runs?sslmode=verify-full"
    assert values["ca"] == {"existingConfigMap": "homeport-database-ca"}
    assert "kubectl create configmap homeport-database-ca --from-file=ca.crt=/srv/ca.pem" in found.steps


def test_the_authorities_of_debian_stay_in_the_url(tmp_path: Path) -> None:
    uri = "postgresql://u:p@db.example.org/runs?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt"
    found = moved(embedded(tmp_path, MLFLOW_BACKEND_STORE_URI=uri))
    assert rendered(found)["database"]["url"] == uri.replace(":p@", "@")
    assert "database.url" not in left(found)


@pytest.mark.parametrize(
    ("uri", "url", "password"),
    [
        ("postgresql://u:p%40%2F@h/db", "postgresql://u@h/db", "p@/"),
        ("postgresql://h/db?user=u&password=p", "postgresql://u@h/db", "p"),
        ("mysql+pymysql://u%40x:p@h:3306/db?charset=utf8mb4", "mysql+pymysql://u%40x@h:3306/db?charset=utf8mb4", "p"),
        ("postgresql://u@h/db", "postgresql://u@h/db", ""),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg", ""),
    ],
)
def test_a_password_leaves_the_url(uri: str, url: str, password: str, tmp_path: Path) -> None:
    assert password_of(uri) == password
    values = rendered(moved(embedded(tmp_path, MLFLOW_BACKEND_STORE_URI=uri)))["database"]
    assert values["url"] == url
    assert ("existingSecret" in values) == bool(password)


def test_one_secret_holds_what_the_stores_need(tmp_path: Path) -> None:
    found = moved(
        embedded(
            tmp_path,
            MLFLOW_BACKEND_STORE_URI="postgresql://u:p@h.example.org/db",
            MLFLOW_ARTIFACTS_DESTINATION="s3://b",
            AWS_ACCESS_KEY_ID="ak",
            AWS_SECRET_ACCESS_KEY="sk",
            HOMEPORT_PREDICTION_LOG="1",
            HOMEPORT_PREDICTION_DATABASE_URI="postgresql://u:p@h.example.org/pred",
        ),
        one_secret=True,
    )
    values = rendered(found, tmp_path / "keys")
    assert values["secrets"] == {"existingSecret": SECRET}
    assert values["database"]["existingSecret"] == values["artifacts"]["existingSecret"] == SECRET
    assert values["serving"]["predictions"] == {
        "fraction": 1.0,
        "existingSecret": SECRET,
        "urlKey": "prediction-database-uri",
    }
    assert found.steps == []
    assert f"kubectl create secret generic {SECRET} --from-file={tmp_path}/keys" in fragment.text(
        found, tmp_path / "keys"
    )


def test_the_target_decides_whether_logins_are_news(tmp_path: Path) -> None:
    settings = embedded(tmp_path).settings
    assert "HOMEPORT_AUTH" in left(carried(settings, Target.EMBEDDED))
    assert "HOMEPORT_AUTH" not in left(carried(settings, Target.CONTAINERS))
