"""Hosts as network namespaces on one bridge, in a namespace of its own so that no firewall of the machine's counts.

Needs root and iproute2. Knows addresses and cables; refuses to know what runs on a host.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.e2e.harness import eventually

_PREFIX = "hp"  # of every namespace and interface made here
_NEUTRAL = ("PATH", "HOME", "LANG", "TMPDIR")


def ip(*words: str) -> str:
    """One command of iproute2 that must succeed; what it said."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


def things() -> frozenset[str]:
    """The namespaces, their files and the interfaces that this process made and that are there now."""
    namespaces = {f"namespace {line.split()[0]}" for line in ip("netns", "list").splitlines() if line}
    files = {f"files {path.name}" for path in Path("/etc/netns").glob("*")}
    links = {f"interface {line.split()[1]}" for line in ip("-o", "link").splitlines()}
    return frozenset(name for name in namespaces | links | files if name.split()[1].startswith(_key()))


def _key() -> str:
    return f"{_PREFIX}{os.getpid() % 100000:05}"


class Process:
    """A program on a host, in a process group of its own."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.log = log
        self.ended = 0.0
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                command, env=dict(environ), stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id; `ip netns exec` becomes the program."""
        return self.popen.pid

    @property
    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def stop(self, grace: float, sig: int = signal.SIGTERM) -> int:
        """A signal, and SIGKILL to all of it after `grace` seconds, as a kubelet does; the exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(sig)
        try:
            return self.popen.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.popen.wait(10)

    def kill(self) -> None:
        """kill -9 of it and of everything it started, at once."""
        family = psutil.Process(self.pid).children(recursive=True) if self.running else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.popen.wait(30)
        psutil.wait_procs(family, 30)


@dataclass
class Host:
    """A namespace with one address."""

    name: str
    namespace: str
    port: str  # its end of the cable at the switch
    address: str

    def command(self, *words: str) -> list[str]:
        """A command to be run there."""
        return ["ip", "netns", "exec", self.namespace, *words]


def _files(host: Host) -> Path:
    return Path("/etc/netns", host.namespace)


class Network:
    """A bridge and the hosts on it; what runs on them is ended with it."""

    def __init__(self, room: Path) -> None:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            pytest.skip("network namespaces need root and iproute2")
        self.room = room
        self.hosts: dict[str, Host] = {}
        self.processes: list[Process] = []
        self._names: dict[str, str] = {}
        self._number = 0
        self._key = _key()
        used = ip("-o", "address")
        third = next(n for n in range(1, 250) if f" 10.77.{n}." not in used)
        self._net = f"10.77.{third}"
        self._switch, self._own = f"{self._key}-switch", f"{self._key}me"
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        ip("-n", self._switch, "link", "set", "br0", "up")
        # This machine itself is on it, too: where clients are.
        ip("link", "add", self._own, "type", "veth", "peer", "name", "me", "netns", self._switch)
        self._plug("me")
        ip("address", "add", f"{self._net}.1/24", "dev", self._own)
        ip("link", "set", self._own, "up")

    def address(self, last: int) -> str:
        """An address of this network."""
        return f"{self._net}.{last}"

    def host(self, name: str, last: int | None = None) -> Host:
        """A new host, or the one that was made by that name."""
        if name in self.hosts:
            return self.hosts[name]
        self._number += 1
        port = f"p{self._number}"
        host = Host(name, f"{self._key}-{name}", port, self.address(last or 100 + self._number))
        ip("netns", "add", host.namespace)
        self.hosts[name] = host
        _files(host).mkdir(parents=True)  # what lies there is seen instead of what /etc has
        self._write_names(host)
        ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        self._plug(port)
        ip("-n", host.namespace, "link", "set", "lo", "up")
        ip("-n", host.namespace, "link", "set", "eth0", "up")
        ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
        return host

    def _plug(self, port: str) -> None:
        ip("-n", self._switch, "link", "set", port, "master", "br0")
        ip("-n", self._switch, "link", "set", port, "up")

    def resolve(self, name: str, address: str) -> None:
        """From now on that name means that address, on every host."""
        self._names[name] = address
        for host in self.hosts.values():
            self._write_names(host)

    def _write_names(self, host: Host) -> None:
        known = {"localhost": "127.0.0.1", **self._names}
        (_files(host) / "hosts").write_text("".join(f"{address} {name}\n" for name, address in known.items()))

    def run(self, host: Host, *words: str, environ: Mapping[str, str], log: str = "") -> Process:
        """Start a program on a host."""
        base = {name: os.environ[name] for name in _NEUTRAL if name in os.environ}
        process = Process(host.command(*words), base | dict(environ), self.room / "logs" / f"{log or host.name}.log")
        self.processes.append(process)
        return process

    def cut(self, host: Host) -> None:
        """Whatever is sent to it or by it from now on is lost, and nobody is told."""
        ip("-n", self._switch, "link", "set", host.port, "nomaster")

    def heal(self, host: Host) -> None:
        """The end of that."""
        self._plug(host.port)

    def move(self, address: str, source: Host | None, target: Host) -> None:
        """Take a floating address from one host to another, and let everybody forget where it was."""
        if source is not None:
            ip("-n", source.namespace, "address", "del", f"{address}/32", "dev", "eth0")
        ip("-n", target.namespace, "address", "add", f"{address}/32", "dev", "eth0")
        for host in self.hosts.values():  # what a gratuitous ARP does
            ip("-n", host.namespace, "neigh", "flush", "all")
        ip("neigh", "flush", "dev", self._own)

    def remove(self, host: Host) -> None:
        """Take a host away whose programs have ended."""
        del self.hosts[host.name]
        ip("netns", "del", host.namespace)
        shutil.rmtree(_files(host))

    def close(self) -> None:
        """End everything that runs, and take everything away."""
        for process in reversed(self.processes):
            process.kill()
        for host in tuple(self.hosts.values()):
            self.remove(host)
        with contextlib.suppress(AssertionError):
            ip("link", "del", self._own)
        ip("netns", "del", self._switch)
        # The kernel takes its time over a namespace's interfaces.
        eventually(lambda: not things(), 30, "the network gone")
