"""A prediction, written as JSON with the values that upstream would write; NaN and infinities become null.

After `predictions_to_json` and `NumpyEncoder` of MLflow 3.17.2. It knows nothing of requests.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import orjson

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def encode(prediction: Any, *, wrapped: bool = True) -> bytes:  # noqa: ANN401 - any model's answer
    """The answer to a request.

    Args:
        prediction: what the model gave.
        wrapped: as {"predictions": …}; LLM requests are answered without.

    Raises:
        TypeError, ValueError: it holds what JSON cannot.
    """
    if type(prediction) is np.ndarray and prediction.dtype.kind in "fiub" and wrapped:
        # Not by orjson's own NumPy support: it writes float32 in its shortest form, which reads as another float64.
        return orjson.dumps({"predictions": prediction.tolist()})
    from mlflow.utils.proto_json_utils import _get_jsonable_obj

    plain = _get_jsonable_obj(prediction, pandas_orient="records")
    answer = {"predictions": plain} if wrapped else plain
    try:
        return orjson.dumps(answer, default=_plain, option=_OPTIONS)
    except TypeError:
        return _slowly(answer)


def _plain(value: Any) -> Any:  # noqa: ANN401 - anything that JSON does not know
    from mlflow.utils.proto_json_utils import NumpyEncoder

    converted, done = NumpyEncoder().try_convert(value)
    if not done:
        raise TypeError(f"a prediction of type {type(value).__name__} cannot be written as JSON")
    return converted


def _slowly(answer: Any) -> bytes:  # noqa: ANN401 - any model's answer
    """With json, which writes whole numbers beyond 64 bits and lone surrogates."""
    from mlflow.utils.proto_json_utils import NumpyEncoder

    text = json.dumps(answer, cls=NumpyEncoder)
    return json.dumps(_without_nan(json.loads(text)), allow_nan=False).encode()


def _without_nan(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return value
