"""A servable for these tests: any MLflow model by pyfunc, one JSON number in and one out."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from homeport.serving.refusal import Refusal
from homeport.serving.servable import Description, Question, Reply, Request


class Linear:
    """Predicts for one number at a time."""

    inline, coalesces = True, False

    def __init__(self, model: Any, description: Description) -> None:
        self._model = model
        self.description = description
        self.closed = False

    @classmethod
    def load(cls, path: Path, *, name: str, version: str, run_id: str = "", model_id: str = "") -> Linear:
        import mlflow.pyfunc

        model = mlflow.pyfunc.load_model(str(path))
        model.predict([[1.0]])  # the warm-up
        flavors = tuple(model.metadata.flavors)
        return cls(model, Description(name, version, run_id=run_id, model_id=model_id, flavors=flavors))

    def parse(self, request: Request) -> Question:
        if request.body == b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return Question([[float(json.loads(request.body))]], None, 1)
        except ValueError as error:
            raise Refusal(400, "BAD_REQUEST", "must be a number", {"X-Test": "yes"}) from error

    def predict(self, questions: Sequence[Question]) -> list[Any]:
        return [float(self._model.predict(question.data)[0]) for question in questions]

    def encode(self, request: Request, question: Question, prediction: Any) -> Reply:
        return Reply(json.dumps(prediction).encode())

    def close(self) -> None:
        self.closed = True
