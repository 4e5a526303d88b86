"""The directory, what clients trust, what is logged, which ports and names are free: what needs no engine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from homeport.compose import logs, names, place, ports, trust
from homeport.compose.containers import Container, Model
from homeport.compose.place import Place
from homeport.errors import HomeportError
from homeport.settings import load

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def rendered(directory: Path, *overlays: str) -> Place:
    for name in ("compose.yaml", *(f"compose.{overlay}.yaml" for overlay in overlays)):
        (directory / name).write_text("name: x\n")
    return Place(directory, named=False)


def test_overlays_follow_the_settings_and_the_sites_own_file_comes_last(tmp_path: Path) -> None:
    site = rendered(tmp_path, "mariadb")
    (tmp_path / "compose.override.yaml").write_text("services: {}\n")
    settings = load({"database_engine": "mariadb"}, environ={}, directory=tmp_path)
    expected = ("compose.yaml", "compose.mariadb.yaml", "compose.override.yaml")
    assert [Path(file).name for file in site.files(settings, {})] == list(expected)


def test_compose_file_is_left_to_compose_and_must_name_what_the_settings_ask_for(tmp_path: Path) -> None:
    site = rendered(tmp_path, "mariadb")
    (tmp_path / ".env").write_text("COMPOSE_FILE=compose.yaml:compose.mariadb.yaml\n")
    settings = load({"database_engine": "mariadb"}, environ={}, directory=tmp_path)
    assert site.files(settings, {}) == ()
    with pytest.raises(HomeportError) as caught:
        site.files(settings, {"COMPOSE_FILE": "compose.yaml"})
    assert caught.value.code == "COMPOSE_FILE_DIFFERS"


def test_a_missing_overlay_is_named(tmp_path: Path) -> None:
    site = rendered(tmp_path)
    with pytest.raises(HomeportError) as caught:
        site.files(load({"database_engine": "mariadb"}, environ={}, directory=tmp_path), {})
    assert "compose.mariadb.yaml" in caught.value.what


def test_compose_gets_settings_of_a_file_but_no_secret(tmp_path: Path) -> None:
    (tmp_path / "homeport.toml").write_text('domain = "example.org"\npostgres_password = "x"\n')
    settings = load({}, environ={"HOMEPORT_EXPORTED": "HOMEPORT_SERVING_KEY"}, directory=tmp_path)
    given = place.environment(settings, {"PATH": "/bin", "HOMEPORT_EXPORTED": "K", "K": "of another platform"})
    assert given["DOMAIN"] == "example.org"
    assert given["PATH"] == "/bin"
    assert "K" not in given
    assert "POSTGRES_PASSWORD" not in given


def test_the_bundle_holds_our_ca_and_all_that_was_trusted_before_each_once(tmp_path: Path) -> None:
    ca, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    ca.write_text(PEM.format("ours"))
    other.write_text(PEM.format("theirs") + PEM.format("ours"))
    found = trust.environ(ca, {"REQUESTS_CA_BUNDLE": str(other)})
    bundle = (tmp_path / "ca-bundle.pem").read_text()
    assert set(found) == {"MLFLOW_TRACKING_SERVER_CERT_PATH", *trust.VARIABLES}
    assert bundle.count("ours") == bundle.count("theirs") == 1
    again = trust.environ(ca, {**found})  # a shell that has it already
    assert again == found
    assert "theirs" not in (tmp_path / "ca-bundle.pem").read_text()


def test_without_a_ca_of_its_own_nothing_is_said_about_trust(tmp_path: Path) -> None:
    assert trust.environ(tmp_path / "ca.pem", {}) == {}


def test_a_line_of_compose_logs_is_read_with_its_service() -> None:
    line = logs.parsed("tracking-migrate-1  | 2026-11-21T10:00:00.123456789Z a | b")
    assert line == logs.LogLine("2026-11-21T10:00:00.123456789Z", "tracking-migrate", "a | b")
    assert logs.parsed("warning: something") is None


def test_a_taken_port_is_refused_unless_this_project_holds_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        published = {"ports": [{"published": str(port), "host_ip": "127.0.0.1"}]}
        model, settings = Model("p", {"gateway": published}), load({}, environ={}, directory=tmp_path)
        with pytest.raises(HomeportError) as caught:
            ports.check(model, {}, settings)
        assert caught.value.code == "PORT_TAKEN"
        assert "HOMEPORT_HTTPS_PORT" in caught.value.fix
        ports.check(model, {"gateway": Container("g", "gateway", "running")}, settings)


def test_names_nobody_knows_come_with_the_line_for_etc_hosts() -> None:
    assert names.unresolved(["localhost", "no-such-host.invalid"]) == ["no-such-host.invalid"]
    assert "/etc/hosts: 127.0.0.1 mlflow.localhost" in names.mend(["mlflow.localhost"])
    assert "libnss-myhostname" not in names.mend(["mlflow.home.arpa"])
