"""One model version in this process: loaded, its predictor proven, ready to read requests and answer them.

It speaks MLflow's scoring protocol on bytes; HTTP, admission and the registry it refuses to know.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from homeport.errors import HomeportError
from homeport.serving.refusal import Refusal, model_failed
from homeport.serving.scoring import answer, payload
from homeport.serving.scoring.batch import coalesces, joined
from homeport.serving.scoring.predictor import Predictor, choose
from homeport.serving.scoring.signature import MatrixPlan, rows_of
from homeport.serving.scoring.timing import Costs, seconds_of
from homeport.serving.scoring.upstream import Pyfunc
from homeport.serving.servable import Description, Question

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

Matrix = NDArray[Any]

# Below this a thread's round trip costs more than the prediction.
_INLINE_SECONDS = 0.0005
_MEASURED_ROWS = (8, 64, 512)
_LONGEST_MEASUREMENT = 0.5
# Of a model that cannot be timed: too long for the event loop.
_UNKNOWN_SECONDS = 0.005

UNWRAPPED = "unwrapped"  # Question.context of an LLM request: its answer stands without "predictions"

log = logging.getLogger(__name__)


class Scorer:
    """A loaded model; `predict` may be called from several threads.

    Args:
        pyfunc: the model as MLflow loads it.
        predictor: what answers.
        example: a request made from its input example.
        description: what is known about it, without what is measured here.
    """

    def __init__(
        self,
        pyfunc: Pyfunc,
        predictor: Predictor,
        example: dict[str, Any] | None,
        description: Description,
    ) -> None:
        self.description = description
        self._pyfunc = pyfunc
        self._plan = predictor.plan
        self._predict = predictor.predict
        self.signature: ModelSignature | None = pyfunc.signature
        warnings = list(description.warnings)
        question = self._warm(example, predictor, warnings)
        self._costs = self._measure(question, _MEASURED_ROWS if predictor.splits else ())
        self.coalesces = (
            self._predict is not None and predictor.splits and coalesces(self._predict, predictor.matrices, self._costs)
        )
        self.inline = self.seconds(1) < _INLINE_SECONDS
        self.description = _with(description, warnings=tuple(warnings), row_seconds=self.seconds(1))

    @classmethod
    def load(cls, path: Path, *, name: str, version: str, run_id: str = "", model_id: str = "") -> Scorer:
        """Load a model from a directory, choose and prove its predictor, and ask it its input example.

        Raises:
            HomeportError: MODEL_NOT_LOADED.
        """
        begin = time.perf_counter()
        if not (path / "MLmodel").is_file():
            raise _not_loaded(name, version, "its directory holds no file MLmodel")
        try:
            pyfunc = Pyfunc(path)
            plan = MatrixPlan.compile(pyfunc.signature)
            example, complaint = _example(pyfunc, path)
            predictor = choose(pyfunc, plan, _rows(plan, example))
        except Exception as error:
            log.warning("%s version %s was not loaded", name, version, exc_info=True)
            raise _not_loaded(name, version, f"{type(error).__name__}: {error}") from error
        description = Description(
            name, version, run_id or str(pyfunc.metadata.run_id or ""), model_id or str(pyfunc.metadata.model_id or ""),
            tuple(pyfunc.metadata.flavors), predictor.name, predictor.why, False, _signature(pyfunc),
            None if example is None else orjson.loads(orjson.dumps(example, option=orjson.OPT_NON_STR_KEYS)),
            (*pyfunc.warnings, *complaint),
        )  # fmt: skip
        scorer = cls(pyfunc, predictor, example, description)
        scorer.description = _with(scorer.description, load_seconds=time.perf_counter() - begin)
        return scorer

    @property
    def matrix(self) -> MatrixPlan | None:
        """The compiled signature, when the model takes an array."""
        return self._plan

    def parse(self, content_type: str | None, body: bytes, *, strict: bool = False) -> Question:
        """Read a request of MLflow's scoring protocol.

        Raises:
            Refusal: it cannot be read, or does not fit the signature.
        """
        if content_type != payload.JSON:
            kind = payload.media_type(content_type)
            if kind == payload.CSV:
                return self._question(payload.parse_csv(self._pyfunc, body, strict=strict))
            if kind == payload.PARQUET:
                return self._question(payload.parse_parquet(body))
        found = payload.document(body)
        plan = self._plan
        if plan is not None and not strict:
            matrix = plan.read(found if len(found) == 1 else _without_params(found))
            if matrix is not None:
                return Question(matrix, None, len(matrix), True)
        return self._question(payload.parse_json(self._pyfunc, payload.exact(body, found), strict=strict))

    def parse_frame(self, data: Any, params: dict[str, Any] | None, *, strict: bool = False) -> Question:  # noqa: ANN401
        """Hold data, as upstream's parser would hand them to pyfunc after its casts, to the signature.

        `strict` changes nothing here: whoever made the data has made the casts.

        Raises:
            Refusal: they do not fit.
        """
        return self._question(payload.Payload(data, params))

    def predict(self, questions: Sequence[Question]) -> list[Any]:
        """Predict; questions of arrays are asked together when that is proven equal.

        Raises:
            Refusal: the model failed on one of them.
        """
        try:
            if len(questions) == 1 and questions[0].matrix and self._predict is not None:
                return [self._predict(questions[0].data)]
            if len(questions) > 1 and self.coalesces and all(question.matrix for question in questions):
                assert self._predict is not None
                return joined(self._predict, [question.data for question in questions])
            return [self._ask(question) for question in questions]
        except Refusal:
            raise
        except Exception as error:
            log.warning(
                "%s version %s raised %s", self.description.name, self.description.version, type(error).__name__,
                exc_info=True,
            )  # fmt: skip
            raise self._pyfunc.failed(error) from error

    def encode(self, prediction: Any, *, wrapped: bool = True) -> bytes:  # noqa: ANN401 - any model's answer
        """The JSON answer, as upstream would write it; LLM requests are answered without "predictions".

        Raises:
            Refusal: 500, the prediction holds what JSON cannot.
        """
        try:
            return answer.encode(prediction, wrapped=wrapped)
        except Exception as error:
            log.warning("a prediction cannot be written as JSON", exc_info=True)
            raise model_failed(f"a prediction of type {type(prediction).__name__} cannot be written as JSON") from error

    def seconds(self, rows: int) -> float:
        """What predicting that many rows costs, from measurements at load."""
        return self._costs.seconds(rows)

    def close(self) -> None:
        """Free the model."""
        self._predict = None
        del self._pyfunc

    def _ask(self, question: Question) -> Any:  # noqa: ANN401 - any model's answer
        if question.matrix:
            assert self._predict is not None
            return self._predict(question.data)
        return self._pyfunc.predict(question.data, question.params)

    def _question(self, read: payload.Payload) -> Question:
        data, params = self._pyfunc.validate(read.data, read.params)
        context = UNWRAPPED if read.unwrapped else None
        matrix = self._plan.from_frame(data) if self._plan is not None and not read.unwrapped else None
        if matrix is not None:
            return Question(matrix, None, len(matrix), True)
        return Question(data, params, rows_of(data), False, context)

    def _warm(self, example: dict[str, Any] | None, predictor: Predictor, warnings: list[str]) -> Question | None:
        """Ask the input example once, all the way; without one, a row that was made for the proof."""
        if example is not None:
            try:
                question = self.parse(payload.JSON, orjson.dumps(example, option=orjson.OPT_NON_STR_KEYS))
                self.encode(self.predict([question])[0], wrapped=question.context is None)
            except Refusal as refusal:
                warnings.append(f"the model does not answer its own input example: {refusal.message}")
            else:
                return question
        if self._predict is None or not predictor.matrices:
            return None
        return Question(predictor.matrices[0][:1], None, 1, True)

    def _measure(self, question: Question | None, more: Sequence[int]) -> Costs:
        """Costs by rows where rows can be made, else of the example alone."""
        if question is None:
            return Costs(((1, _UNKNOWN_SECONDS),))
        if not question.matrix:
            return Costs(((max(question.rows, 1), self._time(question)),))
        points = []
        for rows in (1, *more):
            data = np.resize(question.data, (rows, question.data.shape[1]))
            points.append((rows, self._time(Question(data, None, rows, True))))
            if points[-1][1] > _LONGEST_MEASUREMENT:
                break
        return Costs(tuple(points))

    def _time(self, question: Question) -> float:
        try:
            return seconds_of(lambda: self._ask(question))
        except Exception:
            log.warning("%s could not be timed", self.description.name, exc_info=True)
            return _UNKNOWN_SECONDS


def _with(description: Description, **changes: Any) -> Description:  # noqa: ANN401 - fields of several types
    from dataclasses import replace

    return replace(description, **changes)


def _rows(plan: MatrixPlan | None, example: dict[str, Any] | None) -> Matrix | None:
    if plan is None or example is None:
        return None
    return plan.read(_without_params(example))


def _without_params(document: dict[str, Any]) -> dict[str, Any]:
    """A model that takes an array takes no parameters: they are ignored, as upstream does."""
    return {key: value for key, value in document.items() if key != "params"}


def _example(pyfunc: Pyfunc, path: Path) -> tuple[dict[str, Any] | None, list[str]]:
    try:
        example = pyfunc.example(path)
    except Exception as error:
        return None, [f"its input example cannot be read ({type(error).__name__})"]
    complaints = (
        [] if example is not None else ["no input example: the page has nothing to try, start is not rehearsed"]
    )
    if pyfunc.signature is None:
        complaints.append("no signature: requests are not checked")
    return example, complaints


def _signature(pyfunc: Pyfunc) -> dict[str, Any] | None:
    signature = pyfunc.signature
    if signature is None:
        return None
    parts = {"inputs": signature.inputs, "outputs": signature.outputs, "params": signature.params}
    plain: dict[str, Any] = {name: None if part is None else part.to_dict() for name, part in parts.items()}
    found: dict[str, Any] = orjson.loads(orjson.dumps(plain, default=str, option=orjson.OPT_NON_STR_KEYS))
    return found


def _not_loaded(name: str, version: str, why: str) -> HomeportError:
    return HomeportError(
        "MODEL_NOT_LOADED",
        f"{name} version {version} cannot be loaded",
        why=why,
        fix="install what the model's requirements.txt names, or log the model again with this environment",
    )
