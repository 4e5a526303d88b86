"""A real object store under test, started as Homeport starts it, and one that answers what it is told."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from homeport.objectstore.client import client
from tests.programs.database.programs import Program, eventually, free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS, SECRET = "AKIAHOMEPORT", 'se"cr/et+=x'


class Store:
    """A data directory and the server that is started on it, once or several times."""

    def __init__(self, data: Path, room: Path) -> None:
        self.data = data
        self.room = room
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.env = {
            "HOMEPORT_DATA": str(data),
            "HOMEPORT_LISTEN_PORT": str(self.port),
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        self.programs: list[Program] = []
        self._clients: dict[tuple[str, str], S3Client] = {}

    def launch(self) -> Program:
        program = Program("homeport.objectstore.server", self.env, self.room)
        self.programs.append(program)
        return program

    def start(self) -> Program:
        program = self.launch()
        eventually(lambda: self.listens() or self._ended(program))
        return program

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self, access_key: str = ACCESS, secret_key: str = SECRET) -> S3Client:
        keys = (access_key, secret_key)
        if keys not in self._clients:
            self._clients[keys] = client(endpoint=self.endpoint, access_key=access_key, secret_key=secret_key)
        return self._clients[keys]

    def job(self, **env: str) -> Program:
        """The job that makes the bucket, started and not waited for."""
        base = {
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow",
            "HOMEPORT_BUCKET_TIMEOUT": "20",
        }
        program = Program("homeport.objectstore.bucket", base | env, self.room)
        self.programs.append(program)
        return program

    def end(self) -> None:
        for one in self._clients.values():
            one.close()
        for program in self.programs:
            program.end()

    @staticmethod
    def _ended(program: Program) -> bool:
        assert program.process.poll() is None, program.said
        return False


@contextlib.contextmanager
def answering(*answers: tuple[int, str, str]) -> Iterator[str]:
    """The address of an S3 API that gives these answers (status, code, message) in turn, the last one for ever.

    For what no store that can be run here would say: another owner's bucket, a wrong clock, a full disk.
    """
    remaining = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, code, message = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            error = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            said = error if status != HTTPStatus.OK else code if self.command == "GET" else ""
            body = b"" if self.command == "HEAD" else said.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET = do_PUT = do_DELETE = do_POST = _answer  # noqa: N815 - names http.server looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
