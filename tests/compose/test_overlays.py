"""Each overlay, whole and on the real engine: another database, another store, another gateway, kept predictions."""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homeport.services import images as tags
from tests.compose.project import PREFIX, Stack, docker, free_ports
from tests.e2e.harness import eventually

_PENGUIN = {"bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181.0, "body_mass_g": 3750.0}
_TYPE = "import mlflow; print(type(mlflow.pyfunc.load_model('models:/penguins@champion')).__name__)"
_OWNER = 12345


def _train(stack: Stack) -> None:
    """The reference training in its container, and the model served."""
    stack.composed("--profile", "training", "run", "--rm", "-T", "training")
    stack.serves("penguins", "1")


def _sql(stack: Stack, database: str, query: str) -> str:
    return stack.execute("database", "psql", "-h", "/var/run/postgresql", "-U", "mlflow", "-At", database, "-c", query)


def test_mariadb_holds_runs_and_models_and_phpmyadmin_answers_through_the_gateway(
    new_stack: Callable[..., Stack],
) -> None:
    stack = new_stack()
    stack.write(HOMEPORT_DATABASE="mariadb", COMPOSE_PROFILES="admin")
    stack.bring_up()
    stack.trust()
    _train(stack)
    count = (
        'mariadb -u"$MARIADB_USER" -p"$(cat /run/secrets/database-password)" "$MARIADB_DATABASE" -N '
        "-e \"select count(*) from registered_models where name='penguins'\""
    )
    assert stack.execute("database", "sh", "-c", count).strip() == "1"
    page = stack.call(f"https://db.localhost:{stack.https}/")
    assert page.status == 200
    assert b"phpMyAdmin" in page.body
    stack.composed("down")
    stack.bring_up()
    stack.serves("penguins", "1")


def test_shared_artifacts_are_written_by_clients_and_read_by_server_and_serving(
    new_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    for place in (shared, *shared.parents):
        if place.stat().st_uid == os.getuid() and str(place).startswith("/tmp/"):
            place.chmod(0o755)
    owner = _OWNER if os.getuid() == 0 else os.getuid()
    if os.getuid() == 0:
        os.chown(shared, owner, owner)
    stack = new_stack()
    stack.write(HOMEPORT_SHARED_ARTIFACTS=str(shared))
    assert f"HOMEPORT_UID={owner}" in (stack.home / ".env").read_text()
    stack.bring_up()
    stack.trust()
    assert "objectstore" not in stack.composed("ps", "--all", "--services").split()
    _train(stack)
    written = [path for path in shared.rglob("*") if path.is_file()]
    assert [path for path in written if path.name == "MLmodel"]
    assert {path.stat().st_uid for path in written} == {owner}
    source = (
        "import mlflow\n"
        "with mlflow.start_run() as run:\n"
        "    mlflow.log_text('from outside', 'note.txt')\n"
        "print('found', run.info.run_id, run.info.artifact_uri)\n"
    )
    said = stack.ok("run", "--", "python", "-W", "ignore", "-c", source).splitlines()
    run_id, uri = next(line.split()[1:] for line in said if line.startswith("found "))
    assert str(shared) in uri
    assert [path for path in shared.rglob("note.txt") if path.read_text() == "from outside"]
    assert [found["path"] for found in stack.api(f"artifacts/list?run_id={run_id}")["files"]] == ["note.txt"]


@pytest.fixture
def elsewhere(images: None) -> Iterator[dict[str, str]]:
    """A PostgreSQL and an S3 store of somebody else, which containers reach by an address of this machine."""
    address = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}").strip()
    database_port, store_port = free_ports(2)
    key, password = secrets.token_hex(10), secrets.token_urlsafe(12)
    names = [f"{PREFIX}-elsewhere-{secrets.token_hex(3)}" for _ in range(2)]
    docker(
        "run", "--detach", "--name", names[0], "-p", f"{address}:{database_port}:5432", "-e", "POSTGRES_USER=site",
        "-e", f"POSTGRES_PASSWORD={password}", "-e", "POSTGRES_DB=site", "--user=999:999",
        tags.POSTGRES,
    )  # fmt: skip
    docker(
        "run", "--detach", "--name", names[1], "-p", f"{address}:{store_port}:8333", "-e", f"AWS_ACCESS_KEY_ID={key}",
        "-e", f"AWS_SECRET_ACCESS_KEY={password}", "--entrypoint", "weed", tags.SEAWEEDFS,
        "mini", "-dir=/data", "-ip=127.0.0.1", "-ip.bind=0.0.0.0", "-s3.port=8333", "-s3.autoCreateBucket=false",
    )  # fmt: skip
    try:
        for port in (database_port, store_port):
            eventually(lambda port=port: _answers(address, port), 60, f"port {port}")  # type: ignore[misc]
        yield {
            "uri": f"postgresql://site:{password}@{address}:{database_port}/site",
            "s3": f"http://{address}:{store_port}",
            "key": key,
            "password": password,
        }
    finally:
        docker("rm", "--force", "--volumes", *names)


def _answers(address: str, port: int) -> bool:
    with socket.create_connection((address, port), timeout=1):
        return True


def test_database_and_store_elsewhere_are_used_and_none_is_started(
    new_stack: Callable[..., Stack], elsewhere: dict[str, str]
) -> None:
    stack = new_stack()
    stack.write(
        MLFLOW_BACKEND_STORE_URI=elsewhere["uri"],
        MLFLOW_S3_ENDPOINT_URL=elsewhere["s3"],
        AWS_ACCESS_KEY_ID=elsewhere["key"],
        AWS_SECRET_ACCESS_KEY=elsewhere["password"],
    )
    stack.bring_up()
    stack.trust()
    assert {"database", "objectstore"}.isdisjoint(stack.composed("ps", "--all", "--services").split())
    _train(stack)
    assert stack.ok("run", "--", "python", "-W", "ignore", "-c", _TYPE, timeout=90).split() == ["PyFuncModel"]
    assert elsewhere["password"] not in docker("container", "inspect", *stack.ids())


@pytest.fixture
def site_traefik(images: None) -> Iterator[tuple[str, int]]:
    """A Traefik of the site, which finds services by their labels: its network and its HTTPS port."""
    name = f"{PREFIX}-site-{secrets.token_hex(3)}"
    (port,) = free_ports(1)
    docker("network", "create", name)
    docker(
        "run", "--detach", "--name", name, "--network", name, "-p", f"127.0.0.1:{port}:8443", "--user", "0",
        "-v", "/var/run/docker.sock:/var/run/docker.sock:ro", "--entrypoint", "traefik", tags.TRAEFIK,
        "--providers.docker=true", "--providers.docker.exposedbydefault=false",
        f"--providers.docker.network={name}", "--entrypoints.websecure.address=:8443",
        "--entrypoints.websecure.http.tls=true",
    )  # fmt: skip
    try:
        yield name, port
    finally:
        docker("rm", "--force", name)
        docker("network", "rm", name)


def test_a_traefik_of_the_site_finds_both_services_by_their_labels(
    new_stack: Callable[..., Stack], site_traefik: tuple[str, int]
) -> None:
    network, port = site_traefik
    stack = new_stack()
    stack.write(DOMAIN="ml.example.org", HOMEPORT_GATEWAY="external", HOMEPORT_GATEWAY_NETWORK=network)
    try:
        stack.bring_up()
        assert "gateway" not in stack.composed("ps", "--all", "--services").split()
        login = stack.basic()
        eventually(
            lambda: _status(port, "mlflow.ml.example.org", "/version", login) == 200, 60, "tracking by its label"
        )
        key = {"authorization": f"Bearer {stack.secret('serving-key')}"}
        eventually(lambda: _status(port, "models.ml.example.org", "/v2", key) == 200, 60, "serving by its label")
        assert _status(port, "mlflow.ml.example.org", "/version", {}) == 401
        assert _status(port, "models.ml.example.org", "/v2", {}) == 401
        assert _status(port, "database.ml.example.org", "/", login) == 404
        reached = docker("network", "inspect", network, "--format", "{{range .Containers}}{{.Name}} {{end}}").split()
        parts = {name.removeprefix(f"{stack.project}-").rsplit("-", 1)[0] for name in reached if name != network}
        assert parts == {"tracking", "serving"}
    finally:
        stack.close()  # its containers leave the site's network before that goes


def _status(port: int, host: str, path: str, headers: dict[str, str]) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the site's certificate is the site's matter
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
    try:
        connection.request("GET", path, headers={"host": host, **headers})
        return connection.getresponse().status
    finally:
        connection.close()


def test_kept_predictions_are_in_a_database_of_their_own(new_stack: Callable[..., Stack]) -> None:
    stack = new_stack()
    stack.write(HOMEPORT_PREDICTION_LOG="1.0")
    stack.bring_up()
    stack.trust()
    _train(stack)
    row = {**_PENGUIN, "island": "Torgersen", "sex": "male", "year": 2007}
    wanted = {found["name"] for found in stack.serving("/v2/models/penguins").json["inputs"]}
    body = {"dataframe_records": [{name: row[name] for name in wanted}]}
    assert stack.serving("/invocations", body).status == 200
    count = "select count(*) from prediction"
    eventually(lambda: _sql(stack, "homeport", count).strip() == "1", 60, "the prediction kept")
    mounts = {mount["Destination"] for mount in stack.inspect("serving")["Mounts"]}
    assert "/run/secrets/database-password" not in mounts
