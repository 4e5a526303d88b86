from __future__ import annotations

from pathlib import Path

import pytest

from homeport.model.graph import Graph, Node
from homeport.model.service import COMPLETED, HEALTHY, HttpProbe
from homeport.model.values import Secret, Setting, leaves
from homeport.services.database import backend_store_uri
from homeport.services.sizing import Sizing, sizing
from homeport.settings import Settings, load
from homeport.stack import build


def settings(tmp_path: Path, **environ: str) -> Settings:
    return load({}, environ={"HOMEPORT_HOME": str(tmp_path), **environ}, directory=tmp_path)


def graph(tmp_path: Path, **environ: str) -> Graph:
    return build(settings(tmp_path, **environ), Sizing(workers=2))


def now(node: Node) -> dict[str, object]:
    """A node's environment with settings as the text they have now."""
    return {name: value.text if isinstance(value, Setting) else value for name, value in node.env.items()}


def test_the_default_platform_has_these_services_in_this_order(tmp_path: Path) -> None:
    built = graph(tmp_path)
    assert [node.name for node in built] == [
        "database", "objectstore", "objectstore-init", "tracking-migrate", "tracking", "serving",
    ]  # fmt: skip
    assert dict(built["tracking"].needs) == {
        "tracking-migrate": COMPLETED, "objectstore": HEALTHY, "objectstore-init": COMPLETED,
    }  # fmt: skip
    assert dict(built["tracking-migrate"].needs) == {"database": HEALTHY}
    assert dict(built["objectstore-init"].needs) == {"objectstore": HEALTHY}


def test_serving_waits_for_tracking_and_gets_no_key_of_the_bucket_and_none_of_mlflows_database(tmp_path: Path) -> None:
    built = graph(tmp_path)
    assert dict(built["serving"].needs) == {"tracking": HEALTHY}
    env = built["serving"].env
    assert not {"AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "MLFLOW_BACKEND_STORE_URI"} & env.keys()
    assert not [name for name in env if name.startswith("HOMEPORT_PREDICTION")]


def test_keeping_predictions_adds_a_job_with_a_role_of_its_own(tmp_path: Path) -> None:
    built = graph(tmp_path, HOMEPORT_PREDICTION_LOG="0.5")
    assert dict(built["serving-migrate"].needs) == {"database": HEALTHY}
    assert dict(built["serving"].needs) == {"tracking": HEALTHY, "serving-migrate": COMPLETED}
    secrets = list(leaves(built["serving"].env["HOMEPORT_PREDICTION_DATABASE_URI"]))
    assert Secret("prediction-password") in secrets
    assert Secret("database-password") not in secrets


def test_nothing_to_serve_is_no_service(tmp_path: Path) -> None:
    assert "serving" not in graph(tmp_path, HOMEPORT_SERVE="none", HOMEPORT_PREDICTION_LOG="1")
    assert "serving-migrate" not in graph(tmp_path, HOMEPORT_SERVE="none", HOMEPORT_PREDICTION_LOG="1")


def test_a_database_elsewhere_leaves_the_service_out(tmp_path: Path) -> None:
    built = graph(tmp_path, MLFLOW_BACKEND_STORE_URI="postgresql://me:pw@db.example/mlflow")
    assert "database" not in built
    assert dict(built["tracking-migrate"].needs) == {}


@pytest.mark.parametrize(
    ("environ", "bucket_job"),
    [
        ({"MLFLOW_S3_ENDPOINT_URL": "https://s3.example"}, True),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "s3://ours/mlflow"}, True),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "gs://ours/mlflow"}, False),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "wasbs://c@a.blob.core.windows.net/x"}, False),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "/srv/artifacts"}, False),
    ],
)
def test_an_object_store_elsewhere_leaves_the_service_out_and_keeps_the_bucket_job_for_s3(
    tmp_path: Path, environ: dict[str, str], *, bucket_job: bool
) -> None:
    built = graph(tmp_path, **environ)
    assert "objectstore" not in built
    assert ("objectstore-init" in built) is bucket_job


def test_an_aws_key_of_the_user_never_becomes_the_key_of_the_embedded_store(tmp_path: Path) -> None:
    built = graph(tmp_path, AWS_ACCESS_KEY_ID="AKIAREAL", AWS_SECRET_ACCESS_KEY="real")
    given = [s.given for s in built.secrets().values()]
    assert "AKIAREAL" not in given
    assert "real" not in given


def test_an_object_store_elsewhere_gets_the_users_key_profile_and_role(tmp_path: Path) -> None:
    built = graph(
        tmp_path, MLFLOW_S3_ENDPOINT_URL="https://s3.example", AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s"
    )
    tracking = built["tracking"]
    assert isinstance(tracking.env["AWS_ACCESS_KEY_ID"], Secret)
    assert tracking.env["AWS_ACCESS_KEY_ID"].given == "k"
    assert "AWS_" in tracking.inherit


def test_what_stock_mlflow_has_on_is_off_unless_asked_for(tmp_path: Path) -> None:
    env = now(graph(tmp_path)["tracking"])
    assert env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert env["MLFLOW_ENABLE_AI_GATEWAY"] == "false"
    assert env["MLFLOW_DISABLE_TELEMETRY"] == "true"
    asked = now(
        graph(tmp_path, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="true", HOMEPORT_ENABLE_TELEMETRY="true")["tracking"]
    )
    assert asked["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "true"
    assert "MLFLOW_DISABLE_TELEMETRY" not in asked


def test_tracking_is_probed_for_readiness_not_for_a_constant(tmp_path: Path) -> None:
    tracking = graph(tmp_path).services[-1]
    assert tracking.probe is not None
    assert tracking.probe.check == HttpProbe("/ready")


def test_no_command_holds_a_secret(tmp_path: Path) -> None:
    built = graph(tmp_path)
    assert not [leaf for node in built for value in node.command for leaf in leaves(value) if isinstance(leaf, Secret)]


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:p@h/db", "postgresql+psycopg2://u:p@h/db"),
        ("postgres://u:p@h/db", "postgresql+psycopg2://u:p@h/db"),
        ("postgresql+psycopg://u:p@h/db", "postgresql+psycopg://u:p@h/db"),
        ("mariadb://u:p@h/db", "mysql+pymysql://u:p@h/db"),
        ("mysql+pymysql://u:p@h/db", "mysql+pymysql://u:p@h/db"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
    ],
)
def test_a_database_uri_gets_the_driver_mlflow_is_tested_with(tmp_path: Path, given: str, used: str) -> None:
    found = backend_store_uri(settings(tmp_path, MLFLOW_BACKEND_STORE_URI=given))
    assert found == used or (isinstance(found, Secret) and found.given == used)


@pytest.mark.parametrize(
    ("cores", "memory", "wish", "workers"),
    [(1, 512, 0, 1), (2, 24000, 0, 2), (64, 128000, 0, 8), (4, 2048, 0, 2), (2, 2048, 5, 5)],
)
def test_workers_fit_cores_and_memory_unless_the_user_says(cores: int, memory: int, wish: int, workers: int) -> None:
    assert sizing(wish, cores, memory).workers == workers


@pytest.mark.parametrize(("wish", "workers"), [(0, 1), (3, 3)])
def test_one_mlflow_is_enough_behind_the_fast_lane(wish: int, workers: int) -> None:
    assert sizing(wish, 8, 64000, fast=True).workers == workers


@pytest.mark.parametrize(
    ("given", "fast"),
    [
        ({}, True),
        ({"MLFLOW_BACKEND_STORE_URI": "postgres://u:p@h/db"}, True),
        ({"MLFLOW_BACKEND_STORE_URI": "mysql://u:p@h/db"}, False),
        ({"MLFLOW_BACKEND_STORE_URI": "sqlite:////srv/mlflow.db"}, False),
        ({"HOMEPORT_FASTLANE": "off"}, False),
    ],
)
def test_the_fast_lane_is_for_postgresql(tmp_path: Path, given: dict[str, str], *, fast: bool) -> None:
    assert settings(tmp_path, **given).fast_lane is fast


def test_no_worker_can_starve_itself_of_connections() -> None:
    size = Sizing(workers=3)
    assert size.pool_size + size.max_overflow >= 2 * size.threads
    assert size.max_connections >= 3 * 2 * (size.pool_size + size.max_overflow)
