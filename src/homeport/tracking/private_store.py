"""A store that only the server reaches: clients get artifacts through the server and are offered no address of it.

MLflow 3.17 offers presigned URLs to every client as soon as artifacts are in S3, with the endpoint as the server knows
it; where that is a name in a private network, each download waits for minutes and fails (server/handlers.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

VARIABLE, PUBLIC = "HOMEPORT_PRESIGNED_URLS", "HOMEPORT_S3_PUBLIC_ENDPOINT"
NAMES = ("MultipartDownloadMixin", "MultipartUploadMixin", "PresignedUploadMixin")


def hidden(environ: Mapping[str, str]) -> bool:
    """Whether clients are offered no address: `HOMEPORT_PRESIGNED_URLS` is `false`, and there is no public one."""
    return environ.get(VARIABLE, "").strip().lower() == "false" and not environ.get(PUBLIC, "").strip()


class _Nothing:
    """No repository is one of these, so none is said to be able to hand out addresses."""


def apply(environ: Mapping[str, str] | None = None) -> bool:
    """Keep the store's address to ourselves where that is wanted; whether that was done."""
    if not hidden(os.environ if environ is None else environ):
        return False
    from mlflow.server import handlers

    for name in NAMES:
        assert hasattr(handlers, name), f"mlflow.server.handlers has no {name} any more"
        setattr(handlers, name, _Nothing)
    return True
