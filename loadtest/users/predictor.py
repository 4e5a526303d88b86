"""Somebody who asks for predictions: one random row a request, as the published example does it."""

from __future__ import annotations

import math
import random
from typing import Any

from locust import task

from loadtest.users.session import PLAN, TEST, Client, serving_headers, total

# (version, row) -> what it was answered first: the same row must be answered the same.
_ANSWERS: dict[tuple[str, int], float] = {}


class Predictor(Client):
    """Asks the served model about one row."""

    abstract = not PLAN.wants("predictor")
    weight = max(1, total("predictor"))
    host = PLAN.serving
    default_headers = serving_headers()

    @task
    def predict(self) -> None:
        """One row."""
        number = random.randrange(len(TEST.rows))  # noqa: S311 - nothing secret
        body = {"dataframe_split": {"columns": list(TEST.columns), "data": [TEST.rows[number]]}}
        path = f"/models/{TEST.model}/invocations"
        self.call("predictor predict", "POST", path, lambda said: self._wrong(said, number), body)

    def _wrong(self, said: Any, number: int) -> str | None:
        version = self.answered.get("x-model-version", "")
        predictions = said["predictions"]
        if len(predictions) != 1:
            return f"{len(predictions)} predictions for one row"
        found = predictions[0]
        if isinstance(found, float | int) and not math.isfinite(found):
            return "a prediction that is not finite"
        return None if found == _ANSWERS.setdefault((version, number), found) else "another prediction for the same row"
