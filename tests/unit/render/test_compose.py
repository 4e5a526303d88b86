"""What holds of compose.yaml as it is committed, whatever it is rendered from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeport import layers
from homeport.render.dotenv import OF_COMPOSE, read_by
from homeport.settings import knobs
from tests.unit.render.composed import REQUIRED, configured, run, site

ROOT = Path(__file__).parents[3]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("${HOMEPORT_")}
MADE_ON_OURS = ["loadtest"]
OVERLAYS = sorted(path.name for path in ROOT.glob("compose.*.yaml"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site(tmp_path_factory.mktemp("site"), **REQUIRED)


def test_only_the_gateway_publishes_ports_and_on_loopback_unless_told_otherwise() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["gateway"]
    assert all(port.startswith("${HOMEPORT_LISTEN:-127.0.0.1}:") for port in SERVICES["gateway"]["ports"])


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_has_root_capabilities_or_a_writable_root(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "container_name", "network_mode", "pid", "devices", "group_add"}
    assert not [mount for mount in service.get("volumes", []) if "docker.sock" in str(mount)]


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_limited_and_its_log_rotates(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 1024
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert service["stop_grace_period"]
    # Somebody must reap what the programs leave behind: our image's own init, or Docker's.
    assert service.get("init") is (None if name in OURS else True)


def test_whoever_is_waited_for_is_there_and_can_be_what_is_waited_for() -> None:
    for name, service in SERVICES.items():
        for other, need in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            if need["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], (name, other)
            else:
                assert need["condition"] == "service_completed_successfully"
                assert SERVICES[other]["restart"] == "no", (name, other)
            # Else `docker compose up` would start what was not asked for.
            assert not SERVICES[other].get("profiles") or SERVICES[other]["profiles"] == service.get("profiles")


def test_every_service_that_goes_on_is_asked_for_its_health_soon_after_its_start() -> None:
    for name, service in SERVICES.items():
        if service["restart"] == "no":
            assert "healthcheck" not in service
        else:
            assert service["healthcheck"]["start_interval"] == "0.5s", name
            assert service["healthcheck"]["test"][0] == "CMD", name


def test_the_stores_are_on_a_network_of_their_own_and_nobody_inside_reaches_out() -> None:
    networks = yaml.safe_load((ROOT / "compose.yaml").read_text())["networks"]
    assert networks == {"edge": None, "backend": {"internal": True}, "data": {"internal": True}}
    on = {network: {n for n, s in SERVICES.items() if network in s["networks"]} for network in networks}
    assert on["edge"] == {"gateway"}
    assert on["data"] == {"database", "objectstore", "objectstore-init", "tracking-migrate", "tracking", "dbadmin"}
    assert not {"database", "objectstore"} & on["backend"]


def test_no_variable_holds_a_secret_only_the_name_of_its_file(place: Path) -> None:
    told = re.compile(r"PASSWORD|SECRET|_KEY|TOKEN|CREDENTIAL")
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if told.search(variable) and variable != "AWS_SHARED_CREDENTIALS_FILE":
                assert variable.endswith("_FILE"), (name, variable)
                assert value.removeprefix("/run/secrets/") in service["secrets"], (name, variable)
            if variable.endswith("_TEMPLATE"):
                places = re.findall(r"(?<!\$)\{([a-z-]+)\}", value)
                assert places, (name, variable)
                assert set(places) <= set(service["secrets"]), (name, variable)
    secrets = [file.read_text() for file in (place / "secrets").iterdir()]
    for overlay in [None, *OVERLAYS]:
        files = ["compose.yaml", *([overlay] if overlay else [])]
        said = str(configured(place, files))
        assert not [secret for secret in secrets if secret in said]


@pytest.mark.parametrize("file", ["compose.yaml", *OVERLAYS])
def test_every_variable_that_is_read_is_a_setting_that_homeport_knows(file: str) -> None:
    text = (ROOT / file).read_text()
    names = {name for name, _ in read_by(text)} | set(re.findall(r"\$\{([A-Z0-9_]+):\?", text))
    settings = {item.env for item in knobs()}
    assert not names - settings - OF_COMPOSE.keys()
    # What begins with HOMEPORT_ and is unknown is warned about, in the same .env.
    assert not {n for n in names - settings if n.startswith("HOMEPORT_")} - layers.INTERNAL


@pytest.mark.parametrize("file", [None, *OVERLAYS])
def test_compose_takes_each_file_without_a_word(file: str | None, place: Path) -> None:
    files = ["-f", "compose.yaml", *(["-f", file] if file else [])]
    done = run(place, *files, "--profile", "*", "config", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_an_env_file_compose_names_the_variable_and_what_to_do(tmp_path: Path) -> None:
    place = site(tmp_path)
    (place / ".env").unlink()
    done = run(place, "config", "--quiet")
    assert done.returncode != 0
    assert "required variable DOMAIN is missing a value" in done.stderr
    assert "top of compose.yaml" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("missing", list(REQUIRED))
def test_an_overlay_names_what_it_misses(missing: str, place: Path) -> None:
    file = "compose.external.yaml" if missing.startswith("MLFLOW_") else "compose.shared-artifacts.yaml"
    done = run(place, "-f", "compose.yaml", "-f", file, "config", "--quiet", **{missing: ""})
    assert done.returncode != 0
    assert f"required variable {missing} is missing a value" in done.stderr


def test_our_image_is_built_by_one_service_and_used_by_all_of_ours() -> None:
    ours = SERVICES["tracking"]["image"]
    assert [name for name, service in SERVICES.items() if "build" in service] == ["tracking", *MADE_ON_OURS]
    assert {service["image"] for name, service in OURS.items() if name not in MADE_ON_OURS} == {ours}
    assert all(SERVICES[name]["build"]["args"] == {"HOMEPORT_IMAGE": ours} for name in MADE_ON_OURS)
    assert {service["user"] for service in OURS.values()} == {"10001:10001"}


def test_every_image_is_pinned_by_version() -> None:
    for name, service in SERVICES.items():
        if name not in OURS:
            assert re.search(r":v?\d+\.\d+", service["image"]), name


def test_every_routed_service_has_the_labels_a_sites_own_traefik_reads() -> None:
    routed = {name for name, service in SERVICES.items() if "labels" in service}
    assert routed == {"tracking", "serving", "dbadmin", "grafana"}
    assert SERVICES["tracking"]["labels"]["traefik.http.routers.tracking.rule"] == "Host(`mlflow.${DOMAIN-}`)"
    # With a gateway of our own a site's Traefik must keep off.
    assert {SERVICES[name]["labels"]["traefik.enable"] for name in routed} == {"false"}
