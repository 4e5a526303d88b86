"""What the tests here say to a prediction log: addresses, predictions, rows."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from homeport.serving.feedback.log import Prediction
from homeport.serving.servable import Dialect, Request
from tests.programs.database.server import PASSWORD, Server


def admin_uri(server: Server, database: str = "mlflow", *, user: str = "mlflow", password: str = PASSWORD) -> str:
    return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{server.port}/{database}"


def prediction(
    request_id: str,
    rows: Sequence[Mapping[str, Any]] | None = None,
    answers: list[Any] | None = None,
    *,
    model: str = "wine",
    version: str = "1",
    at: float | None = None,
) -> Prediction:
    rows = [{"x": 1.5}] if rows is None else rows
    body = json.dumps({"dataframe_records": rows}).encode()
    answer = json.dumps({"predictions": [0.5] * len(rows) if answers is None else answers}).encode()
    request = Request(Dialect.MLFLOW, "application/json", body)
    return Prediction(request_id, time.time() if at is None else at, model, version, request, answer)
