"""Everything is killed or torn in turn; no acknowledged write is ever missing, and none is there twice."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from homeport.supervisor.lock import held
from tests.e2e.harness import Homeport, MetricLoop, eventually, leaks, ready

pytestmark = pytest.mark.slow

WORKERS = 2  # so that one can be killed while another answers, on any machine


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeport]:
    """The platform of this module; most tests leave it running or not, as they like."""
    before = leaks()
    with Homeport(tmp_path_factory.mktemp("faults") / "home", {"HOMEPORT_WORKERS": str(WORKERS)}) as platform:
        yield platform
    left = [text for text in (leaks() - before).texts() if str(platform.home) in text]
    assert not left, f"left behind: {left}"


@pytest.fixture
def running(one: Homeport) -> Homeport:
    one.up()
    return one


@pytest.fixture
def stopped(one: Homeport) -> Homeport:
    """The platform at rest, with one run in it."""
    one.up()
    _log_a_run(one)
    one.ok("down")
    return one


@pytest.fixture
def logging(running: Homeport, tmp_path: Path) -> Iterator[MetricLoop]:
    """A client that logs all the time."""
    with MetricLoop(running, tmp_path) as loop:
        yield loop


def _call(platform: Homeport, path: str, body: dict[str, object]) -> Any:
    answer = requests.post(f"{platform.tracking_uri}/api/2.0/mlflow/{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _runs(platform: Homeport) -> set[str]:
    return {
        run["info"]["run_name"] for run in _call(platform, "runs/search", {"experiment_ids": ["0"]}).get("runs", [])
    }


def _log_a_run(platform: Homeport) -> None:
    _call(platform, "runs/create", {"experiment_id": "0", "run_name": "kept"})


def _parts(platform: Homeport) -> tuple[psutil.Process, psutil.Process, list[psutil.Process]]:
    """(keeper, its warden, everything else of the platform)."""
    keeper = psutil.Process(platform.keeper_pid)
    below = keeper.children(recursive=True)
    warden = next(process for process in below if any("warden.py" in word for word in process.cmdline()))
    return keeper, warden, [process for process in below if process != warden]


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def _kill_supervision(keeper: psutil.Process, warden: psutil.Process) -> None:
    """Both at once: a keeper that saw its warden die would start another."""
    keeper.suspend()
    warden.kill()
    keeper.kill()
    eventually(lambda: not _alive([keeper, warden]), what="the end of keeper and warden")


def _pids(platform: Homeport, besides: str) -> dict[str, int]:
    return {row["name"]: row["pid"] for row in platform.status()["services"] if row["name"] != besides}


@pytest.mark.parametrize("service", ["database", "objectstore", "tracking"])
def test_a_killed_service_comes_back_and_no_acknowledged_metric_is_lost(
    running: Homeport, logging: MetricLoop, service: str
) -> None:
    row, others = running.service(service), _pids(running, besides=service)
    os.kill(row["pid"], signal.SIGKILL)
    running.comes_back(service, row["restarts"])
    assert _pids(running, besides=service) == others  # who needs it stays up and finds it again
    logging.goes_on()
    logging.end()
    logging.assert_nothing_lost()


def test_the_port_answers_while_a_killed_process_of_the_server_is_replaced(
    running: Homeport, logging: MetricLoop
) -> None:
    """The front, which clients talk to, each MLflow behind it, and what forks those."""
    uri, row = running.tracking_uri, running.service("tracking")
    master = psutil.Process(row["pid"])

    def below() -> list[psutil.Process]:
        return _alive(master.children(recursive=True))

    count = 2 + WORKERS
    eventually(lambda: len(below()) == count, what="every process of the server")
    front, forking = _alive(master.children())
    for victim in (_alive(forking.children())[0], front, forking):
        victim.kill()
        for path in ("/health", "/api/2.0/mlflow/runs/search-nothing", "/version"):
            assert requests.get(f"{uri}{path}", timeout=60).status_code in {200, 404}  # each on a connection of its own
        eventually(lambda: len(below()) == count, what="another process")
        logging.goes_on()
    logging.end()
    logging.assert_nothing_lost()
    assert running.service("tracking")["restarts"] == row["restarts"]


def test_a_killed_homeport_leaves_nothing_running_and_the_next_up_goes_on(
    running: Homeport, logging: MetricLoop
) -> None:
    uri = running.tracking_uri
    keeper, warden, rest = _parts(running)
    keeper.kill()
    eventually(lambda: not _alive([keeper, warden, *rest]), 30, "the end of everything")
    assert not (running.home / "run" / "control.sock").exists()
    assert not [name for name in ("lock", "warden.lock") if held(running.home / "run" / name)]
    assert running.run("status").returncode == 3
    running.up()
    assert running.tracking_uri == uri
    logging.goes_on()
    logging.end()
    logging.assert_nothing_lost()


def test_what_a_killed_homeport_and_its_killed_warden_left_is_swept_by_the_next_up(
    running: Homeport, logging: MetricLoop
) -> None:
    keeper, warden, rest = _parts(running)
    _kill_supervision(keeper, warden)
    assert _alive(rest)
    done = running.run("up", "--detach")
    assert done.returncode == 0, done.stderr
    assert "recovered: " in done.stderr
    assert f"(pid {keeper.pid})" in done.stderr
    assert not _alive(rest)
    logging.goes_on()
    logging.end()
    logging.assert_nothing_lost()


def test_a_frozen_tracking_server_turns_unhealthy_and_healthy_again_when_it_thaws(running: Homeport) -> None:
    pid = running.service("tracking")["pid"]
    os.killpg(pid, signal.SIGSTOP)
    try:
        eventually(lambda: running.service("tracking")["state"] == "unhealthy", 90, "unhealthy")
        assert not running.status()["ready"]
    finally:
        os.killpg(pid, signal.SIGCONT)
    eventually(lambda: running.status()["ready"], 60, "ready again")
    assert running.service("tracking")["pid"] == pid


def test_a_deleted_bucket_is_said_with_its_fix_and_a_restart_makes_it_again(running: Homeport) -> None:
    uri, bucket = running.tracking_uri, running.home / "data" / "objectstore" / "mlflow"
    shutil.rmtree(bucket)
    problem = eventually(lambda: ready(uri)["problems"], 30, "a problem")[0]
    assert problem["part"] == "objectstore"
    assert "mlflow" in problem["message"]
    assert "homeport restart" in problem["fix"]
    eventually(lambda: running.service("tracking")["health"] == "unhealthy", 60, "unhealthy")
    assert "mlflow" in running.service("tracking")["detail"]
    running.ok("restart")
    assert running.status()["ready"]
    assert bucket.is_dir()


def test_a_wrong_database_password_is_refused_with_its_fix_and_the_right_one_finds_the_data(stopped: Homeport) -> None:
    file = stopped.home / "secrets" / "database-password"
    password = file.read_text()
    file.write_text("another-password")
    error = stopped.refused("up", "--detach", exit_code=1)
    assert error["code"] == "DATABASE_PASSWORD_REFUSED"
    assert "restore secrets/database-password" in error["text"]
    assert "another-password" not in error["text"]
    assert stopped.run("status").returncode == 3
    file.write_text(password)
    stopped.up()
    assert "kept" in _runs(stopped)


@contextmanager
def _process_of(owner: os.stat_result) -> Iterator[int]:
    """Some living process of a user."""
    user, group = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else (None, None)
    process = subprocess.Popen(["sleep", "600"], user=user, group=group, cwd="/")
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("reused", [False, True], ids=["its-pid-is-gone", "its-pid-is-another-process-now"])
def test_after_a_machine_was_killed_a_left_behind_postmaster_pid_does_not_stop_the_next_up(
    running: Homeport, reused: bool
) -> None:
    _log_a_run(running)
    keeper, warden, rest = _parts(running)
    _kill_supervision(keeper, warden)
    for process in rest:
        process.kill()
    eventually(lambda: not _alive(rest), what="the end of everything")
    cluster = running.home / "data" / "database" / "cluster"
    file = cluster / "postmaster.pid"
    lines = file.read_text().splitlines()
    with _process_of(cluster.stat()) as other:
        if reused:
            file.write_text("\n".join([str(other), *lines[1:], ""]))
        running.up()
        assert psutil.pid_exists(other)
    assert running.status()["ready"]
    assert "kept" in _runs(running)


def _tear(run: Path) -> None:
    (run / "state.json").write_text('{"pid": 12, "proc')
    (run / "ports.json").write_bytes(b"\x00\xff{{")


def _remove(run: Path) -> None:
    shutil.rmtree(run)


@pytest.mark.parametrize("harm", [_tear, _remove])
def test_up_works_whatever_the_run_directory_holds(stopped: Homeport, harm: Callable[[Path], None]) -> None:
    harm(stopped.home / "run")
    stopped.up()
    assert stopped.status()["ready"]
    assert "kept" in _runs(stopped)


def test_an_emptied_secret_is_refused_with_its_fix_and_not_made_anew(stopped: Homeport) -> None:
    for file in sorted((stopped.home / "secrets").iterdir()):
        content = file.read_text()
        file.write_text("")
        error = stopped.refused("up", "--detach", exit_code=1)
        assert error["code"] == "SECRET_UNREADABLE"
        assert str(file) in error["text"]
        assert file.read_text() == ""
        file.write_text(content)


def test_a_database_directory_with_half_its_files_is_refused_and_left_as_it_is(stopped: Homeport) -> None:
    cluster = stopped.home / "data" / "database" / "cluster"
    version = (cluster / "PG_VERSION").read_text()
    (cluster / "PG_VERSION").unlink()

    def files() -> dict[Path, tuple[int, int]]:
        return {f: (f.stat().st_size, f.stat().st_mtime_ns) for f in cluster.rglob("*") if f.is_file()}

    before = files()
    error = stopped.refused("up", "--detach", exit_code=1)
    assert error["code"] == "DATABASE_DAMAGED"
    assert "PG_VERSION" in error["text"]
    assert files() == before
    assert stopped.run("status").returncode == 3
    owner = cluster.stat()
    (cluster / "PG_VERSION").write_text(version)
    os.chown(cluster / "PG_VERSION", owner.st_uid, owner.st_gid)


def test_a_fixed_port_taken_between_down_and_up_is_refused_and_a_free_one_is_chosen_anew(running: Homeport) -> None:
    port = int(running.tracking_uri.rpartition(":")[2])
    running.ok("down")
    with socket.create_server(("127.0.0.1", port)):
        error = running.refused("up", "--detach", exit_code=1, HOMEPORT_TRACKING_PORT=str(port))
        assert error["code"] == "PORT_TAKEN"
        assert f"pid {os.getpid()}" in error["text"]
        running.up()
        assert running.tracking_uri != f"http://127.0.0.1:{port}"
    assert running.status()["ready"]
