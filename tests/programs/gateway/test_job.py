"""The job that writes the gateway's files, as it is run; and that Traefik follows what it writes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.programs.database.programs import Program, eventually
from tests.programs.gateway.traefik import Traefik
from tests.programs.gateway.upstream import Upstream

_OURS = 10001


def _environ(directory: Path, **more: str) -> dict[str, str]:
    routes = "mlflow=tracking:5000,models=serving:5002"
    return {"DOMAIN": "localhost", "HOMEPORT_ROUTES": routes, "HOMEPORT_GATEWAY_DIRECTORY": str(directory), **more}


def _run(directory: Path, room: Path, **more: str) -> str:
    return Program("homeport.gateway", _environ(directory, **more), room).wait()


def test_it_says_in_one_line_what_it_did_and_then_that_nothing_was_to_do(tmp_path: Path) -> None:
    first, second = _run(tmp_path / "g", tmp_path / "room"), _run(tmp_path / "g", tmp_path / "room")

    assert first.startswith("2 routes of localhost written; new certificate until 20")
    assert "which is new: users have to trust it (SHA-256 " in first
    assert second.startswith("2 routes of localhost are as they were; certificate until 20")
    assert (first.count("\n"), second.count("\n")) == (1, 1)


def test_lets_encrypt_needs_no_email_and_no_certificate_of_ours(tmp_path: Path) -> None:
    said = _run(tmp_path / "g", tmp_path / "room", DOMAIN="example.org")

    assert said == "2 routes of example.org written; Let's Encrypt signs\n"
    assert list((tmp_path / "g").rglob("*.pem")) == []


def test_runs_at_once_agree_on_one_certificate(tmp_path: Path) -> None:
    jobs = [Program("homeport.gateway", _environ(tmp_path / "g"), tmp_path / f"room-{n}") for n in range(6)]
    for job in jobs:
        job.wait()

    assert len(list((tmp_path / "g" / "certificates").iterdir())) == 1
    assert sum("which is new" in job.said for job in jobs) == 1


def test_what_a_killed_run_left_half_is_removed_and_a_sites_own_routes_stay(tmp_path: Path) -> None:
    routes = tmp_path / "g" / "routes"
    routes.mkdir(parents=True)
    for name in ("homeport.yaml.half", "homeport-old.yaml", "mine.yaml"):
        (routes / name).write_text("half")

    _run(tmp_path / "g", tmp_path / "room")

    assert {file.name for file in routes.iterdir()} == {"homeport.yaml", "mine.yaml"}


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "g").write_text("")

    assert Program("homeport.gateway", _environ(tmp_path / "g"), tmp_path / "room").refused() == "GATEWAY_NOT_WRITABLE"


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    reason = Program("homeport.gateway", _environ(tmp_path / "g", DOMAIN=""), tmp_path / "room").reason()

    assert (reason["code"], reason["what"]) == ("SETTING_MISSING", "DOMAIN is not set")


@pytest.fixture
def open_room() -> Iterator[Path]:
    """A directory that every user can enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_our_users_uid_is_enough_and_a_volume_of_another_is_told(open_room: Path) -> None:
    ours, roots = open_room / "ours", open_room / "roots"
    ours.mkdir()
    roots.mkdir(mode=0o755)
    os.chown(ours, _OURS, _OURS)
    # The interpreter may be in root's home, where that user finds nothing: all is read before.
    source = (
        "import os, homeport.gateway.__main__ as program\n"
        f"program.prepare({_environ(open_room / 'before')})\n"
        f"os.setgroups([]); os.setgid({_OURS}); os.setuid({_OURS}); os.umask(0o077)\n"
        "program.run(program.main)"
    )

    def run(directory: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", source], env=_environ(directory), capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    good, bad = run(ours), run(roots)

    assert good.returncode == 0, good.stderr
    assert {file.stat().st_uid for file in ours.rglob("*")} == {_OURS}
    assert (ours / "ca.pem").stat().st_mode & 0o777 == 0o644  # whatever the umask
    assert bad.returncode == 1
    assert "GATEWAY_NOT_WRITABLE" in bad.stderr
    assert f"writable for uid {_OURS}" in bad.stderr


@pytest.fixture
def own(tmp_path: Path, upstreams: dict[str, Upstream]) -> Iterator[Traefik]:
    """A gateway of the test's own, with one route."""
    made = Traefik(tmp_path, {"mlflow": upstreams["mlflow"].port})
    yield made
    made.end()


def test_a_changed_route_is_followed_without_a_restart_and_gets_a_certificate(
    own: Traefik, upstreams: dict[str, Upstream]
) -> None:
    own.start()
    assert own.raw("models.localhost", "/", sni="mlflow.localhost")[0] == 404
    own.routes = {"mlflow": upstreams["models"].port, "models": upstreams["models"].port}

    own.prepare()

    def followed() -> bool:
        try:
            return {own.get(name).json()["name"] for name in ("mlflow", "models")} == {"models"}
        except (requests.RequestException, ValueError):
            return False

    eventually(followed)


def test_a_service_that_is_away_is_a_bad_gateway_and_back_at_once(own: Traefik, upstreams: dict[str, Upstream]) -> None:
    away = Upstream("mlflow")
    own.routes = {"mlflow": away.port}
    own.start()
    assert own.get("mlflow").status_code == 502

    away.start()
    try:
        assert own.get("mlflow").status_code == 200
    finally:
        away.end()
