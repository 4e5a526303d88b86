"""What a machine kill leaves behind is told apart from a server that lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from homeport.database.postmaster import PidFile, Verdict, judge
from tests.programs.database.programs import eventually
from tests.programs.database.server import Server


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another program of the user the database runs as; that user's number it got by chance."""
    account = "postgres" if os.geteuid() == 0 else None
    process = subprocess.Popen(["sleep", "600"], user=account, cwd="/")
    yield process
    process.kill()
    process.wait()


def leave_behind(server: Server, pid: int, started: float) -> None:
    """A postmaster.pid as a machine that lost power leaves it."""
    file = server.cluster / "postmaster.pid"
    lines = [
        str(pid),
        str(server.cluster),
        str(int(started)),
        str(server.port),
        "",
        "127.0.0.1",
        "  1234567 99",
        "ready",
    ]
    file.write_text("\n".join(lines) + "\n")
    owner = server.cluster.stat()
    os.chown(file, owner.st_uid, owner.st_gid)


def test_a_pid_file_of_a_process_that_is_gone_does_not_stop_a_start(server: Server) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    leave_behind(server, gone.pid, time.time() - 3600)
    server.start()
    assert server.ask("SELECT 1") == [(1,)]


def test_a_pid_file_whose_number_another_program_got_does_not_stop_a_start(
    server: Server, other: subprocess.Popen[bytes]
) -> None:
    leave_behind(server, other.pid, time.time() - 3600)
    program = server.start()
    assert server.ask("SELECT 1") == [(1,)]
    assert f"process {other.pid} is another program by now" in program.said
    assert other.poll() is None


def test_a_pid_file_that_was_cut_short_does_not_stop_a_start(server: Server) -> None:
    (server.cluster / "postmaster.pid").touch()
    program = server.start()
    assert server.ask("SELECT 1") == [(1,)]
    assert "cut short" in program.said


def test_a_start_right_after_a_kill_waits_for_the_sessions_that_still_work(server: Server) -> None:
    program = server.start()
    server.ask("CREATE TABLE kept AS SELECT 1 AS i")
    busy = server.connect()
    statement = "DO $$ DECLARE i int := 0; BEGIN WHILE i < 20000000 LOOP i := i + 1; END LOOP; END $$"
    asking = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, psycopg2; c = psycopg2.connect(sys.argv[1]); c.cursor().execute(sys.argv[2])",
            f"{psycopg2.extensions.make_dsn(busy.dsn, password=server.env['POSTGRES_PASSWORD'])}",
            statement,
        ],
        stderr=subprocess.DEVNULL,
    )
    active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
    eventually(lambda: server.ask(active) == [(1,)])
    program.kill()
    assert asking.poll() is None
    server.start()
    assert server.ask("SELECT i FROM kept") == [(1,)]
    asking.wait()
    busy.close()


def test_a_living_server_is_recognised(running: Server) -> None:
    found = PidFile.parse((running.cluster / "postmaster.pid").read_text())
    assert found is not None
    assert found.pid == running.programs[0].pid
    assert judge(found, running.cluster) is Verdict.SERVES


def test_a_server_of_another_directory_is_another_program(running: Server, tmp_path: Path) -> None:
    pid = running.programs[0].pid
    assert judge(PidFile(pid, str(tmp_path), time.time()), tmp_path) is Verdict.OTHER


def test_a_shell_inside_the_directory_is_another_program(tmp_path: Path) -> None:
    shell = subprocess.Popen(["sleep", "600"], cwd=tmp_path)
    try:
        assert judge(PidFile(shell.pid, str(tmp_path), time.time()), tmp_path) is Verdict.OTHER
    finally:
        shell.kill()
        shell.wait()


def test_a_process_that_ended_and_was_not_asked_for_its_code_is_no_server(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    try:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert judge(PidFile(ended.pid, str(tmp_path), time.time()), tmp_path) is Verdict.OTHER
    finally:
        ended.wait()


def test_our_own_number_is_left_to_postgresql(tmp_path: Path) -> None:
    assert judge(PidFile(os.getpid(), str(tmp_path), 0.0), tmp_path) is Verdict.GONE


@pytest.mark.parametrize("text", ["", "12", "12\n/data\n", "x\n/data\n3\n", "12\n/data\nlater\n"])
def test_half_a_pid_file_is_none(text: str) -> None:
    assert PidFile.parse(text) is None
