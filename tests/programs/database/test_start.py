"""A database starts, keeps what it was given, and stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg2
import pytest

from tests.programs.database.programs import eventually
from tests.programs.database.server import PASSWORD, Server


def test_an_empty_directory_became_a_database_that_takes_its_password(running: Server) -> None:
    assert running.ask("SELECT current_database(), current_user") == [("mlflow", "mlflow")]


def test_another_password_is_refused(running: Server) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        running.ask("SELECT 1", password="another")


def test_a_long_path_with_spaces_and_a_database_of_any_name_are_served(new: Callable[..., Server]) -> None:
    name = 'my "runs"; drop'
    server = new("with spaces and ünïcode/" + "/".join(["a-rather-long-name-of-a-directory"] * 7), POSTGRES_DB=name)
    assert len(str(server.data)) > 230
    server.start()
    assert server.ask("SELECT current_database()", database=name) == [(name,)]


def test_the_process_that_was_started_is_the_server_itself(running: Server) -> None:
    assert psutil.Process(running.programs[0].pid).name() == "postgres"


def test_a_second_start_finds_what_the_first_one_wrote(server: Server) -> None:
    program = server.start()
    server.ask("CREATE TABLE kept AS SELECT 42 AS answer")
    program.stop()
    server.start()
    assert server.ask("SELECT answer FROM kept") == [(42,)]


def test_sigint_stops_it_cleanly_though_a_session_is_open(server: Server) -> None:
    program = server.start()
    session = server.connect()
    assert program.stop(signal.SIGINT) == 0
    assert not (server.cluster / "postmaster.pid").exists()
    session.close()


def test_a_killed_database_comes_back_with_every_committed_row(server: Server) -> None:
    program = server.start()
    server.ask("CREATE TABLE kept (i int)")
    for i in range(20):
        server.ask(f"INSERT INTO kept VALUES ({i})")
    program.kill()
    server.start()
    assert server.ask("SELECT count(*), sum(i) FROM kept") == [(20, 190)]


def test_it_listens_on_loopback_tcp_and_nowhere_else(running: Server) -> None:
    listening = {
        (c.laddr.ip, c.laddr.port)
        for c in psutil.Process(running.programs[0].pid).net_connections("inet")
        if c.status == "LISTEN"
    }
    assert listening == {("127.0.0.1", running.port)}
    assert running.ask("SHOW unix_socket_directories") == [("",)]


def test_the_password_is_in_no_command_line_and_no_environment_of_the_server(running: Server) -> None:
    server = psutil.Process(running.programs[0].pid)
    assert PASSWORD not in " ".join(server.cmdline())
    assert PASSWORD not in server.environ().values()


def test_the_password_lies_in_no_file(template: Path) -> None:
    holding = [f for f in template.rglob("*") if f.is_file() and PASSWORD.encode() in f.read_bytes()]
    assert holding == []


def test_pages_carry_checksums_and_text_sorts_the_same_everywhere(running: Server) -> None:
    assert running.ask("SHOW data_checksums") == [("on",)]
    assert running.ask("SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'mlflow'") == [
        ("b", "C.UTF-8")
    ]


def test_an_acknowledged_write_is_on_disk(running: Server) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert running.ask(f"SHOW {setting}") == [("on",)]


def test_a_killed_server_leaves_no_shared_memory_file_outside_its_directory(running: Server) -> None:
    maps = Path(f"/proc/{running.programs[0].pid}/maps").read_text()
    assert "/dev/shm/PostgreSQL." not in maps
    assert "/cluster/pg_dynshmem/" in maps


def test_what_a_user_adds_to_postgresql_conf_wins(server: Server) -> None:
    with (server.cluster / "postgresql.conf").open("a") as conf:
        conf.write("work_mem = 123MB\nmax_connections = 33\n")
    server.start()
    assert server.ask("SHOW work_mem") == [("123MB",)]
    assert server.ask("SHOW max_connections") == [("33",)]


def test_connections_are_allowed_as_many_as_asked_for(server: Server) -> None:
    server.env["HOMEPORT_MAX_CONNECTIONS"] = "77"
    server.start()
    assert server.ask("SHOW max_connections") == [("77",)]


def test_a_killed_initialisation_is_cleared_away_and_done_again(new: Callable[..., Server]) -> None:
    server = new()
    program = server.launch()
    eventually(lambda: any(server.data.glob("cluster.init-*/cluster/global")))
    program.end()  # with initdb, which is its child
    assert any(server.data.glob("cluster.init-*"))
    assert not server.cluster.exists()
    server.start()
    assert server.ask("SELECT 1") == [(1,)]
    assert not any(server.data.glob("cluster.init-*"))


def test_a_terminated_initialisation_leaves_nothing(new: Callable[..., Server]) -> None:
    server = new()
    program = server.launch()
    eventually(lambda: any(server.data.glob("cluster.init-*/cluster/global")))
    assert program.stop(signal.SIGTERM) == 143
    assert list(server.data.iterdir()) == []


def test_a_deleted_directory_is_a_new_database(server: Server) -> None:
    server.env["HOMEPORT_DATA"] = str(server.data / "gone")
    server.start()
    assert (server.data / "gone" / "cluster" / "PG_VERSION").exists()


def test_a_directory_that_others_may_enter_is_closed_again(server: Server) -> None:
    server.cluster.chmod(0o777)
    server.start()
    assert server.cluster.stat().st_mode & 0o777 == 0o700


def test_a_secret_may_come_from_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    del server.env["POSTGRES_PASSWORD"]
    server.env["POSTGRES_PASSWORD_FILE"] = str(tmp_path / "password")
    server.start()
    assert server.ask("SELECT 1") == [(1,)]


def test_nothing_runs_as_root(running: Server) -> None:
    user = psutil.Process(running.programs[0].pid).uids()
    assert user.real == user.effective == user.saved != 0
    assert os.geteuid() in {0, user.real}
