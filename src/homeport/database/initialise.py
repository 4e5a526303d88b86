"""Make a new PostgreSQL cluster with its database beside the final place, then put it there in one step.

Killed at any moment, it leaves either no cluster or a whole one. Refuses to know how it is served.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from homeport.database import cluster as clusters
from homeport.database.settings import include_ours
from homeport.errors import ExitCode, HomeportError

_BUILTIN_LOCALES_SINCE = 17
_LONGEST_NAME = 63  # bytes, NAMEDATALEN - 1
_TEMPLATES = frozenset({"template0", "template1"})


@dataclass(frozen=True)
class Login:
    """The cluster's only user, its password, and the database it owns."""

    user: str
    password: str
    database: str

    def check(self) -> None:
        """Refuse names that PostgreSQL would refuse half-way.

        Raises:
            HomeportError: SETTING_INVALID.
        """
        for name, value in (("POSTGRES_USER", self.user), ("POSTGRES_DB", self.database)):
            if len(value.encode()) > _LONGEST_NAME or not value.isprintable():
                raise _invalid(name, value, f"printable characters, at most {_LONGEST_NAME} bytes")
        if self.user.startswith("pg_"):
            raise _invalid("POSTGRES_USER", self.user, "a name that does not begin with pg_")
        if self.database in _TEMPLATES:
            raise _invalid("POSTGRES_DB", self.database, "a name other than template0 and template1")
        if "\n" in self.password or "\r" in self.password:
            raise _invalid("POSTGRES_PASSWORD", "a line break in it", "one line")


def initialise(data: Path, cluster: Path, binaries: Path, major: int, login: Login) -> None:
    """Make the cluster at `cluster`, which lies in `data` and is absent or empty.

    Raises:
        HomeportError: DATABASE_INIT_FAILED or DATABASE_DISK_FULL; nothing is left behind.
    """
    staging = Path(tempfile.mkdtemp(prefix=clusters.STAGING, dir=data))
    try:
        new = staging / "cluster"
        password = _readable_once(login.password)
        try:
            _run(initdb_command(binaries, new, login.user, password, major), data, "initdb", keep_open=password)
        finally:
            os.close(password)
        if login.database != "postgres":
            _run(single_user_command(binaries, new), data, "create database", create_database(login.database))
        include_ours(new / "postgresql.conf")
        _run([str(binaries / "initdb"), "--sync-only", "-D", str(new)], data, "write to disk")
        new.rename(cluster)
        _sync_directory(data)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def initdb_command(binaries: Path, new: Path, user: str, password: int, major: int) -> list[str]:
    """The command that makes a cluster; `password` is an open file descriptor it reads one line from."""
    # The built-in provider sorts and folds the same on every machine; the C library's locales change with its version.
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return [
        str(binaries / "initdb"),
        f"--pgdata={new}",
        f"--username={user}",
        f"--pwfile=/dev/fd/{password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        *(builtin if major >= _BUILTIN_LOCALES_SINCE else ["--locale=C.UTF-8"]),
        "--data-checksums",
        "--no-sync",  # once, at the end, with the database in it
        "--no-instructions",
    ]


def single_user_command(binaries: Path, new: Path) -> list[str]:
    """The command that runs SQL from its input without listening anywhere."""
    return [str(binaries / "postgres"), "--single", "-D", str(new), "-c", "exit_on_error=on", "postgres"]


def create_database(name: str) -> str:
    """The statement that creates a database of that name."""
    quoted = name.replace('"', '""')
    return f'CREATE DATABASE "{quoted}"\n'


def program_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of PostgreSQL's programs: the caller's without its secrets and without PostgreSQL's own knobs."""
    dropped = ("PG", "POSTGRES_", "AWS_", "MLFLOW_", "HOMEPORT_", "LC_", "PYTHON")
    kept = {name: value for name, value in environ.items() if not name.startswith(dropped)}
    return kept | {"LC_ALL": "C"}


def _run(command: list[str], data: Path, step: str, stdin: str = "", keep_open: int | None = None) -> None:
    done = subprocess.run(
        command,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        env=program_environment(os.environ),
        cwd=data,
        pass_fds=() if keep_open is None else (keep_open,),
    )
    if done.returncode == 0:
        return
    if re.search(r"No space left on device|Disk quota exceeded", done.stdout):
        raise clusters.full(data, clusters.SPACE_FOR_NEW)
    raise HomeportError(
        code="DATABASE_INIT_FAILED",
        what="the database could not be initialised",
        evidence=(
            ("step", step),
            ("exit code", str(done.returncode)),
            ("said", "\n".join(done.stdout.strip().splitlines()[-8:])),
        ),
        why="PostgreSQL's own words are the evidence above",
        fix="mend what it names and start again; nothing was left behind",
    )


def _readable_once(text: str) -> int:
    """An open file descriptor from which `text` can be read once: a password that never lies on a disk."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as end:
        end.write(text + "\n")
    return reading


def _sync_directory(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _invalid(name: str, found: str, needed: str) -> HomeportError:
    return HomeportError(
        code="SETTING_INVALID",
        what=f"{name} cannot be used by the embedded database",
        evidence=(("needed", needed), ("found", found)),
        fix=f"choose another {name}",
        exit_code=ExitCode.USAGE,
    )
