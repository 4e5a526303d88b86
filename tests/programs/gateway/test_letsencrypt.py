"""A public domain's certificate, by the ACME protocol as Let's Encrypt speaks it: its own test server, Pebble."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from homeport.gateway.authority import make_authority, make_leaf, utc_now
from tests.programs.database.programs import eventually, free_port
from tests.programs.gateway.traefik import Traefik
from tests.programs.gateway.upstream import Upstream

pytestmark = pytest.mark.system


class Pebble:
    """Let's Encrypt's test server, and a DNS in which every name leads here."""

    def __init__(self, room: Path, http: int) -> None:
        programs = [shutil.which(name) for name in ("pebble", "pebble-challtestsrv")]
        if None in programs:
            pytest.skip("no Pebble on this machine: apt-get install pebble")
        authority = make_authority("localhost", utc_now())
        leaf = make_leaf(authority, ["localhost"], utc_now())
        self.ca = room / "pebble-ca.pem"
        self.ca.write_bytes(authority.public())
        (room / "pebble.pem").write_bytes(leaf.dumps())
        (dns, dns_management, acme, management) = (free_port() for _ in range(4))
        self.directory = f"https://localhost:{acme}/dir"
        self._roots = f"https://localhost:{management}/roots/0"
        config = {
            "listenAddress": f"127.0.0.1:{acme}", "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(room / "pebble.pem"), "privateKey": str(room / "pebble.pem"),
            "httpPort": http, "tlsPort": 1, "ocspResponderURL": "", "externalAccountBindingRequired": False,
        }  # fmt: skip
        (room / "pebble.json").write_text(json.dumps({"pebble": config}))
        self._log = (room / "pebble.log").open("wb")
        names = [
            "pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{dns}",
            "-management", f"127.0.0.1:{dns_management}", "-http01", "", "-https01", "", "-tlsalpn01", "",
        ]  # fmt: skip
        server = ["pebble", "-config", str(room / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}"]
        env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        self._running = [
            subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT, env=env)
            for command in (names, server)
        ]

    def answers(self) -> bool:
        """Whether it can be asked for certificates already."""
        assert all(process.poll() is None for process in self._running)
        try:
            return bool(requests.get(self.directory, verify=str(self.ca), timeout=5).ok)
        except requests.ConnectionError:
            return False

    def root(self) -> str:
        """The authority that signs for everybody here."""
        return requests.get(self._roots, verify=str(self.ca), timeout=5).text

    def end(self) -> None:
        for process in self._running:
            process.terminate()
            process.wait(30)
        self._log.close()


@pytest.fixture
def public(
    tmp_path: Path, upstreams: dict[str, Upstream], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Traefik, Pebble]]:
    """A gateway of a public domain, and who signs for it."""
    routes = {name: each.port for name, each in upstreams.items()}
    gateway = Traefik(tmp_path, routes, "example.org", HOMEPORT_TLS="letsencrypt")
    pebble = Pebble(tmp_path, gateway.http)
    acme = "--certificatesresolvers.letsencrypt.acme"
    gateway.more = [f"{acme}.caserver={pebble.directory}", f"{acme}.cacertificates={pebble.ca}"]
    monkeypatch.setenv("NO_PROXY", "*")
    try:
        eventually(pebble.answers)
        yield gateway.start(), pebble
    finally:
        gateway.end()
        pebble.end()


def test_every_host_of_a_public_domain_gets_a_certificate_without_an_email(public: tuple[Traefik, Pebble]) -> None:
    gateway, pebble = public
    gateway.authority.write_text(pebble.root())

    def signed() -> bool:
        # Until its own certificate is there, a host is refused: the bare domain too.
        try:
            answers = [gateway.raw(f"{name}.example.org", "/")[0] for name in gateway.routes]
            return [*answers, gateway.raw("example.org", "/a")[0]] == [200] * len(answers) + [302]
        except ssl.SSLError:
            return False

    eventually(signed, 60)
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        gateway.connect("other.example.org")
    assert (gateway.directory / "acme.json").stat().st_mode & 0o777 == 0o600
    with gateway.connect("mlflow.example.org") as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: mlflow.example.org\r\nConnection: close\r\n\r\n")
        head = b"".join(iter(lambda: connection.recv(4096), b"")).lower()
    assert b"strict-transport-security: max-age=31536000" in head
