"""What an intruder finds: one published service, no root, nothing writable, no way to the data, no secret to read."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import pytest

from tests.compose.project import LONG_RUNNING, Stack, docker

_REACH = """
import socket, sys
for name, port in %r:
    try:
        socket.create_connection((name, port), timeout=3).close()
        print('reached', name, port)
    except OSError as error:
        print('refused', name, port)
"""
_STORES = [("database", 5432), ("objectstore", 8333), ("objectstore", 9333), ("objectstore", 8888)]


def _status(stack: Stack, service: str) -> dict[str, str]:
    """/proc/PID/status of a container's first process, read in its own process namespace."""
    words = ("run", "--rm", f"--pid=container:{stack.inspect(service)['Id']}", "--user=0", "--cap-add=SYS_PTRACE")
    text = docker(*words, "--entrypoint=cat", stack.image, "/proc/1/status")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


@pytest.mark.parametrize("service", LONG_RUNNING)
def test_a_container_runs_without_root_without_capabilities_and_within_limits(running: Stack, service: str) -> None:
    status = _status(running, service)
    assert set(status["Uid"].split()) != {"0"}
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    host = running.inspect(service)["HostConfig"]
    assert not host["Privileged"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert not [bind for bind in host["Binds"] or () if "docker.sock" in bind]
    log = host["LogConfig"]
    assert log["Config"] == {"max-size": "10m", "max-file": "3"}


@pytest.mark.parametrize("service", LONG_RUNNING)
def test_a_container_can_write_into_its_volumes_and_tmp_only(running: Stack, service: str) -> None:
    assert running.inspect(service)["HostConfig"]["ReadonlyRootfs"]
    if service == "gateway":  # the image may have no shell
        return
    for place in ("/", "/etc", "/usr/bin", "/opt", "/home"):
        done = running.compose("exec", "-T", service, "sh", "-c", f"echo x > {place}/probe")
        assert done.returncode != 0, place


def test_no_container_has_a_secret_in_its_environment_its_command_or_its_labels(running: Stack) -> None:
    secrets = {path.name: path.read_text().strip() for path in (running.home / "secrets").iterdir()}
    secrets = {name: value for name, value in secrets.items() if not name.endswith(".pem")}
    assert len(secrets) > 8
    said = {
        "inspect": docker("container", "inspect", *running.ids()),
        "config": running.composed("--profile", "*", "config"),
        ".env": (running.home / ".env").read_text(),
        "processes": "\n".join(docker("top", each, "-eo", "pid,args") for each in running.ids() if _runs(each)),
        "logs": running.composed("logs", "--no-color"),
    }
    for where, text in said.items():
        assert not [name for name, value in secrets.items() if value in text], where


def _runs(container: str) -> bool:
    return docker("container", "inspect", "--format", "{{.State.Running}}", container).strip() == "true"


def test_only_the_gateway_publishes_ports_and_only_on_loopback(running: Stack) -> None:
    published: dict[str, Any] = {}
    for service in LONG_RUNNING:
        ports = running.inspect(service)["NetworkSettings"]["Ports"]
        published |= {f"{service} {port}": held for port, held in ports.items() if held}
    assert {name.split()[0] for name in published} == {"gateway"}
    assert {row["HostIp"] for held in published.values() for row in held} == {"127.0.0.1"}
    assert {int(row["HostPort"]) for held in published.values() for row in held} == {running.http, running.https}


def test_no_port_of_a_container_answers_on_the_hosts_addresses(running: Stack) -> None:
    for port in (5000, 5002, 8333, 8082):
        with socket.socket() as caller:
            caller.settimeout(0.3)
            taken = caller.connect_ex(("127.0.0.1", port)) == 0
        holders = docker("ps", "--filter", f"publish={port}", "--format", "{{.Names}}")
        assert running.project not in holders, (port, taken)


def test_a_container_on_the_backend_network_reaches_neither_database_nor_object_store(running: Stack) -> None:
    done = running.inside("backend", _REACH % _STORES)
    assert done.stdout.split("\n")[: len(_STORES)] == [f"refused {name} {port}" for name, port in _STORES]
    for service in ("serving", "gateway"):
        networks = set(running.inspect(service)["NetworkSettings"]["Networks"])
        assert f"{running.project}_data" not in networks


def test_serving_has_no_key_of_the_bucket_and_none_of_the_database(running: Stack) -> None:
    mounts = {mount["Destination"] for mount in running.inspect("serving")["Mounts"]}
    assert {name for name in mounts if name.startswith("/run/secrets/")} == {
        "/run/secrets/webhook-secret",
        "/run/secrets/serving-key",
        "/run/secrets/serving-password",
    }


@pytest.mark.parametrize("network", ["backend", "data"])
def test_the_inner_networks_have_no_way_out(running: Stack, network: str) -> None:
    found = json.loads(docker("network", "inspect", f"{running.project}_{network}"))[0]
    assert found["Internal"] is True
    gateway = json.loads(docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]["Gateway"]
    done = running.inside(network, _REACH % [(gateway, running.https), ("1.1.1.1", 443)])
    assert "reached" not in done.stdout, done.stdout


def test_images_are_pinned(running: Stack) -> None:
    services = json.loads(running.composed("--profile", "*", "config", "--format", "json"))["services"]
    for name, service in services.items():
        if service["image"] != running.image:
            assert re.search(r":[\w.-]*\d", service["image"]), (name, service["image"])
