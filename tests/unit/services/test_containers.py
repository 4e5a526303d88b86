from __future__ import annotations

from pathlib import Path

import pytest

from homeport.errors import HomeportError
from homeport.model.graph import Graph
from homeport.model.service import COMPLETED, HEALTHY, Service, Target
from homeport.model.values import Secret, Setting, leaves, secrets_in
from homeport.services.database import backend_store_uri
from homeport.settings import load
from homeport.stack import build


def containers(tmp_path: Path, **environ: str) -> Graph:
    return build(load({}, environ=environ, directory=tmp_path), target=Target.CONTAINERS)


def test_in_containers_there_is_a_gateway_and_what_is_started_on_demand(tmp_path: Path) -> None:
    built = containers(tmp_path)
    assert [node.name for node in built] == [
        "database", "objectstore", "objectstore-init", "tracking-migrate", "tracking", "serving",
        "gateway-init", "gateway", "training", "loadtest", "dbadmin", "prometheus", "grafana",
    ]  # fmt: skip
    assert dict(built["gateway"].needs) == {"gateway-init": COMPLETED, "tracking": HEALTHY, "serving": HEALTHY}
    on_demand = {node.name: node.container.profile for node in built if node.container.profile}
    assert on_demand == {
        "training": "training", "loadtest": "loadtest", "dbadmin": "admin",
        "prometheus": "observability", "grafana": "observability",
    }  # fmt: skip


def test_only_the_gateway_is_reached_from_outside_and_it_reaches_no_data(tmp_path: Path) -> None:
    built = containers(tmp_path)
    assert [node.name for node in built if node.container.publish] == ["gateway"]
    assert [node.name for node in built if "edge" in node.container.networks] == ["gateway"]
    on_data = {node.name for node in built if "data" in node.container.networks}
    assert on_data == {"database", "objectstore", "objectstore-init", "tracking-migrate", "tracking", "dbadmin"}
    assert {node.name for node in built if node.container.networks == ("data",)} == {
        "database", "objectstore", "objectstore-init", "tracking-migrate",
    }  # fmt: skip


def test_who_runs_models_and_programs_of_users_holds_no_key_of_data(tmp_path: Path) -> None:
    built = containers(tmp_path)
    for name in ("serving", "training", "loadtest", "gateway", "gateway-init"):
        held = {secret.name for secret in secrets_in(built[name].env)}
        assert not {"database-password", "objectstore-secret-key", "admin-password", "flask-secret-key"} & held, name


def test_clients_must_log_in_unless_it_was_switched_off(tmp_path: Path) -> None:
    built = containers(tmp_path)
    assert built["tracking"].env["HOMEPORT_AUTH"] == Setting("HOMEPORT_AUTH", "basic", "basic")
    assert built["tracking-migrate"].env["MLFLOW_AUTH_ADMIN_PASSWORD"] == Secret("admin-password")
    assert "MLFLOW_AUTH_ADMIN_PASSWORD" not in built["tracking"].env  # what answers strangers need not know it
    assert built["serving"].env["HOMEPORT_SERVING_KEY"] == Secret("serving-key")
    assert built["serving"].env["MLFLOW_TRACKING_PASSWORD"] == Secret("serving-password")
    off = containers(tmp_path, HOMEPORT_AUTH="off")
    assert "MLFLOW_AUTH_ADMIN_PASSWORD" not in off["tracking-migrate"].env
    assert "HOMEPORT_SERVING_KEY" not in off["serving"].env


def test_plain_processes_on_loopback_ask_for_no_login_unless_told_to(tmp_path: Path) -> None:
    home = {"HOMEPORT_HOME": str(tmp_path)}
    assert "MLFLOW_AUTH_ADMIN_PASSWORD" not in build(load({}, environ=home, directory=tmp_path))["tracking-migrate"].env
    told = build(load({}, environ=home | {"HOMEPORT_AUTH": "basic"}, directory=tmp_path))
    assert told["tracking-migrate"].env["MLFLOW_AUTH_ADMIN_PASSWORD"] == Secret("admin-password")
    assert told["tracking-migrate"].env["HOMEPORT_SERVING_PASSWORD"] == Secret("serving-password")


def test_the_tracking_server_answers_to_its_public_name_with_and_without_a_port(tmp_path: Path) -> None:
    env = containers(tmp_path, DOMAIN="example.org")["tracking"].env
    allowed = env["MLFLOW_SERVER_ALLOWED_HOSTS"]
    assert [leaf.text for leaf in leaves(allowed) if isinstance(leaf, Setting)] == ["example.org"]
    names = getattr(allowed, "text", "").split(",")
    assert {"mlflow.{domain}", "mlflow.{domain}:*", "tracking:*"} <= set(names)


def test_mariadb_is_another_image_and_another_uri(tmp_path: Path) -> None:
    built = containers(tmp_path, HOMEPORT_DATABASE="mariadb")
    database = built["database"]
    assert isinstance(database, Service)
    assert database.container.image.startswith("mariadb:")
    assert {secret.name for secret in secrets_in(database.env)} == {"database-password", "database-root-password"}
    assert built["dbadmin"].container.image.startswith("phpmyadmin:")
    uri = backend_store_uri(load({}, environ={"HOMEPORT_DATABASE": "mariadb"}, directory=tmp_path))
    assert getattr(uri, "text", "").startswith("mysql+pymysql://")


def test_plain_processes_refuse_mariadb_and_say_where_there_is_one(tmp_path: Path) -> None:
    found = load({}, environ={"HOMEPORT_DATABASE": "mariadb", "HOMEPORT_HOME": str(tmp_path)}, directory=tmp_path)
    with pytest.raises(HomeportError) as refused:
        build(found)
    assert refused.value.code == "DATABASE_NOT_EMBEDDED"
    assert "MLFLOW_BACKEND_STORE_URI" in refused.value.fix


def test_shared_artifacts_leave_the_object_store_out(tmp_path: Path) -> None:
    built = containers(tmp_path, HOMEPORT_SHARED_ARTIFACTS="/srv/artifacts")
    assert "objectstore" not in built
    assert "objectstore-init" not in built
    for name in ("tracking", "serving", "training"):
        assert [leaf.text for bind in built[name].container.binds for leaf in leaves(bind) if isinstance(leaf, Setting)]


def test_a_sites_own_gateway_replaces_ours(tmp_path: Path) -> None:
    built = containers(tmp_path, HOMEPORT_GATEWAY="external")
    assert not {"gateway", "gateway-init"} & {node.name for node in built}
