"""Clients and engines of every age, as small programs on PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from homeport.compose import engine
from homeport.errors import HomeportError

SERVER = 'if [ "$1" = version ]; then echo {0}; exit 0; fi\n'
PLUGIN = 'if [ "$1" = compose ]; then echo {0}; exit 0; fi\n'
NEITHER = "echo unknown command >&2; exit 1\n"


def program(place: Path, name: str, text: str) -> None:
    place.mkdir(exist_ok=True)
    (place / name).write_text(f"#!/bin/sh\n{text}")
    (place / name).chmod(0o755)


def find(place: Path) -> engine.Engine:
    return engine.find({"PATH": f"{place}{os.pathsep}/nowhere"})


def refused(place: Path) -> HomeportError:
    with pytest.raises(HomeportError) as caught:
        find(place)
    assert caught.value.fix
    return caught.value


def test_the_plugin_is_taken_before_the_program_of_its_own(tmp_path: Path) -> None:
    program(tmp_path, "docker", SERVER.format("27.1.0") + PLUGIN.format("2.29.0") + NEITHER)
    program(tmp_path, "docker-compose", "echo 2.40.0\n")
    found = find(tmp_path)
    assert found.compose == (str(tmp_path / "docker"), "compose")
    assert (found.engine_version, found.compose_version) == ("27.1.0", "2.29.0")


def test_a_program_of_its_own_will_do(tmp_path: Path) -> None:
    program(tmp_path, "docker", SERVER.format("25.0.0") + NEITHER)
    program(tmp_path, "docker-compose", "echo v2.40.3\n")
    assert find(tmp_path).compose == (str(tmp_path / "docker-compose"),)


@pytest.mark.parametrize(
    ("docker", "compose", "code"),
    [
        ("", "", "DOCKER_MISSING"),
        ("echo 'permission denied while trying to connect to the socket' >&2; exit 1\n", "", "DOCKER_DENIED"),
        ("echo 'Cannot connect to the Docker daemon' >&2; exit 1\n", "", "DOCKER_NOT_RUNNING"),
        (SERVER.format("20.10.24+dfsg1") + NEITHER, "", "DOCKER_TOO_OLD"),
        (SERVER.format("26.1.5") + NEITHER, "", "COMPOSE_MISSING"),
        (SERVER.format("26.1.5") + NEITHER, "echo 1.29.2\n", "COMPOSE_TOO_OLD"),
        (SERVER.format("26.1.5") + PLUGIN.format("2.24.3") + NEITHER, "", "COMPOSE_TOO_OLD"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_fix(tmp_path: Path, docker: str, compose: str, code: str) -> None:
    if docker:
        program(tmp_path, "docker", docker)
    if compose:
        program(tmp_path, "docker-compose", compose)
    assert refused(tmp_path).code == code


def test_versions_are_read_as_numbers() -> None:
    assert engine.parsed("v2.40.3-desktop.1") == (2, 40, 3)
    assert engine.parsed("26.1.5+dfsg1") == (26, 1, 5)
    assert engine.parsed("unknown") == (0,)
    assert engine.parsed("2.9.0") < engine.LEAST_COMPOSE < engine.parsed("2.24.10")
