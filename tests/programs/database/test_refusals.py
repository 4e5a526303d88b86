"""What would end badly is refused, with the reason and the fix, and nothing is touched."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homeport.database import cluster as clusters
from homeport.database.binaries import find_binaries, major_version
from homeport.database.initialise import Login
from homeport.errors import HomeportError
from tests.programs.database.server import Server


def evidence(error: dict[str, Any]) -> dict[str, str]:
    return {row["label"]: row["text"] for row in error["evidence"]}


def test_files_without_pg_version_are_never_initialised_over(server: Server) -> None:
    (server.cluster / "PG_VERSION").unlink()
    before = sorted(path.relative_to(server.data) for path in server.data.rglob("*"))
    error = server.launch().reason()
    assert (error["code"], evidence(error)["missing"]) == ("DATABASE_DAMAGED", "PG_VERSION")
    assert sorted(path.relative_to(server.data) for path in server.data.rglob("*")) == before


def test_a_missing_control_file_is_damage(server: Server) -> None:
    (server.cluster / "global" / "pg_control").unlink()
    error = server.launch().reason()
    assert (error["code"], evidence(error)["missing"]) == ("DATABASE_DAMAGED", "global/pg_control")


def test_a_control_file_that_was_cut_short_is_damage(server: Server) -> None:
    os.truncate(server.cluster / "global" / "pg_control", 100)
    assert server.launch().refused() == "DATABASE_DAMAGED"


def test_an_unreadable_version_is_damage(server: Server) -> None:
    (server.cluster / "PG_VERSION").write_bytes(b"\xff\xfe?")
    assert server.launch().refused() == "DATABASE_DAMAGED"


def test_a_file_where_the_cluster_belongs_is_damage(server: Server) -> None:
    shutil.rmtree(server.cluster)
    server.cluster.write_text("not a cluster")
    assert server.launch().refused() == "DATABASE_DAMAGED"
    assert server.cluster.read_text() == "not a cluster"


def test_another_major_version_says_needed_and_found(server: Server) -> None:
    (server.cluster / "PG_VERSION").write_text("15\n")
    error = server.launch().reason()
    assert error["code"] == "DATABASE_VERSION"
    assert evidence(error)["needed"] == "PostgreSQL 15"
    assert evidence(error)["found"] == f"PostgreSQL {major_version(find_binaries())}"
    assert "HOMEPORT_POSTGRES_BIN" in error["fix"]


def test_a_directory_that_is_served_already_names_the_process(server: Server) -> None:
    program = server.start()
    again = Server(server.data, server.room)
    server.programs.append(second := again.launch())
    error = second.reason()
    assert (error["code"], evidence(error)["served by"]) == ("DATABASE_IN_USE", f"process {program.pid}")
    assert server.ask("SELECT 1") == [(1,)]


def test_a_taken_port_names_it(server: Server) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        error = server.launch().reason()
    assert error["code"] == "PORT_TAKEN"
    assert str(server.port) in error["what"]


def test_an_address_beyond_loopback_is_refused(server: Server) -> None:
    server.env["HOMEPORT_LISTEN_HOST"] = "0.0.0.0"
    error = server.launch().reason()
    assert (error["code"], error["exit_code"]) == ("SETTING_INVALID", 2)


def test_a_missing_password_names_both_variables(server: Server) -> None:
    del server.env["POSTGRES_PASSWORD"]
    error = server.launch().reason()
    assert (error["code"], error["exit_code"]) == ("SECRET_MISSING", 2)
    assert error["what"] == "neither POSTGRES_PASSWORD nor POSTGRES_PASSWORD_FILE is set"


def test_a_directory_that_cannot_be_written_is_refused(new: Callable[..., Server]) -> None:
    server = new()
    server.env["HOMEPORT_DATA"] = "/proc/homeport/data"
    assert server.launch().refused() == "DATABASE_NOT_WRITABLE"


def test_a_full_disk_says_needed_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "SPACE_FOR_NEW", 2**60)
    with pytest.raises(HomeportError) as caught:
        clusters.check_space(tmp_path, new=True)
    assert caught.value.code == "DATABASE_DISK_FULL"
    assert dict(caught.value.evidence)["needed"] == f"{2**40} MiB"


def test_a_cluster_of_another_user_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = server.cluster.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(HomeportError) as caught:
        clusters.check(server.cluster, major_version(find_binaries()))
    assert caught.value.code == "DATABASE_NOT_OWNED"
    assert dict(caught.value.evidence)["found"] == f"user id {owner}"


def fake(directory: Path, name: str, said: str, mode: int = 0o755) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\necho '{said}'\n")
    (directory / name).chmod(mode)


def failing_initdb(directory: Path, said: str) -> str:
    fake(directory, "postgres", "postgres (PostgreSQL) 18.6")
    fake(directory, "pg_isready", "")
    (directory / "initdb").write_text(f'#!/bin/sh\n[ "$1" = --show ] && exit 0\necho "{said}"\nexit 1\n')
    (directory / "initdb").chmod(0o755)
    return str(directory)


def code_of(action: Callable[[], object]) -> HomeportError:
    with pytest.raises(HomeportError) as caught:
        action()
    return caught.value


def test_binaries_that_are_no_directory_are_refused(tmp_path: Path) -> None:
    error = code_of(lambda: find_binaries(str(tmp_path / "none")))
    assert (error.code, error.why) == ("DATABASE_BINARIES_MISSING", "HOMEPORT_POSTGRES_BIN is not a directory")


def test_a_directory_without_postgres_is_refused(tmp_path: Path) -> None:
    error = code_of(lambda: find_binaries(str(tmp_path)))
    assert (error.code, error.why) == ("DATABASE_BINARIES_MISSING", "there is no program postgres in it")


def test_binaries_that_may_not_be_executed_are_refused(tmp_path: Path) -> None:
    for name in ("postgres", "initdb", "pg_isready"):
        fake(tmp_path, name, "", mode=0o644)
    error = code_of(lambda: find_binaries(str(tmp_path)))
    assert error.code == "DATABASE_BINARIES_UNUSABLE"


def test_binaries_that_are_too_old_say_needed_and_found(tmp_path: Path) -> None:
    fake(tmp_path, "postgres", "postgres (PostgreSQL) 15.4 (Debian 15.4-1)")
    error = code_of(lambda: major_version(tmp_path))
    assert error.code == "DATABASE_BINARIES_TOO_OLD"
    assert dict(error.evidence)["needed"] == "PostgreSQL 16 or newer"
    assert dict(error.evidence)["found"] == "postgres (PostgreSQL) 15.4 (Debian 15.4-1)"


def test_a_program_that_is_not_postgresql_is_refused(tmp_path: Path) -> None:
    fake(tmp_path, "postgres", "hello")
    assert code_of(lambda: major_version(tmp_path)).code == "DATABASE_BINARIES_UNUSABLE"


def test_binaries_made_for_another_machine_are_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_bytes(b"\x7fELFgarbage")
    (tmp_path / "postgres").chmod(0o755)
    assert code_of(lambda: major_version(tmp_path)).code == "DATABASE_BINARIES_UNUSABLE"


@pytest.mark.parametrize(
    ("user", "database", "password"),
    [
        ("pg_me", "mlflow", "x"),
        ("u" * 64, "mlflow", "x"),
        ("me", "template0", "x"),
        ("me", "two\nlines", "x"),
        ("me", "mlflow", "two\nlines"),
    ],
)
def test_names_postgresql_would_refuse_half_way_are_refused_first(user: str, database: str, password: str) -> None:
    assert code_of(lambda: Login(user, password, database).check()).code == "SETTING_INVALID"


def test_a_failing_initdb_is_told_in_its_own_words_and_leaves_nothing(
    new: Callable[..., Server], tmp_path: Path
) -> None:
    binaries = failing_initdb(tmp_path / "bin", "could not write to file: No space left on device")
    assert new(HOMEPORT_POSTGRES_BIN=binaries).launch().refused() == "DATABASE_DISK_FULL"
