"""Somebody who stores files: uploads one through the server, downloads it, compares, deletes it."""

from __future__ import annotations

import os
import time
import uuid
from hashlib import sha256
from typing import Any

from locust import task

from loadtest.users.session import API, PLAN, TEST, Client, nothing, total, tracking_headers

ROUTE = "/api/2.0/mlflow-artifacts/artifacts"
SCHEME = "mlflow-artifacts:/"
_BLOB = os.urandom(PLAN.artifact_bytes if PLAN.wants("artifacts") else 0)


class Artifacts(Client):
    """Moves one file of the plan's size after the other, below a run of its own."""

    abstract = not PLAN.wants("artifacts")
    weight = max(1, total("artifacts"))
    host = PLAN.tracking
    default_headers = tracking_headers()
    place = ""

    @task
    def store(self) -> None:
        """There and back."""
        if not self.place and not self._begin():
            return
        body = uuid.uuid4().bytes + _BLOB[16:]  # no store can know it already
        path = f"{ROUTE}/{self.place}/load/{uuid.uuid4().hex}.bin"
        if not self._move("artifacts upload", "PUT", path, data=body):
            return
        self.pause()
        self._move("artifacts download", "GET", path, digest=sha256(body).digest())
        self.call("artifacts delete", "DELETE", path, nothing)

    def _begin(self) -> bool:
        made = self.call("artifacts create-run", "POST", f"{API}/runs/create", _through_server, {
            "experiment_id": TEST.experiment_id, "run_name": "load artifacts", "start_time": int(time.time() * 1000),
        })  # fmt: skip
        if made is not None:
            self.place = made["run"]["info"]["artifact_uri"].removeprefix(SCHEME).strip("/")
        return made is not None

    def _move(self, kind: str, method: str, path: str, data: bytes | None = None, digest: bytes | None = None) -> bool:
        with self.client.request(
            method, path, name=kind, catch_response=True,
            data=data,  # type: ignore[arg-type] # bytes are sent as they are
            headers={"Content-Type": "application/octet-stream", "Accept-Encoding": "identity"},
        ) as answer:  # fmt: skip
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}" if answer.status_code else f"no answer: {answer.error!r}")
            elif digest is not None and sha256(answer.content or b"").digest() != digest:
                answer.failure("other bytes than were uploaded")
            else:
                answer.success()
                return True
        return False


def _through_server(said: Any) -> str | None:
    uri = said["run"]["info"]["artifact_uri"]
    return None if uri.startswith(SCHEME) else f"artifacts do not go through the server: {uri.partition(':')[0]}"
