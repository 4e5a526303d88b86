"""`python -m homeport.database`: becomes the PostgreSQL server of a directory, made on the first start.

Reads the environment, refuses what would end badly, and is replaced by the server itself. Stop it with SIGINT.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from homeport import program
from homeport.database import account as accounts
from homeport.database import cluster as clusters
from homeport.database import postmaster, settings
from homeport.database.binaries import find_binaries, major_version, needed_files, runs
from homeport.database.initialise import Login, initialise, program_environment


@dataclass(frozen=True)
class DatabaseConfig:
    """What the program needs to know, read from the environment once."""

    data: Path
    host: str
    port: int
    login: Login
    binaries: str
    max_connections: int

    @classmethod
    def from_environ(cls) -> DatabaseConfig:
        """Read it; raises HomeportError naming the variable that is missing or not usable."""
        user = program.setting("POSTGRES_USER", "mlflow")
        config = cls(
            data=Path(program.setting("HOMEPORT_DATA")).absolute(),
            host=program.loopback("HOMEPORT_LISTEN_HOST"),
            port=int(program.number("HOMEPORT_LISTEN_PORT", low=1, high=65535)),
            login=Login(user, program.secret("POSTGRES_PASSWORD"), program.setting("POSTGRES_DB", user)),
            binaries=os.environ.get("HOMEPORT_POSTGRES_BIN", ""),
            max_connections=int(program.number("HOMEPORT_MAX_CONNECTIONS", 200, low=10, high=10000)),
        )
        config.login.check()
        return config


def main() -> None:
    """Prepare the cluster as the account it belongs to, then become its server."""
    config = DatabaseConfig.from_environ()
    binaries = find_binaries(config.binaries)
    major = major_version(binaries)
    os.umask(0o077)
    cluster = config.data / "cluster"
    account = accounts.choose(cluster)
    clusters.prepare(config.data)
    if account is not None:
        accounts.hand_over(config.data, account)
    accounts.run_as(
        account,
        lambda: _serve(config, cluster, binaries, major),
        reach=(config.data, *needed_files(binaries)),
        works=lambda: runs(binaries),
    )


def _serve(config: DatabaseConfig, cluster: Path, binaries: Path, major: int) -> None:
    os.chdir(config.data)
    postmaster.hold(config.data, cluster)
    clusters.remove_left_behind(config.data)
    new = clusters.is_absent(cluster)
    clusters.check_space(config.data, new=new)
    if new:
        began = time.monotonic()
        initialise(config.data, cluster, binaries, major, config.login)
        sys.stderr.write(f"initialised PostgreSQL {major} in {time.monotonic() - began:.1f} s\n")
    clusters.check(cluster, major)
    postmaster.clear_left_behind(cluster)
    settings.write_ours(cluster, settings.tuned(settings.memory_limit(), config.max_connections))
    program.check_port("the database", config.host, config.port, "HOMEPORT_DATABASE_PORT")
    os.chdir(cluster)
    program.replace(
        settings.server_command(binaries, cluster, config.host, config.port), program_environment(os.environ)
    )


if __name__ == "__main__":
    program.run(main)
