"""A tracking server that asks who is there, as a real process, and what its users do to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from tests.programs.database.programs import Program, environment, eventually, free_port

ADMIN, SERVING, TRAINING = "admin", "homeport-serving", "homeport-training"
PASSWORDS = {ADMIN: "an admin's pass:word", SERVING: "serving-password", TRAINING: "training-password"}
ACCOUNTS = {
    "HOMEPORT_AUTH": "basic",
    "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS[ADMIN],
    "HOMEPORT_SERVING_PASSWORD": PASSWORDS[SERVING],
    "HOMEPORT_TRAINING_PASSWORD": PASSWORDS[TRAINING],
}
_PATIENCE = 60.0


class Guarded:
    """The server over one database, started once or several times."""

    def __init__(self, backend_store_uri: str, room: Path, **env: str) -> None:
        self.port = free_port()
        self.room = room
        self.temporary = room / "tmp"
        self.temporary.mkdir(parents=True)
        self.env = {
            "MLFLOW_BACKEND_STORE_URI": backend_store_uri,
            "MLFLOW_ARTIFACTS_DESTINATION": str(room / "artifacts"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a static key",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "HOMEPORT_LISTEN_PORT": str(self.port),
            "HOMEPORT_WORKERS": "2",
            "TMPDIR": str(self.temporary),
            **ACCOUNTS,
            **env,
        }
        self.programs: list[Program] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def launch(self) -> Program:
        """Start it and do not wait."""
        self.programs.append(Program("homeport.tracking", self.env, self.room))
        return self.programs[-1]

    def prepare(self) -> str:
        """Run the job before it; what that said."""
        return Program("homeport.tracking.migrate", self.env, self.room).wait()

    def start(self) -> Guarded:
        """Prepare it, start it and wait until it answers."""
        self.prepare()
        program = self.launch()

        def answers() -> bool:
            assert program.process.poll() is None, program.said
            try:
                return requests.get(f"{self.url}/ready", timeout=_PATIENCE).ok
            except requests.ConnectionError:
                return False

        eventually(answers, 60)
        return self

    def stop(self) -> None:
        for program in self.programs:
            program.end()

    def ask(self, method: str, path: str, user: str = "", password: str = "", **more: Any) -> requests.Response:
        """One request; of a known account the password is known."""
        credentials = (user, password or PASSWORDS.get(user, "")) if user else None
        session = requests.Session()
        session.trust_env = False  # no ~/.netrc
        return session.request(
            method, self.url + path, auth=credentials, timeout=_PATIENCE, allow_redirects=False, **more
        )

    def make_user(self, name: str, password: str) -> None:
        """As the administrator does."""
        made = self.ask("POST", "/api/2.0/mlflow/users/create", ADMIN, json={"username": name, "password": password})
        assert made.status_code == 200, made.text

    def python(self, source: str, user: str, password: str = "") -> str:
        """What a program with MLflow's own client prints, as that user."""
        env = {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": password or PASSWORDS[user],
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", source], env=environment(env), capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


_ROUTES = """
import json, os
from homeport.tracking.server import ServerConfig, _upstream_environ
from homeport.tracking import upstream
config = ServerConfig.from_environ(os.environ)
os.environ.update(_upstream_environ(config))
application = upstream.with_basic_auth(config.backend_store_uri)
from mlflow.server import app as flask
found = [(rule.rule, method) for rule in flask.url_map.iter_rules() for method in rule.methods]
for route in application.routes:
    for each in route.effective_route_contexts() if hasattr(route, "effective_route_contexts") else [route]:
        found += [(each.path, method) for method in getattr(each, "methods", None) or ()]
print(json.dumps(sorted(set(found))))
"""


def routes(server: Guarded) -> list[tuple[str, str]]:
    """Every (path pattern, method) that MLflow's applications have with these settings: FastAPI's and Flask's."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ROUTES], env=environment(server.env), capture_output=True, text=True,
        check=True, timeout=120,
    )  # fmt: skip
    return [(path, method) for path, method in json.loads(done.stdout.strip().splitlines()[-1])]


def secrets_below(directory: Path, secret: str) -> list[Path]:
    """The files that hold a secret."""
    held = []
    for name, _, files in os.walk(directory):
        held += [file for file in (Path(name, each) for each in files) if file.is_file() and _holds(file, secret)]
    return held


def _holds(file: Path, secret: str) -> bool:
    return secret.encode() in file.read_bytes()
