"""Asks a tracking server, near or far, what it says of itself. Without MLflow, so that it is instant."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

_SECONDS = 10


def ready(uri: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """What it says at `/ready`, ready or not; empty for a server that has no such page.

    Raises:
        OSError: it does not answer.
    """
    try:
        answer = ask(f"{uri.rstrip('/')}/ready", environ)
    except HTTPError as error:  # not ready, or a stock server
        with error:
            try:
                answer = json.load(error)
            except ValueError:
                return {}
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def ask(url: str, environ: Mapping[str, str], body: bytes | None = None) -> Any:  # noqa: ANN401 - JSON
    """The JSON it answers; POST where there is a body.

    Raises:
        OSError: it does not answer, or not well (HTTPError).
        ValueError: no HTTP address, or no JSON.
    """
    headers = {"Content-Type": "application/json"}
    if name := environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{name}:{environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError("no HTTP address")
    authority = environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or environ.get("REQUESTS_CA_BUNDLE") or None
    context = ssl.create_default_context(cafile=authority) if url.startswith("https") else None
    request = Request(url, data=body, headers=headers)  # noqa: S310 - checked above
    with urlopen(request, timeout=_SECONDS, context=context) as answer:  # noqa: S310 - as above
        return json.load(answer)
