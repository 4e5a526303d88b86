"""The Python API and the pytest fixture: a platform for as long as a block or a test session lasts."""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest

import homeport
from homeport import HomeportError, Platform
from tests.e2e.harness import leaks, ready

pytest_plugins = ("pytester",)

LOG = "import mlflow\nwith mlflow.start_run(run_name='by the api') as run: mlflow.log_text('kept', 'a.txt')\n"
READ = (
    "import mlflow\nrun = mlflow.search_runs(output_format='list')[0]\n"
    "print(run.info.run_name, mlflow.artifacts.load_text(run.info.artifact_uri + '/a.txt'))"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home for the tests of this module, so that its database is made once; nothing runs there in between."""
    path = tmp_path_factory.mktemp("api") / "home"
    before = leaks()
    yield path
    left = [text for text in (leaks() - before).texts() if str(path) in text]
    assert not left, f"left behind: {left}"


@pytest.fixture(autouse=True)
def _free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEPORT_TRACKING_PORT", "0")
    monkeypatch.setenv("HOMEPORT_SERVING_PORT", "0")


def _keeper(platform: Platform) -> psutil.Process:
    return psutil.Process(int(platform.status()["pid"]))


def test_a_with_block_is_ready_inside_and_leaves_nothing_running_and_no_warning(home: Path) -> None:
    with homeport.Platform(home=home) as platform:
        said = ready(platform.tracking_uri)
        assert (said["ready"], said["problems"]) == (True, [])
        assert platform.status()["ready"]
        keeper = _keeper(platform)
        below = keeper.children(recursive=True)
    assert not [process for process in (keeper, *below) if process.is_running()]
    assert not platform.running
    assert platform.status()["ready"] is False
    with pytest.raises(HomeportError, match="not running"):
        _ = platform.tracking_uri
    del platform
    gc.collect()  # a pipe or a process that was forgotten would warn now, and warnings are errors


def test_an_exception_inside_the_block_is_the_callers_and_the_platform_is_stopped(home: Path) -> None:
    keepers: list[psutil.Process] = []

    def train() -> None:
        with Platform(home=home) as platform:
            keepers.append(_keeper(platform))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert not Platform(home=home).running
    assert not keepers[0].is_running()


@pytest.mark.slow
def test_data_is_kept_from_one_block_to_the_next(home: Path) -> None:
    artifact = "api/2.0/mlflow-artifacts/artifacts/0/kept.txt"
    with Platform(home=home) as platform:
        body = json.dumps({"name": "kept"}).encode()
        request = Request(f"{platform.tracking_uri}/api/2.0/mlflow/experiments/create", data=body)
        request.add_header("content-type", "application/json")
        urlopen(request, timeout=60).close()
        urlopen(Request(f"{platform.tracking_uri}/{artifact}", data=b"kept", method="PUT"), timeout=60).close()
    with Platform(home=home) as platform:
        by_name = "api/2.0/mlflow/experiments/get-by-name?experiment_name=kept"
        with urlopen(f"{platform.tracking_uri}/{by_name}", timeout=60) as answer:
            assert json.load(answer)["experiment"]["name"] == "kept"
        with urlopen(f"{platform.tracking_uri}/{artifact}", timeout=60) as answer:
            assert answer.read() == b"kept"


def test_a_clients_environment_is_the_callers_with_the_address_and_without_any_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "1")
    with Platform(home=home) as platform:
        env = {"MLFLOW_TRACKING_URI": platform.tracking_uri, "HOMEPORT_HOME": str(home)}
        env["HOMEPORT_SERVING_URL"] = platform.url("serving")
        assert platform.env() == env
        environ = platform.client_environ()
        admin = platform.env(admin=True)
    assert environ | {"PATH": ""} == {**os.environ, **env, "PATH": ""}
    assert {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_S3_ENDPOINT_URL", "AWS_SECRET_ACCESS_KEY"} <= admin.keys()
    secrets = [file.read_text() for file in (home / "secrets").iterdir()]
    assert not [secret for secret in secrets if secret in "\n".join(environ.values())]


def test_start_and_stop_say_whether_they_did_anything_and_a_restart_gives_a_new_process(home: Path) -> None:
    platform = Platform(home=home)
    assert platform.start() is True
    try:
        assert Platform(home=home).start() is False
        before = {row["name"]: row["pid"] for row in platform.status()["services"]}
        platform.restart("objectstore")
        after = {row["name"]: row["pid"] for row in platform.status()["services"]}
        assert {name for name in after if after[name] != before[name]} == {"objectstore"}
        with pytest.raises(HomeportError) as unknown:
            platform.restart("objectstor")
        assert unknown.value.code == "SERVICE_UNKNOWN"
        with pytest.raises(HomeportError) as refused:
            platform.remove()
        assert refused.value.code == "HOME_IN_USE"
    finally:
        assert platform.stop() is True
    assert platform.stop() is False


def test_a_platform_that_is_left_running_warns_of_nothing_and_another_object_stops_it(home: Path) -> None:
    platform = Platform(home=home)
    platform.start()
    keeper = _keeper(platform)
    del platform
    gc.collect()
    assert Platform(home=home).stop() is True
    assert not keeper.is_running() or keeper.status() == psutil.STATUS_ZOMBIE


def test_a_start_that_fails_raises_what_the_command_would_say_and_leaves_nothing_running(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("HOMEPORT_TRACKING_PORT", str(taken.getsockname()[1]))
        platform = Platform(home=home)
        with pytest.raises(HomeportError) as refused, platform:
            pytest.fail("the block must not be entered")
    assert refused.value.code == "PORT_TAKEN"
    assert refused.value.fix
    assert not platform.running
    gc.collect()


@pytest.fixture
def settings_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that would each break or misplace a platform that read them."""
    for name, value in {
        "HOMEPORT_HOME": str(tmp_path / "elsewhere"),
        "HOMEPORT_TRACKING_PORT": "1",
        "MLFLOW_BACKEND_STORE_URI": "postgresql://nobody@127.0.0.1:1/none",
        "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "not-mine",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("settings_of_the_machine")
def test_a_private_platform_takes_no_setting_from_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("HOMEPORT_BUCKET=not-mine\n")
    (tmp_path / "homeport.toml").write_text('bucket = "not-mine-either"\n')
    monkeypatch.chdir(tmp_path)
    found = Platform.private(tmp_path / "private").settings
    assert {name: source for name, source in found.sources.items() if source != "flag"} == {}
    assert found.home == tmp_path / "private"
    assert found.embedded_database
    assert found.embedded_objectstore
    assert found.bucket != "not-mine"
    assert not found.extra


USERS_TESTS = f"""
import subprocess, sys, urllib.request

def test_my_training_logs_a_run(homeport_platform):
    subprocess.run([sys.executable, "-W", "ignore", "-c", {LOG!r}], env=homeport_platform.client_environ(), check=True)

def test_the_next_test_finds_it(homeport_platform):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", {READ!r}], env=homeport_platform.client_environ(),
                          check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["by", "the", "api", "kept"]
    print("home", homeport_platform.home)
"""


@pytest.mark.usefixtures("settings_of_the_machine")
@pytest.mark.slow
def test_the_pytest_fixture_is_one_private_platform_a_session_and_leaves_nothing_behind(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    pytester.makepyfile(USERS_TESTS)
    before = leaks()
    done = pytester.run(
        sys.executable, "-m", "pytest", "-q", "-rP", "-W", "error", "--basetemp", str(pytester.path / "base"),
        timeout=240,
    )  # fmt: skip
    done.assert_outcomes(passed=2)
    home = Path(next(line for line in done.outlines if line.startswith("home ")).removeprefix("home "))
    assert home.is_relative_to(pytester.path / "base")
    assert not (tmp_path / "elsewhere").exists()
    assert not [path for path in home.rglob("*") if path.is_file()]
    assert not [text for text in (leaks() - before).texts() if str(pytester.path) in text]
