"""A real PostgreSQL under test, started as Homeport starts it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2

from homeport.database.binaries import find_binaries, pg_isready_command
from tests.programs.database.programs import Program, eventually, free_port

PASSWORD = "p@ss/w:rd 'quoted'"


class Server:
    """A database directory and the server that is started on it, once or several times."""

    def __init__(self, data: Path, room: Path, **env: str) -> None:
        self.data = data
        self.cluster = data / "cluster"
        self.port = free_port()
        self.room = room
        self.env = {
            "HOMEPORT_DATA": str(data),
            "HOMEPORT_LISTEN_PORT": str(self.port),
            "POSTGRES_USER": "mlflow",
            "POSTGRES_DB": "mlflow",
            "POSTGRES_PASSWORD": PASSWORD,
            **env,
        }
        self.programs: list[Program] = []

    def launch(self, *prefix: str) -> Program:
        """Start the program and do not wait."""
        program = Program("homeport.database", self.env, self.room, prefix)
        self.programs.append(program)
        return program

    def start(self, *prefix: str) -> Program:
        """Start the program and wait until it takes connections."""
        program = self.launch(*prefix)
        eventually(lambda: self.answers() or self._ended(program))
        return program

    def answers(self) -> bool:
        command = pg_isready_command(find_binaries(), "127.0.0.1", str(self.port))
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def ask(self, statement: str, *, password: str = PASSWORD, database: str = "mlflow") -> list[tuple[Any, ...]]:
        """The rows a statement answers; committed."""
        with contextlib.closing(self.connect(password=password, database=database)) as connection:
            return run(connection, statement)

    def connect(self, *, password: str = PASSWORD, database: str = "mlflow") -> Any:
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user="mlflow", password=password, dbname=database
        )
        connection.autocommit = True
        return connection

    def end(self) -> None:
        for program in self.programs:
            program.end()

    @staticmethod
    def _ended(program: Program) -> bool:
        assert program.process.poll() is None, program.said
        return False


def run(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


@contextlib.contextmanager
def serving(data: Path, room: Path) -> Iterator[Server]:
    """A server that takes connections, and nothing of it afterwards."""
    server = Server(data, room)
    try:
        server.start()
        yield server
    finally:
        server.end()
