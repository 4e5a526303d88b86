"""A platform of several replicas: `with cluster(room, tracking=3, serving=3) as c: c.url("tracking") …`.

Each replica is the chart's container on a host of its own; it is started, drained, ended, killed and cut off as a
cluster does it, with the chart's times. benchmarks/replicas.py uses this as well.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.e2e.harness import eventually
from tests.replicas.network import Host, Network, Process
from tests.replicas.parts import PORTS, Balancer, Postgres, Store

# charts/homeport/values.yaml and templates: how long a pod that leaves is still sent requests, and until it is killed.
DRAIN_SECONDS = 5.0
GRACE_SECONDS = {"tracking": 30.0, "serving": 45.0}
START_SECONDS = 120.0
ADMIN, PASSWORDS = "admin", {
    "admin": "password-of-the-admin", "homeport-serving": "password-of-serving", "homeport-training": "of-training-12",
}  # fmt: skip
SERVING_KEY = "key-of-the-serving-api"
_COMMON = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_AI_GATEWAY": "false", "MLFLOW_SERVER_ALLOWED_HOSTS": "*", "HOMEPORT_LISTEN_HOST": "0.0.0.0",
    # The same in every replica, as the chart's Secret has them.
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "key-of-the-sessions",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "b1Yy0mQO0hnnMKcvbxKRg0aG0SGrTyy4Ue2Y1sZ5m9k=",
    "HOMEPORT_WEBHOOK_SECRET": "secret-of-the-webhooks",
}  # fmt: skip


@dataclass(eq=False)
class Replica:
    """One replica of a service on its host."""

    kind: str
    host: Host
    process: Process
    environ: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """Its host's name."""
        return self.host.name

    @property
    def address(self) -> str:
        """Its host's address."""
        return self.host.address

    @property
    def url(self) -> str:
        """Itself, without the balancer."""
        return f"http://{self.address}:{PORTS[self.kind]}"

    @property
    def pid(self) -> int:
        """Its first process."""
        return self.process.pid

    def is_ready(self) -> bool:
        """What the chart's readiness probe asks."""
        try:
            return requests.get(f"{self.url}/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False


class Cluster:
    """The hosts, what replicas stand on, and the replicas.

    Args:
        room: a directory for data and logs.
        auth: whether logins and the serving key are asked for, as in the chart by default.
        environ: added to each replica's environment, by kind.
    """

    def __init__(
        self, room: Path, *, auth: bool = False, environ: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self.room = room
        self.auth = auth
        self.replicas: dict[str, list[Replica]] = {kind: [] for kind in PORTS}
        self._more = environ or {}
        self._numbers = dict.fromkeys(PORTS, 0)
        self.network = Network(room)
        try:
            self.database = Postgres(self.network, room / "database")
            self.store = Store(self.network, room / "objects")
            self.balancer = Balancer(self.network, room / "balancer")
        except BaseException:
            self.network.close()
            raise

    # -- what is there

    def url(self, kind: str = "tracking") -> str:
        """The balancer's address of a service: what clients are told."""
        return self.balancer.url(kind)

    @property
    def tracking(self) -> list[Replica]:
        """The replicas of `tracking` that run."""
        return self.replicas["tracking"]

    @property
    def serving(self) -> list[Replica]:
        """The replicas of `serving` that run."""
        return self.replicas["serving"]

    def client_environ(self) -> dict[str, str]:
        """What an MLflow client needs."""
        login = {"MLFLOW_TRACKING_USERNAME": ADMIN, "MLFLOW_TRACKING_PASSWORD": PASSWORDS[ADMIN]} if self.auth else {}
        return {"MLFLOW_TRACKING_URI": self.url(), **login}

    # -- jobs

    def migration(self) -> subprocess.Popen[str]:
        """The chart's migration Job, started and not waited for."""
        host = self.network.host("job")
        accounts = {
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS[ADMIN],
            "HOMEPORT_SERVING_PASSWORD": PASSWORDS["homeport-serving"],
            "HOMEPORT_TRAINING_PASSWORD": PASSWORDS["homeport-training"],
        }
        environ = self._environ("tracking") | (accounts if self.auth else {})
        return subprocess.Popen(
            host.command(sys.executable, "-m", "homeport.tracking.migrate"),
            env={**_inherited(), **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def migrate(self) -> str:
        """Run that Job; what it said."""
        job = self.migration()
        said, _ = job.communicate(timeout=180)
        assert job.returncode == 0, said
        return said

    # -- replicas

    def launch(self, kind: str, **environ: str) -> Replica:
        """One more replica, which gets no requests yet; not waited for."""
        self._numbers[kind] += 1
        host = self.network.host(f"{kind}-{self._numbers[kind]}")
        temporary = self.room / host.name
        temporary.mkdir()
        own = {"TMPDIR": str(temporary), "HOMEPORT_SERVING_CACHE": str(temporary / "cache")}
        given = self._environ(kind) | own | environ
        process = self.network.run(host, sys.executable, "-m", f"homeport.{kind}", environ=given)
        replica = Replica(kind, host, process, given)
        self.replicas[kind].append(replica)
        return replica

    def admit(self, replica: Replica, seconds: float = START_SECONDS) -> Replica:
        """Wait until it is ready, and let it have requests."""

        def ready() -> bool:
            assert replica.process.running, replica.process.said
            return replica.is_ready()

        eventually(ready, seconds, f"{replica.name} ready")
        self._tell(replica.kind)
        return replica

    def start(self, kind: str, **environ: str) -> Replica:
        """One more replica, once it is ready and gets requests."""
        return self.admit(self.launch(kind, **environ))

    def scale(self, kind: str, count: int) -> None:
        """So many replicas; those that leave are drained."""
        new = [self.launch(kind) for _ in range(count - len(self.replicas[kind]))]
        for replica in new:
            self.admit(replica)
        while len(self.replicas[kind]) > count:
            self.stop(self.replicas[kind][-1])

    def stop(self, replica: Replica) -> int:
        """A pod that is deleted: no new requests, the chart's pause, SIGTERM, the chart's grace; its exit code."""
        self.forget(replica)
        time.sleep(DRAIN_SECONDS)  # the chart's preStop is a sleep
        return replica.process.stop(GRACE_SECONDS[replica.kind])

    def roll(self, kind: str) -> None:
        """The Deployment's rolling update (maxSurge 1, maxUnavailable 0): every replica is replaced by a new one."""
        for old in tuple(self.replicas[kind]):
            self.start(kind)
            self.stop(old)

    def kill(self, replica: Replica) -> None:
        """kill -9 of all its processes; the balancer finds out by itself."""
        replica.process.kill()

    def cut(self, replica: Replica) -> None:
        """Its host's cable is out; nobody is told."""
        self.network.cut(replica.host)

    def heal(self, replica: Replica) -> None:
        """Its host's cable is in again."""
        self.network.heal(replica.host)

    def forget(self, replica: Replica) -> None:
        """Take it from the balancer for good, as an endpoints controller does."""
        self.replicas[replica.kind].remove(replica)
        self._tell(replica.kind)

    def _tell(self, kind: str) -> None:
        self.balancer.serve(kind, [replica.address for replica in self.replicas[kind]])

    def _environ(self, kind: str) -> dict[str, str]:
        environ = {
            **_COMMON,
            **self.store.environ(),
            "HOMEPORT_AUTH": "basic" if self.auth else "off",
            "HOMEPORT_LISTEN_PORT": str(PORTS[kind]),
            "HOMEPORT_WORKERS": "1",
        }
        if kind == "tracking":
            environ |= {
                "MLFLOW_BACKEND_STORE_URI": self.database.uri(),
                "HOMEPORT_THREADS": "24", "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "10",
                "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "40",
            }  # fmt: skip
        else:
            environ |= {
                "MLFLOW_TRACKING_URI": self.url(), "HOMEPORT_SERVE": "*@champion", "OMP_NUM_THREADS": "1",
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
                "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "OPENBLAS_NUM_THREADS": "1",
            }  # fmt: skip
            if self.auth:
                login = {
                    "MLFLOW_TRACKING_USERNAME": "homeport-serving",
                    "MLFLOW_TRACKING_PASSWORD": PASSWORDS["homeport-serving"],
                }
                environ |= {"HOMEPORT_SERVING_KEY": SERVING_KEY, **login}
        return environ | dict(self._more.get(kind, {}))

    def close(self) -> None:
        """End and remove everything."""
        self.database.close()
        self.network.close()


@contextlib.contextmanager
def cluster(
    room: Path,
    *,
    tracking: int = 3,
    serving: int = 0,
    auth: bool = False,
    environ: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Cluster]:
    """A platform of so many replicas, all of them ready, behind one balancer.

    Args:
        room: a directory for data and logs.
        tracking: replicas of `tracking`; with 0 not even the schema is made.
        serving: replicas of `serving`.
        auth: whether logins and the serving key are asked for.
        environ: added to each replica's environment, by kind.
    """
    made = Cluster(room, auth=auth, environ=environ)
    try:
        if tracking:
            made.migrate()
            made.scale("tracking", tracking)
        if serving:
            made.scale("serving", serving)
        yield made
    finally:
        made.close()


def at_once(*calls: object) -> list[object]:
    """Call them all at the same time; what each returned, or the first error."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls if callable(call)]]


def _inherited() -> dict[str, str]:
    import os

    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
