"""A servable in this process: a `Scorer` that speaks both protocols."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from homeport.serving.scoring.scorer import UNWRAPPED, Scorer
from homeport.serving.servable import Description, Dialect, Question, Reply, Request


class Local:
    """One model version, loaded into this process; a `Servable`.

    Args:
        scorer: the loaded model.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    @classmethod
    def load(cls, path: Path, *, name: str, version: str, run_id: str = "", model_id: str = "") -> Local:
        """Load a model from a directory.

        Raises:
            HomeportError: MODEL_NOT_LOADED.
        """
        return cls(Scorer.load(path, name=name, version=version, run_id=run_id, model_id=model_id))

    @property
    def description(self) -> Description:
        """What is known about it."""
        return self.scorer.description

    @property
    def inline(self) -> bool:
        """Whether one row is predicted so fast that a thread would cost more than it gives."""
        return self.scorer.inline

    @property
    def coalesces(self) -> bool:
        """Whether predicting several waiting requests together is proven equal and faster."""
        return self.scorer.coalesces

    def seconds(self, rows: int) -> float:
        """What predicting that many rows costs, from measurements at load."""
        return self.scorer.seconds(rows)

    def parse(self, request: Request) -> Question:
        """Read a request; raises Refusal (4xx)."""
        if request.dialect is Dialect.MLFLOW:
            return self.scorer.parse(request.content_type, request.body, strict=request.strict)
        from homeport.serving import oip

        return oip.parse(self.scorer, request)

    def predict(self, questions: Sequence[Question]) -> list[Any]:
        """Predict; raises Refusal when the model fails."""
        return self.scorer.predict(questions)

    def encode(self, request: Request, question: Question, prediction: Any) -> Reply:  # noqa: ANN401 - any model's answer
        """Write the answer in the request's protocol."""
        if request.dialect is Dialect.MLFLOW:
            return Reply(self.scorer.encode(prediction, wrapped=question.context is not UNWRAPPED))
        from homeport.serving import oip

        return oip.encode(self.scorer.description, question, prediction)

    def close(self) -> None:
        """Free the model."""
        self.scorer.close()
