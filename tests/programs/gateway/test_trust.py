"""Who trusts our authority trusts it with one domain: what Python, curl and a browser make of its certificates."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from homeport.gateway.authority import make_authority, make_leaf, utc_now
from tests.programs.gateway.traefik import Traefik


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A server whose certificate our authority for `localhost` signed for another domain; the authority's file."""
    authority = make_authority("localhost", utc_now())
    leaf = make_leaf(authority, ["evil.example.org", "notlocalhost"], utc_now())
    (tmp_path / "ca.pem").write_bytes(authority.public())
    (tmp_path / "leaf.pem").write_bytes(leaf.dumps())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "leaf.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection, suppress(OSError):  # the client refuses
            context.wrap_socket(connection, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield tmp_path / "ca.pem", listener.getsockname()[1]
    thread.join(30)


@pytest.mark.parametrize("name", ["evil.example.org", "notlocalhost"])
def test_python_refuses_what_the_authority_signs_for_another_domain(served: tuple[Path, int], name: str) -> None:
    authority, port = served
    context = ssl.create_default_context(cafile=authority)

    with (
        socket.create_connection(("127.0.0.1", port)) as connection,
        pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"),
    ):
        context.wrap_socket(connection, server_hostname=name)


def test_curl_refuses_what_the_authority_signs_for_another_domain(served: tuple[Path, int]) -> None:
    authority, port = served
    resolve = f"evil.example.org:{port}:127.0.0.1"
    command = ["curl", "-sS", "--noproxy", "*", "--cacert", str(authority), "--resolve", resolve]
    done = subprocess.run(
        [*command, f"https://evil.example.org:{port}/"], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, "subtree" in done.stderr) == (60, True), done.stderr


@pytest.mark.system
@pytest.mark.parametrize("trusted", [True, False])
def test_a_browser_opens_the_page_once_the_authority_is_trusted(
    traefik: Traefik, tmp_path: Path, trusted: bool
) -> None:
    chromium, certutil = shutil.which("chromium"), shutil.which("certutil")
    if chromium is None or certutil is None:
        pytest.skip("no Chromium or no certutil on this machine: apt-get install chromium libnss3-tools")
    store = tmp_path / ".pki" / "nssdb"
    store.mkdir(parents=True)
    database = ["-d", f"sql:{store}"]
    subprocess.run([certutil, "-N", *database, "--empty-password"], check=True)
    if trusted:
        subprocess.run([certutil, "-A", *database, "-n", "Homeport", "-t", "C,,", "-i", traefik.ca], check=True)

    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--no-proxy-server", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", traefik.url("mlflow", "/seen"),
        ],
        capture_output=True, text=True, timeout=120, check=False, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip

    assert ('"path": "/seen"' in done.stdout) is trusted, done.stdout[:2000] + done.stderr
