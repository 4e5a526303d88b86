"""What replicas stand on, each on a host of its own: PostgreSQL with a standby, the object store, the load balancer.

Real programs with the settings that the chart's neighbours have. Refuses to know replicas.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg2
import requests

from homeport.database.binaries import find_binaries
from homeport.objectstore import server as store
from tests.e2e.harness import eventually
from tests.programs.gateway.traefik import program as traefik_program
from tests.replicas.network import Host, Network, Process

ACCESS, SECRET, BUCKET = "AKIAHOMEPORT", "secret-of-the-store", "mlflow"
PASSWORD = "password-of-the-database"
_DATABASE, _STORE, _BALANCER = 10, 20, 2  # last numbers of addresses
DATABASE_USER = "nobody"  # PostgreSQL refuses to run as root
_PORT, _NAME = 5432, "database"
# HTTP_PORTS of the chart's Services, which the balancer stands for
PORTS = {"tracking": 5000, "serving": 5002}


class Postgres:
    """A primary, and a streaming standby on demand; clients know one name."""

    def __init__(self, network: Network, directory: Path) -> None:
        self._network, self._directory = network, directory
        self._bin = find_binaries()
        self.address = network.address(_DATABASE)
        self.primary = network.host("database-0")
        self.standby: Host | None = None
        self._processes: dict[str, Process] = {}
        network.move(self.address, None, self.primary)
        network.resolve(_NAME, self.address)
        self._make(self._cluster(self.primary))
        self._start(self.primary)

    def uri(self, database: str = "mlflow", host: str = "") -> str:
        """As MLflow is told; programs outside of the hosts, which do not know the name, are told `address`."""
        return f"postgresql+psycopg2://mlflow:{PASSWORD}@{host or _NAME}:{_PORT}/{database}"

    def connect(self, database: str = "mlflow") -> Any:
        """A connection from here, in autocommit mode."""
        connection = psycopg2.connect(
            host=self.address, port=_PORT, user="mlflow", password=PASSWORD, dbname=database, connect_timeout=3
        )
        connection.autocommit = True
        return connection

    def ask(self, statement: str, *values: object, database: str = "mlflow") -> list[tuple[Any, ...]]:
        """The rows of one statement, committed."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def follow(self) -> None:
        """Start a standby; from then on a commit is acknowledged only when the standby has it on its disk."""
        self.standby = self._network.host("database-1")
        cluster = self._cluster(self.standby)
        copied = subprocess.run(
            self._as_user(
                self.standby.command(), str(self._bin / "pg_basebackup"), "-h", self.address, "-U", "mlflow", "-D",
                str(cluster), "-R", "-X", "stream", "-c", "fast",
            ), env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert copied.returncode == 0, copied.stderr
        self._start(self.standby)
        self.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.ask("SELECT pg_reload_conf()")
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        eventually(lambda: self.ask(streaming)[0][0] == 1, 30, "the standby follows")

    def lose_primary(self) -> None:
        """The primary's host is gone from one moment to the next: nobody is told, and no connection is closed."""
        self._network.cut(self.primary)
        self._processes[self.primary.name].stop(30, signal.SIGQUIT)  # nothing is finished or written any more

    def promote(self, *, by: str) -> None:
        """The standby becomes the primary; clients find it `by` the same "address", or by the "name" alone.

        Where the address moves, its new host refuses what was said to the old one. Where the name does, as a cloud's
        does, what was said to the old address is never answered.
        """
        assert self.standby is not None
        before, self.primary, self.standby = self.primary, self.standby, None
        control = self._as_user([], str(self._bin / "pg_ctl"), "promote", "-w", "-D", str(self._cluster(self.primary)))
        done = subprocess.run(control, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if by == "address":
            self._network.move(self.address, before, self.primary)
        else:
            self.address = self.primary.address
            self._network.resolve(_NAME, self.address)
        self.ask("ALTER SYSTEM RESET synchronous_standby_names")
        self.ask("SELECT pg_reload_conf()")

    def stop(self) -> None:
        """End it as an operator would: sessions are told."""
        self._processes[self.primary.name].stop(30, signal.SIGINT)

    def start(self) -> None:
        """The primary again."""
        self._start(self.primary)

    def close(self) -> None:
        """End all of it at once; killed, it would leave its memory behind, which has a name on this machine."""
        for process in self._processes.values():
            if process.running:
                process.stop(30, signal.SIGQUIT)

    def _cluster(self, host: Host) -> Path:
        return self._directory / host.name

    def _as_user(self, prefix: Sequence[str], *words: str) -> list[str]:
        account = pwd.getpwnam(DATABASE_USER)
        ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        return [*prefix, "setpriv", *ids, *words]

    def _make(self, cluster: Path) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        shutil.chown(self._directory, DATABASE_USER)
        secret = self._directory / "password"
        secret.write_text(PASSWORD)
        shutil.chown(secret, DATABASE_USER)
        made = subprocess.run(
            self._as_user([], str(self._bin / "initdb"), "-D", str(cluster), "-U", "mlflow", "--auth=scram-sha-256",
                          f"--pwfile={secret}", "-E", "UTF8", "--locale=C", "--no-sync"),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        with (cluster / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 0.0.0.0/0 scram-sha-256\nhost replication all 0.0.0.0/0 scram-sha-256\n")
        with (cluster / "postgresql.conf").open("a") as settings:
            settings.write(
                "listen_addresses = '*'\nmax_connections = 300\nunix_socket_directories = ''\nwal_level = replica\n"
                "wal_sender_timeout = 5s\nmax_wal_size = 256MB\nwal_keep_size = 64MB\n"
            )

    def _start(self, host: Host) -> None:
        words = self._as_user([], str(self._bin / "postgres"), "-D", str(self._cluster(host)))
        process = self._processes[host.name] = self._network.run(host, *words, environ={})
        check = [*host.command(), str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1"]
        eventually(lambda: self._up(process, check), 60, "PostgreSQL up")
        database = "SELECT 1 FROM pg_database WHERE datname = 'mlflow'"
        if host is self.primary and not self.ask(database, database="postgres"):
            self.ask("CREATE DATABASE mlflow", database="postgres")

    @staticmethod
    def _up(process: Process, check: Sequence[str]) -> bool:
        assert process.running, process.said
        return subprocess.run(check, check=False).returncode == 0


class Store:
    """The embedded object store, listening to the network."""

    def __init__(self, network: Network, directory: Path) -> None:
        self.host = network.host("objectstore", _STORE)
        self.endpoint = f"http://{self.host.address}:8333"
        (directory / BUCKET).mkdir(parents=True)
        config = store.StoreConfig(directory, self.host.address, 8333, ACCESS, SECRET)
        binary = store.find_binary()
        environ = store.environment(config, {"PATH": os.environ["PATH"]})
        process = network.run(self.host, *store.command(binary, config), environ=environ)

        def up() -> bool:
            assert process.running, process.said
            return requests.get(self.endpoint, timeout=3).status_code > 0

        eventually(up, 30, "the object store up")

    def environ(self) -> Mapping[str, str]:
        """What its clients need."""
        return {
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}",
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            "HOMEPORT_PRESIGNED_URLS": "false",
        }


_STATIC = """
global: {{checkNewVersion: false, sendAnonymousUsage: false}}
log: {{level: INFO}}
accessLog: {{filePath: {room}/access.log}}
entryPoints:
  tracking: {{address: ":5000"}}
  serving: {{address: ":5002"}}
  internal: {{address: ":8082"}}
ping: {{entryPoint: internal}}
metrics: {{prometheus: {{entryPoint: internal}}}}
providers:
  file: {{directory: {room}/routes, watch: true}}
"""


class Balancer:
    """Traefik with two entry points, one a service; told its servers by a file, as an ingress controller is by the API.

    It asks each server what the chart's readiness probe asks, as often. A connection that cannot be made is tried with
    another server; a request that was written is not.
    """

    def __init__(self, network: Network, room: Path) -> None:
        self._room = room
        (room / "routes").mkdir(parents=True)
        (room / "static.yaml").write_text(_STATIC.format(room=room))
        self.host = network.host("balancer", _BALANCER)
        self._servers: dict[str, tuple[str, ...]] = dict.fromkeys(PORTS, ())
        self._write()
        words = (traefik_program(), f"--configFile={room}/static.yaml")
        self.process = network.run(self.host, *words, environ={})
        ping = f"http://{self.host.address}:8082/ping"
        eventually(lambda: requests.get(ping, timeout=3).ok, 30, "the balancer up")

    def url(self, name: str) -> str:
        """Where clients of a service go."""
        return f"http://{self.host.address}:{PORTS[name]}"

    def serve(self, name: str, addresses: Sequence[str], patience: float = 10.0) -> None:
        """Change a service's servers, and wait until the balancer has them and has found those up that are."""
        self._servers[name] = tuple(addresses)
        self._write()
        wanted = {f"http://{address}:{PORTS[name]}" for address in addresses}
        eventually(lambda: self._known(name) == wanted, patience, f"the balancer knows {wanted}")

    def up(self, name: str) -> set[str]:
        """Addresses of a service's servers that the balancer sends requests to."""
        found = requests.get(f"http://{self.host.address}:8082/metrics", timeout=5).text
        lines = [line for line in found.splitlines() if line.startswith("traefik_service_server_up{")]
        mine = [line for line in lines if f'service="{name}@file"' in line and line.endswith(" 1")]
        return {line.split('url="http://')[1].split(":")[0] for line in mine}

    def _known(self, name: str) -> set[str]:
        found = requests.get(f"http://{self.host.address}:8082/metrics", timeout=5).text
        lines = [line for line in found.splitlines() if line.startswith("traefik_service_server_up{")]
        return {line.split('url="')[1].split('"')[0] for line in lines if f'service="{name}@file"' in line}

    def _write(self) -> None:
        routers, services = {}, {}
        for name, addresses in self._servers.items():
            if not addresses:
                continue
            routers[name] = {
                "rule": "PathPrefix(`/`)", "entryPoints": [name], "service": name, "middlewares": ["again"],
            }  # fmt: skip
            services[name] = {
                "loadBalancer": {
                    "servers": [{"url": f"http://{address}:{PORTS[name]}"} for address in addresses],
                    "healthCheck": {"path": "/ready", "interval": "2s", "timeout": "2s"},
                    "serversTransport": "quick",
                    "passHostHeader": True,
                }
            }
        transports = {"quick": {"forwardingTimeouts": {"dialTimeout": "1s"}, "maxIdleConnsPerHost": 200}}
        http: dict[str, Any] = {"serversTransports": transports}
        if routers:
            http |= {"routers": routers, "services": services, "middlewares": {"again": {"retry": {"attempts": 3}}}}
        half = self._room / "half"
        half.write_text(json.dumps({"http": http}))  # YAML can be JSON
        half.replace(self._room / "routes" / "routes.yaml")
