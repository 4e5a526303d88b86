"""A store that only the server reaches: clients get artifacts through the server and are offered no address of it.

MLflow 3.17 offers presigned URLs to every client as soon as artifacts are in S3, with the endpoint as the server knows
it; where that is a name in a private network, each download waits for minutes and fails (server/handlers.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

VARIABLE = "HOMEPORT_PRESIGNED_URLS"
NAMES = ("MultipartDownloadMixin", "MultipartUploadMixin", "PresignedUploadMixin")


class _Nothing:
    """No repository is one of these, so none is said to be able to hand out addresses."""


def apply(environ: Mapping[str, str] | None = None) -> bool:
    """Keep the store's address to ourselves where `HOMEPORT_PRESIGNED_URLS` is `false`; whether that was done."""
    if (os.environ if environ is None else environ).get(VARIABLE, "").strip().lower() != "false":
        return False
    from mlflow.server import handlers

    for name in NAMES:
        assert hasattr(handlers, name), f"mlflow.server.handlers has no {name} any more"
        setattr(handlers, name, _Nothing)
    return True
