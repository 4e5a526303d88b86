"""An artifacts room under test as a process of its own, and raw requests to it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import requests

from tests.programs.database.programs import Program, eventually, free_port
from tests.programs.objectstore.store import ACCESS, SECRET, Store

BUCKET, PREFIX = "mlflow", "some/prefix é"
ROUTE = "/api/2.0/mlflow-artifacts/artifacts/"
MIB = 2**20
PART = 8 * MIB


def settings(endpoint: str, prefix: str = PREFIX) -> dict[str, str]:
    """What the tracking server is told of its store."""
    return {
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/{prefix}" if prefix else f"s3://{BUCKET}",
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }


class Room:
    """The room over a store."""

    def __init__(self, store: Store, place: Path) -> None:
        self.port = free_port()
        self._place = place
        self._env = settings(store.endpoint) | {"HOMEPORT_LISTEN_PORT": str(self.port)}
        self.program: Program

    def start(self) -> None:
        """Wait until it listens."""
        self.program = Program("tests.programs.tracking.artifacts.served", self._env, self._place)
        eventually(self._listens)

    def _listens(self) -> bool:
        assert self.program.process.poll() is None, self.program.said
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def url(self, name: str) -> str:
        """The artifact's address."""
        return f"http://127.0.0.1:{self.port}{ROUTE}{quote(name)}"

    def put(self, name: str, body: object) -> requests.Response:
        """An upload: bytes with their length, an iterator in chunks."""
        return requests.put(self.url(name), data=body, timeout=60)  # type: ignore[arg-type]  # requests takes both

    def get(self, name: str, **headers: str) -> requests.Response:
        """A download, whole."""
        return requests.get(
            self.url(name), headers={title.replace("_", "-"): value for title, value in headers.items()}, timeout=60
        )

    def raw(self, head: bytes) -> socket.socket:
        """A connection on which this was sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(head)
        return connection


def key(name: str) -> str:
    """What the store calls the artifact."""
    return f"{PREFIX}/{name}"


def stored(store: Store, name: str) -> bytes | None:
    """The object, asked of the store itself."""
    try:
        return store.client().get_object(Bucket=BUCKET, Key=key(name))["Body"].read()
    except store.client().exceptions.NoSuchKey:
        return None


def halves(store: Store) -> list[str]:
    """What is left of uploads that did not end."""
    temporary = [str(path) for path in store.data.rglob(".rclone_temp_*")]
    try:
        under_way = store.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    except store.client().exceptions.NoSuchUpload:  # the embedded store's word for none yet
        return temporary
    return [one["Key"] for one in under_way] + temporary


def chunks(body: bytes, size: int = 100_000) -> Iterator[bytes]:
    """The body in pieces, for an upload whose length is not said."""
    return (body[start : start + size] for start in range(0, len(body), size))
