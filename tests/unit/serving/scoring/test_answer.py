"""Answers against upstream's own encoder: the same values, except that NaN and infinities are null."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mlflow.pyfunc.scoring_server import predictions_to_json, unwrapped_predictions_to_json

from homeport.serving.scoring.answer import encode

WHEN = datetime.datetime(2026, 11, 21, 6, 40, 14, 123456)


def upstream(prediction: Any, *, wrapped: bool = True) -> Any:
    text = StringIO()
    (predictions_to_json if wrapped else unwrapped_predictions_to_json)(prediction, text)
    return _null(json.loads(text.getvalue()))


def _null(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_null(item) for item in value]
    return {key: _null(item) for key, item in value.items()} if isinstance(value, dict) else value


PREDICTIONS = {
    "float32": np.array([3.9147911071777344, 0.1], dtype=np.float32),
    "float16": np.array([0.1], dtype=np.float16),
    "nan": np.array([np.nan, np.inf, -np.inf, 1.0]),
    "matrix": np.arange(6).reshape(2, 3),
    "scalar array": np.array(1.5),
    "booleans": np.array([True, False]),
    "unsigned": np.array([2**64 - 1], dtype=np.uint64),
    "texts": np.array(["Adelie", "ä"]),
    "objects": np.array(["a", None, 1.5, b"x"], dtype=object),
    "bytes": np.array([b"abc"]),
    "nanoseconds": np.array(["2026-11-21T01:02:03"], dtype="datetime64[ns]"),
    "microseconds": np.array(["2026-11-21T01:02:03"], dtype="datetime64[us]"),
    "frame": pd.DataFrame({"a": [1.5, np.nan], "b": ["x", None], "c": pd.Series([pd.Timestamp("2026-01-01"), pd.NaT])}),
    "numbered frame": pd.DataFrame([[1, 2], [3, 4]]),
    "series": pd.Series([1, 2], name="quality"),
    "nameless series": pd.Series(["a", "b"]),
    "list": [1, 2.5, None, "x", True, np.float32(0.1), np.int64(3), WHEN, WHEN.date(), b"bytes"],
    "dict": {"a": np.arange(3), "b": [{"c": np.float64(1.5)}], 3: "key"},
    "text": "hello \ud800",
    "number": 1.5,
    "none": None,
    "huge": [2**80],
    "tuple": (1, 2),
    "timestamp": [pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp(1), datetime.time(1, 2)],
}


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("name", sorted(PREDICTIONS))
def test_an_answer_holds_the_values_that_upstream_writes(name: str, wrapped: bool) -> None:
    assert json.loads(encode(PREDICTIONS[name], wrapped=wrapped)) == upstream(PREDICTIONS[name], wrapped=wrapped)


@given(hnp.arrays(st.sampled_from([np.float32, np.float64, np.int64, np.int8, np.bool_]), hnp.array_shapes(max_dims=2)))
def test_every_array_of_numbers_is_written_as_upstream_writes_it(prediction: Any) -> None:
    assert json.loads(encode(prediction)) == upstream(prediction)


def test_nothing_but_json_is_written() -> None:
    assert b"NaN" not in encode(PREDICTIONS["nan"])
    assert b"NaN" not in encode([float("nan"), 2**80])


@pytest.mark.parametrize("prediction", [object(), [decimal.Decimal(1)], {1, 2}])
def test_what_upstream_cannot_write_is_an_error_here_too(prediction: Any) -> None:
    with pytest.raises(TypeError):
        upstream(prediction)
    with pytest.raises(TypeError):
        encode(prediction)
