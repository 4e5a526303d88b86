"""Everything is killed, torn or filled up in turn; no acknowledged write is ever missing, and none is there twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psutil
import pytest

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


def _call(uri: str, path: str, body: object = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{uri}/api/2.0/mlflow/{path}", data=data, headers={"content-type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        found = json.load(answer)
    assert isinstance(found, dict)
    return found


def _runs(platform: Homeport) -> set[str]:
    found = _call(platform.tracking_uri, "runs/search", {"experiment_ids": ["0"]}).get("runs", [])
    assert isinstance(found, list)
    return {run["info"]["run_name"] for run in found}


def _log_a_run(platform: Homeport) -> None:
    _call(platform.tracking_uri, "runs/create", {"experiment_id": "0", "run_name": "kept"})


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


def _assert_comes_back(platform: Homeport, service: str, restarts: int) -> None:
    def back() -> bool:
        found = platform.status()
        row = next(row for row in found["services"] if row["name"] == service)
        return bool(found["ready"]) and row["restarts"] > restarts

    eventually(back, 120, f"{service} restarted and the platform ready")


@pytest.mark.parametrize("service", ["database", "objectstore", "tracking"])
def test_a_killed_service_comes_back_and_no_acknowledged_metric_is_lost(
    running: Homeport, logging: MetricLoop, service: str
) -> None:
    row, others = running.service(service), _pids(running, besides=service)
    os.kill(row["pid"], signal.SIGKILL)
    _assert_comes_back(running, service, row["restarts"])
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
            assert _status(f"{uri}{path}") in {200, 404}  # each on a connection of its own
        eventually(lambda: len(below()) == count, what="another process")
        logging.goes_on()
    logging.end()
    logging.assert_nothing_lost()
    assert running.service("tracking")["restarts"] == row["restarts"]


def _status(url: str) -> int:
    try:
        with urlopen(url, timeout=60) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


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


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of 600 MiB, which only root can mount."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    place = tmp_path_factory.mktemp("small-disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "homeport-test", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)  # fails while anything is left running there


@pytest.fixture(scope="module")
def cramped(small_disk: Path) -> Iterator[Homeport]:
    """A platform that runs on the small disk."""
    with Homeport(small_disk / "home", {"HOMEPORT_WORKERS": "1"}) as platform:
        platform.up()
        yield platform


def _fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as filler:
        while filler.write(b"0" * 2**20):
            pass


def _use_up_the_log(uri: str) -> None:
    """Take new files of PostgreSQL's log for ever."""
    import psycopg2

    connection = psycopg2.connect(uri.replace("+psycopg2", ""))
    connection.autocommit = True
    try:
        while True:
            connection.cursor().execute("SELECT pg_logical_emit_message(true, 'test', 'x'), pg_switch_wal()")
    finally:
        connection.close()


def test_a_disk_that_fills_up_loses_nothing_acknowledged_and_space_alone_mends_it(
    cramped: Homeport, small_disk: Path, tmp_path: Path
) -> None:
    import psycopg2

    database = cramped.service("database")
    with MetricLoop(cramped, tmp_path) as loop:
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            _fill(filler)
        with pytest.raises(psycopg2.OperationalError):
            _use_up_the_log(cramped.env("--admin")["MLFLOW_BACKEND_STORE_URI"])
        eventually(lambda: not cramped.status()["ready"], what="a database that says it is not well")
        filler.unlink()
        _assert_comes_back(cramped, "database", database["restarts"])
        loop.goes_on()
        loop.end()
        loop.assert_nothing_lost()


def test_an_artifact_that_does_not_fit_on_the_disk_is_refused_and_no_half_of_it_is_left(
    cramped: Homeport, small_disk: Path
) -> None:
    artifact = f"{cramped.tracking_uri}/api/2.0/mlflow-artifacts/artifacts/0/large.bin"
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        _fill(filler)
    with pytest.raises(URLError):  # a 5xx, or a connection cut in the middle of the body after one
        urlopen(Request(artifact, data=b"0" * 2**23, method="PUT"), timeout=120)
    filler.unlink()
    eventually(lambda: cramped.status()["ready"], 120, "ready again")
    with pytest.raises(HTTPError) as missing:
        urlopen(artifact, timeout=60)
    missing.value.close()
    assert not [file for file in (cramped.home / "data" / "objectstore").rglob("*") if "large" in file.name]
    with urlopen(Request(artifact, data=b"1" * 2**20, method="PUT"), timeout=60):
        pass
    with urlopen(artifact, timeout=60) as answer:
        assert answer.read() == b"1" * 2**20
