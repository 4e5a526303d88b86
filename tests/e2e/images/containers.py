"""Containers of one test: started as Compose starts them (read-only, no capability), gone with the test."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.images.engine import DOCKER

HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp", "--pids-limit=512")


def docker(*argv: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run one docker command; what it printed stands in the failure."""
    done = subprocess.run([DOCKER, *argv], capture_output=True, text=True, check=False, timeout=timeout)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(argv)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def run(image: str, *command: str, env: Mapping[str, str] | None = None, check: bool = True) -> str:
    """Run a command in a hardened container without a network; returns what it wrote to stdout."""
    argv = ["run", "--rm", *HARDENED, "--network=none", *_variables(env or {}), image, *command]
    return docker(*argv, check=check).stdout


def inspected(image: str) -> dict[str, Any]:
    """What the engine knows about an image."""
    (found,) = json.loads(docker("image", "inspect", image).stdout)
    assert isinstance(found, dict)
    return found


class Cell:
    """A network of its own that leads nowhere, and containers on it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._volumes: list[str] = []
        self._containers: list[str] = []

    def start(
        self,
        service: str,
        image: str,
        *command: str,
        env: Mapping[str, str] | None = None,
        volumes: Mapping[str, str] | None = None,
        files: Mapping[Path, str] | None = None,
        options: Sequence[str] = (),
    ) -> str:
        """Start a hardened container that others reach as `service`; a volume is made fresh at its mount point."""
        argv = ["run", "--detach", *HARDENED, f"--network={self.name}", f"--network-alias={service}"]
        argv += [f"--name={self.name}-{service}", *options, *_variables(env or {})]
        for volume, mount in (volumes or {}).items():
            self._volumes.append(f"{self.name}-{volume}")
            argv.append(f"--volume={self._volumes[-1]}:{mount}")
        argv += [f"--volume={path}:{mount}:ro" for path, mount in (files or {}).items()]
        self._containers.append(f"{self.name}-{service}")
        docker(*argv, image, *command)
        return self._containers[-1]

    def completed(self, container: str) -> str:
        """Wait for a job; its output, when it ended well."""
        code = docker("wait", container).stdout.strip()
        output = self.logs(container)
        assert code == "0", f"{container} ended with {code}\n{output}"
        return output

    def logs(self, container: str) -> str:
        """What a container wrote so far."""
        done = docker("logs", container, check=False)
        return done.stdout + done.stderr

    def answers(self, container: str, *probe: str) -> bool:
        """Whether a command inside the container ends well; a container that has ended fails the test."""
        state = docker("inspect", "--format={{.State.Running}}", container).stdout.strip()
        assert state == "true", f"{container} has ended\n{self.logs(container)}"
        return docker("exec", container, *probe, check=False).returncode == 0

    def close(self) -> None:
        """Remove what was made."""
        if self._containers:
            docker("rm", "--force", "--volumes", *self._containers, check=False)
        if self._volumes:
            docker("volume", "rm", "--force", *self._volumes, check=False)
        docker("network", "rm", self.name)


@contextmanager
def cell() -> Iterator[Cell]:
    """A network and its containers, removed whatever happens."""
    made = Cell(f"homeport-image-{uuid.uuid4().hex[:8]}")
    docker("network", "create", "--internal", made.name)
    try:
        yield made
    finally:
        made.close()


def _variables(env: Mapping[str, str]) -> list[str]:
    return [f"--env={name}={value}" for name, value in env.items()]
