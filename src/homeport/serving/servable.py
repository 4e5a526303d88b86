"""The seam between the server and a model: bytes in, bytes out, in three steps that the server may spread over time.

`parse` and `encode` are short and run on the event loop; `predict` may take long and may run in a thread. The server
knows models only by this; a model knows nothing of HTTP servers, admission or the registry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class Dialect(StrEnum):
    """The two protocols a request can speak."""

    MLFLOW = "mlflow"
    OIP = "oip"


@dataclass(frozen=True, slots=True)
class Request:
    """One request's body and what is needed to read it.

    Args:
        dialect: the protocol of the path it came by.
        content_type: the Content-Type header as sent, None without one.
        body: the whole body.
        headers: lower-case header names -> values, as far as the protocol needs them (Inference-Header-Content-Length).
        strict: refuse casts that lose information instead of doing what upstream does.
    """

    dialect: Dialect
    content_type: str | None
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False


@dataclass(slots=True)
class Question:
    """What a model is asked, in the form its predictor takes.

    Args:
        data: float array of shape [rows, columns] in the signature's order when `matrix`; else what pyfunc takes.
        params: MLflow's inference parameters.
        rows: number of rows, 0 when it cannot be said.
        matrix: whether `data` is that array.
        context: what the protocol's answer needs (OIP: the id and the outputs asked for).
    """

    data: Any
    params: dict[str, Any] | None
    rows: int
    matrix: bool = False
    context: Any = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer's body and the headers that only the protocol knows."""

    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Description:
    """What is known about a loaded model version; plain data, JSON-able, the same from an isolated process.

    Args:
        name: registered model.
        version: its version.
        run_id: the run that logged it, empty when unknown.
        model_id: the logged model, empty when unknown.
        flavors: MLmodel's flavors, for example ("xgboost", "python_function").
        predictor: what answers: "compiled trees", "xgboost", "lightgbm", "sklearn", "pyfunc".
        why: why not a faster predictor; empty when nothing was refused.
        isolated: whether it runs in a process of its own.
        signature: MLmodel's signature: {"inputs": [...], "outputs": [...], "params": [...]}, each a list or None.
        example: a JSON body for /invocations made from the model's input example, None without one.
        warnings: what the user should know: requirements that differ, no signature, no input example.
        load_seconds: time from file to ready.
        row_seconds: time of one prediction of one row, measured at load.
    """

    name: str
    version: str
    run_id: str = ""
    model_id: str = ""
    flavors: tuple[str, ...] = ()
    predictor: str = "pyfunc"
    why: str = ""
    isolated: bool = False
    signature: Mapping[str, Any] | None = None
    example: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    load_seconds: float = 0.0
    row_seconds: float = 0.0


class Servable(Protocol):
    """One model version, loaded, warmed up and proven."""

    @property
    def description(self) -> Description:
        """What is known about it."""

    @property
    def inline(self) -> bool:
        """Whether one row is predicted so fast that a thread would cost more than it gives."""

    @property
    def coalesces(self) -> bool:
        """Whether predicting several waiting requests together is proven equal and faster."""

    def parse(self, request: Request) -> Question:
        """Read a request; raises Refusal (4xx)."""

    def predict(self, questions: Sequence[Question]) -> list[Any]:
        """Predict, each question by itself unless `coalesces`; blocking; raises Refusal when the model fails."""

    def encode(self, request: Request, question: Question, prediction: Any) -> Reply:  # noqa: ANN401 - any model's answer
        """Write the answer in the request's protocol."""

    def close(self) -> None:
        """Free it; nothing is asked of it any more."""
