"""server-info: what clients ask before anything else (mlflow 3.17.2, server/handlers.py `build_server_info_payload`).

It tells how the server is set up, which does not change while it runs. Known here for artifacts in a directory or in
S3; for others MLflow is asked once. Refuses to know what the lane does.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import orjson

from homeport.tracking import private_store
from homeport.tracking.front.call import Answer, Call
from homeport.tracking.front.private import Private

PATH = "/api/3.0/mlflow/server-info"
# Whether upstream's repository for the scheme takes uploads in parts, and gives downloads in parts.
_PARTS = {"": (False, False), "file": (False, False), "s3": (True, True)}
_TRUE = {"true", "1"}


class About:
    """Answers server-info.

    Args:
        private: MLflow.
        environ: what MLflow is told.
    """

    def __init__(self, private: Private, environ: Mapping[str, str]) -> None:
        self._private = private
        self._answer = _known(environ)

    async def get(self, call: Call) -> Answer | None:
        """The server's features."""
        if self._answer is None:
            try:
                reply = await self._private.ask(PATH)
            except (OSError, TimeoutError):
                return None
            if reply.status != 200:  # noqa: PLR2004
                return None
            self._answer = Answer(reply.body)
        return self._answer


def _known(environ: Mapping[str, str]) -> Answer | None:
    proxied = environ.get("_MLFLOW_SERVER_SERVE_ARTIFACTS", "false") == "true"
    destination = environ.get("_MLFLOW_SERVER_ARTIFACT_DESTINATION", "")
    offered = proxied and not private_store.hidden(environ)
    parts = _PARTS.get(urlsplit(destination).scheme) if offered else (False, False)
    gateway = environ.get("MLFLOW_ENABLE_AI_GATEWAY", "true").lower()
    if parts is None or gateway not in _TRUE | {"false", "0"}:
        return None
    said = {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": parts[0],
        "multipart_downloads_enabled": parts[1],
        "presigned_upload_run_id_supported": True,
        "presigned_upload_model_id_supported": True,
        "features_enabled": {"gateway": gateway in _TRUE},
    }
    return Answer(orjson.dumps(said))
