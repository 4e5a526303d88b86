"""One Kubernetes node in namespaces of its own on this machine: starts it, reaches it, ends it without a trace.

Its processes, mounts, interfaces and packet filters live in namespaces whose first process is `init`; it ends when
whoever started the node ends, however that happens, and the kernel then ends the rest. What the
kernel does not take away, the control groups and the directory, `close` removes.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
import requests

from tests.cluster import configuration, images
from tests.cluster.configuration import NODE, PORT, RUNTIME, Places
from tests.cluster.credentials import Authority, key_pair
from tests.e2e.harness import eventually

_HERE = Path(__file__).parent
_GROUPS = Path("/sys/fs/cgroup")
_VOLUMES = 12
# A child that ends with the process that started it, even if that one is killed.
_BOUND = ["setpriv", "--pdeathsig=KILL"]
_NAMESPACES = ["--mount", "--net", "--pid", "--uts", "--ipc"]


class Node:
    """A cluster of one node; `scratch` becomes its directory and must not exist."""

    def __init__(self, scratch: Path, binaries: Path, plugins: Path) -> None:
        self.places = Places(scratch, binaries, plugins, f"homeport-{secrets.token_hex(4)}")
        self.tokens = {name: secrets.token_hex(16) for name in configuration.USERS}
        self.kubeconfig = scratch / "outside.kubeconfig"
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._doors: list[subprocess.Popen[str]] = []
        self._first: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._space = ""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        self._write()
        self._make_groups()
        log = self._log("init")
        unshare = ["unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc"]
        self._first = subprocess.Popen(
            [*_BOUND, *unshare, str(_HERE / "init"), str(self.places.scratch), NODE],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        eventually((self.places.scratch / "up").exists, 20, "the node's namespaces made")
        self._pid = psutil.Process(self._first.pid).children()[0].pid
        self._space = _space(self._pid)
        commands = configuration.commands(self.places)
        self._launch({name: commands.pop(name) for name in ("etcd", "containerd", "kube-apiserver")})
        port, names = self.door(f"{NODE}:{PORT}", f"{NODE}:{configuration.NAMES}")
        authority = self.places.file("ca.crt")
        self.kubeconfig.write_text(
            configuration.kubeconfig(f"https://127.0.0.1:{port}", authority, self.tokens["admin"])
        )
        eventually(lambda: self._well() and self.kubectl("get", "--raw=/readyz", timeout=10), 90, "the API ready")
        self._launch(commands)
        self.apply(configuration.volumes(self.places.scratch / "volumes", _VOLUMES))
        eventually(lambda: self._well() and self.condition("node", "node", "Ready"), 90, "the node ready")
        eventually(
            lambda: self._well() and requests.get(f"http://127.0.0.1:{names}/ready", timeout=5).ok, 60, "names known"
        )

    def _write(self) -> None:
        scratch = self.places.scratch
        for name in ("network", "kubelet", "containerd", "log", *(f"volumes/{each}" for each in range(_VOLUMES))):
            (scratch / name).mkdir(parents=True)
        scratch.chmod(0o755)
        authority = Authority(scratch)
        names = ["localhost", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        authority.server("apiserver", names, ["127.0.0.1", NODE, configuration.API])
        authority.client("kubelet-client", "kube-apiserver", "system:masters")
        key_pair(scratch, "accounts")
        for name, text in configuration.files(self.places, self.tokens).items():
            (scratch / name).write_text(text, encoding="utf-8")
        images.write_pause(self.places.binaries / "pause", scratch / "pause.tar")

    def _launch(self, commands: dict[str, list[str]]) -> None:
        for name, command in commands.items():
            log = self._log(name)
            self._programs[name] = subprocess.Popen(
                self.inside(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _log(self, name: str) -> int:
        return os.open(self.places.scratch / "log" / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    # ── reaching it ──────────────────────────────────────────────────────────────────────────────────────────────

    def inside(self, *command: str) -> list[str]:
        """The command that runs a command among the node's own processes."""
        return ["nsenter", f"--target={self._pid}", *_NAMESPACES, "--", *command]

    def run(self, *command: str, timeout: float = 300) -> str:
        """A command among the node's own processes that must succeed: its stdout."""
        done = subprocess.run(
            self.inside(*command), capture_output=True, text=True, timeout=timeout, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def door(self, *targets: str) -> list[int]:
        """Loopback ports here that lead to these addresses there, for as long as the node lives."""
        door = subprocess.Popen(
            [*_BOUND, sys.executable, "-m", "tests.cluster.door", str(self._pid), *targets],
            cwd=_HERE.parents[1], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self._doors.append(door)
        assert door.stdout is not None
        ports = json.loads(door.stdout.readline())
        assert isinstance(ports, list)
        return ports

    def load(self, *archives: Path) -> None:
        """Give the node images; each archive is as `docker save` writes it."""
        for archive in archives:
            self.run("ctr", f"--address={RUNTIME}", "--namespace=k8s.io", "images", "import", str(archive))

    def tag(self, image: str, name: str) -> None:
        """Give an image of the node's another name."""
        self.run("ctr", f"--address={RUNTIME}", "--namespace=k8s.io", "images", "tag", "--force", image, name)

    # ── asking it ────────────────────────────────────────────────────────────────────────────────────────────────

    def kubectl_command(self, *words: str) -> list[str]:
        """A command of kubectl, from outside, as the administrator."""
        return [self.places.kubernetes, "kubectl", f"--kubeconfig={self.kubeconfig}", *words]

    def kubectl(self, *words: str, given: str | None = None, timeout: float = 120) -> str:
        """kubectl, which must succeed: its stdout."""
        done = subprocess.run(
            self.kubectl_command(*words), input=given, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"kubectl {' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def objects(self, kind: str, *words: str) -> list[dict[str, Any]]:
        """The objects of a kind as the API server has them."""
        found = json.loads(self.kubectl("get", kind, "--output=json", *words))["items"]
        assert isinstance(found, list)
        return found

    def apply(self, objects: Iterable[object], *words: str) -> None:
        """Server-side apply."""
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--server-side", "--filename=-", *words, given=given)

    def condition(self, kind: str, name: str, condition: str) -> bool:
        """Whether a condition of an object's status is true."""
        found = json.loads(self.kubectl("get", kind, name, "--output=json"))["status"].get("conditions", [])
        return any(each["type"] == condition and each["status"] == "True" for each in found)

    def ended(self) -> list[str]:
        """Programs of the node that have ended, with the last lines they wrote; there should be none."""
        return [
            f"{name} ended with {process.returncode}\n{self.said(name)}"
            for name, process in self._programs.items()
            if process.poll() is not None
        ]

    def said(self, program: str, lines: int = 20) -> str:
        """The last lines of a program's log."""
        return "\n".join((self.places.scratch / "log" / program).read_text(errors="replace").splitlines()[-lines:])

    def _well(self) -> bool:
        if found := self.ended():
            pytest.fail("\n".join(found))
        return True

    # ── ending it ────────────────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """End it, whatever state it is in."""
        for process in [self._first, *self._programs.values(), *self._doors]:
            if process is not None:
                process.kill()
                process.communicate()
        eventually(self._remove_groups, 30, "the node's control groups empty")

        def removed() -> bool:
            shutil.rmtree(self.places.scratch, ignore_errors=True)
            return not self.places.scratch.exists()

        eventually(removed, 60, "the node's directory removed")

    def left(self) -> list[str]:
        """What is on the machine of it now: nothing, after its end. A container's processes are in its groups."""
        names = [str(path / self.places.cgroup) for path in self._hierarchies() if (path / self.places.cgroup).exists()]
        names += [str(self.places.scratch)] if self.places.scratch.exists() else []
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        names += [line for line in mounts if str(self.places.scratch) in line]
        names += [str(pid) for pid in psutil.pids() if self._space and _space(pid) == self._space]
        return names + [f"door {door.pid}" for door in self._doors if door.poll() is None]

    def _hierarchies(self) -> list[Path]:
        """Where control groups are: one tree, or with version 1 one for each controller."""
        one = [_GROUPS] if (_GROUPS / "cgroup.controllers").exists() else []
        return one or [path for path in _GROUPS.iterdir() if path.is_dir() and (path / "cgroup.procs").exists()]

    def _make_groups(self) -> None:
        for hierarchy in self._hierarchies():
            (hierarchy / self.places.cgroup).mkdir(exist_ok=True)

    def _remove_groups(self) -> bool:
        groups = [hierarchy / self.places.cgroup for hierarchy in self._hierarchies()]
        for group in groups:
            below = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
            for path in [*below, group]:
                if path.exists():
                    path.rmdir()
        return not any(group.exists() for group in groups)


def _space(pid: int) -> str:
    """The process namespace of a process; empty when it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115 - the text is wanted, which is no path
    except OSError:
        return ""
