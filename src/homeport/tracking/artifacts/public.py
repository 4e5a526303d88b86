"""Presigned URLs with the address at which clients reach the store, which is often not the one the server uses.

Signing asks nobody: the server talks to MLFLOW_S3_ENDPOINT_URL and signs for HOMEPORT_S3_PUBLIC_ENDPOINT. Runs in the
private MLflow (3.17.2, store/artifact/s3_artifact_repo.py); refuses to know whether clients get there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from homeport.errors import ExitCode, HomeportError
from homeport.tracking import private_store

VARIABLE = private_store.PUBLIC


def endpoint_of(environ: Mapping[str, str]) -> str:
    """The public endpoint; empty where there is none.

    Raises:
        HomeportError: PUBLIC_ENDPOINT_INVALID.
    """
    endpoint = environ.get(VARIABLE, "").strip()
    if not endpoint:
        return ""
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise HomeportError(
            code="PUBLIC_ENDPOINT_INVALID",
            what=f"{VARIABLE} is no address of an S3 store",
            evidence=(("needed", "https://host or https://host:port"), ("found", endpoint)),
            why="clients would be sent to it",
            fix=f"set it as clients see the store, or leave {VARIABLE} empty",
            exit_code=ExitCode.USAGE,
        )
    return endpoint


def apply(environ: Mapping[str, str] | None = None) -> bool:
    """Sign for the public endpoint where one is set; whether that was done.

    Raises:
        HomeportError: PUBLIC_ENDPOINT_INVALID.
    """
    endpoint = endpoint_of(os.environ if environ is None else environ)
    if not endpoint:
        return False
    from mlflow.store.artifact import s3_artifact_repo

    made = s3_artifact_repo._cached_get_s3_client.__wrapped__

    @lru_cache(maxsize=64)  # as upstream's
    def client(version: str, style: str, server: str | None, *more: object, **keys: object) -> object:
        asking = made(version, style, server, *more, **keys)
        if server == s3_artifact_repo.MLFLOW_S3_ENDPOINT_URL.get():  # not a store of somebody else's
            asking.generate_presigned_url = made(version, style, endpoint, *more, **keys).generate_presigned_url
        return asking

    s3_artifact_repo._cached_get_s3_client = client
    return True
