from __future__ import annotations

import io
import json
import math
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.serving.feedback import statements
from homeport.serving.feedback.log import Prediction
from homeport.serving.feedback.records import difference, paired, params, predictions, read, records
from homeport.serving.servable import Dialect, Request

JSON = "application/json"


def mlflow(body: Any, content_type: str | None = JSON) -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(Dialect.MLFLOW, content_type, raw)


def oip(body: Any, binary: bytes = b"", *, told: bool = True) -> Request:
    header = json.dumps(body).encode()
    headers = {"inference-header-content-length": str(len(header))} if binary and told else {}
    return Request(Dialect.OIP, JSON, header + binary, headers)


def tensor(name: str, shape: list[int], data: Any, datatype: str = "FP64") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"dataframe_records": ROWS}, ROWS),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, None]]}}, ROWS),
        ({"dataframe_split": {"columns": ["a", "b"], "index": [5, 6], "data": [[1, "x"], [2, None]]}}, ROWS),
        ({"dataframe_split": {"data": [[1, 2]]}}, [{"0": 1, "1": 2}]),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, [{"0": 1, "1": 2}]),
        ({"instances": ROWS}, ROWS),
        ({"instances": [[1, 2], [3, 4]]}, [{"0": 1, "1": 2}, {"0": 3, "1": 4}]),
        ({"instances": [1, 2]}, [{"input": 1}, {"input": 2}]),
        ({"instances": [[[1, 2], [3, 4]]]}, [{"input": [[1, 2], [3, 4]]}]),
        ({"instances": [list(range(1001))]}, [{"input": list(range(1001))}]),
        ({"inputs": {"a": [1, 2], "b": ["x", None]}}, ROWS),
        ({"inputs": {"a": [1, 2], "b": "x"}}, [{"a": [1, 2], "b": "x"}]),
        ({"inputs": "text"}, [{"input": "text"}]),
        ({"inputs": ["one", "two"]}, [{"input": "one"}, {"input": "two"}]),
        ({"messages": [{"role": "user"}]}, [{"messages": [{"role": "user"}]}]),
    ],
)
def test_every_json_format_of_mlflow_is_rows(body: Any, rows: list[Any]) -> None:
    assert records(mlflow(body)) == rows


def test_the_order_of_the_columns_is_the_requests() -> None:
    assert list(records(mlflow({"dataframe_split": {"columns": ["z", "a", "m"], "data": [[1, 2, 3]]}}))[0]) == [*"zam"]


def test_csv_is_rows_with_numbers_where_all_of_a_column_are() -> None:
    text = 'i,f,t,mixed,big\n1,0.5,"a,b",7,1\n2,,,x,99999999999999999999\n'
    assert records(mlflow(text.encode(), "text/csv; charset=utf-8")) == [
        {"i": 1, "f": 0.5, "t": "a,b", "mixed": "7", "big": 1.0},
        {"i": 2, "f": None, "t": None, "mixed": "x", "big": 1e20},
    ]


def test_parquet_is_rows_without_the_index() -> None:
    frame = pd.DataFrame({"a": [1, 2], "t": ["x", "y"]}, index=[7, 9])
    body = io.BytesIO()
    frame.to_parquet(body)
    found = records(mlflow(body.getvalue(), "application/vnd.apache.parquet"))
    assert found == [{"a": 1, "t": "x"}, {"a": 2, "t": "y"}]


def test_tensors_of_one_column_each_are_named_values() -> None:
    body = {"inputs": [tensor("a", [2, 1], [[1], [2]]), tensor("b", [2], ["x", "y"], "BYTES")]}
    assert records(oip(body)) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert records(oip({"inputs": [tensor("a", [2, 1], [1, 2])]})) == [{"a": 1}, {"a": 2}]


def test_one_tensor_of_whole_rows_has_numbered_columns() -> None:
    flat = {"inputs": [tensor("all", [2, 3], [1, 2, 3, 4, 5, 6])]}
    nested = {"inputs": [tensor("all", [2, 3], [[1, 2, 3], [4, 5, 6]])]}
    assert records(oip(flat)) == records(oip(nested)) == [{"0": 1, "1": 2, "2": 3}, {"0": 4, "1": 5, "2": 6}]


@pytest.mark.parametrize("told", [True, False])
def test_binary_tensors_are_read_with_and_without_the_headers_length(told: bool) -> None:
    numbers = np.array([[1.5, 2.5], [3.5, 4.5]], dtype="<f4").tobytes()
    texts = b"".join(struct.pack("<I", len(text)) + text for text in ("é}".encode(), b"}"))
    inputs = [
        {"name": "n", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": len(numbers)}},
        {"name": "t", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(texts)}},
        tensor("j", [2], [7, 8], "INT64"),
    ]
    found = records(oip({"inputs": inputs, "parameters": {"x": 1}}, numbers + texts, told=told))
    assert found == [{"n": [1.5, 2.5], "t": "é}", "j": 7}, {"n": [3.5, 4.5], "t": "}", "j": 8}]


def test_params_are_those_of_the_request_without_the_rows() -> None:
    assert params(mlflow({"inputs": [1], "params": {"top": 3}})) == {"top": 3}
    assert params(mlflow({"inputs": [1], "params": {}})) is None
    assert params(oip({"inputs": [tensor("a", [1], [1])], "parameters": {"top": 3}})) == {"top": 3}


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        ({"predictions": [1.5, None]}, [1.5, None]),
        ({"predictions": [{"0": 1}, {"0": 2}]}, [{"0": 1}, {"0": 2}]),
        ({"predictions": {"a": [1, 2], "b": [3, 4]}}, [{"a": 1, "b": 3}, {"a": 2, "b": 4}]),
        ({"predictions": "text"}, ["text"]),
        ({"choices": [1]}, [{"choices": 1}]),
        ([1, 2], [1, 2]),
    ],
)
def test_an_mlflow_answer_is_a_prediction_a_row(answer: Any, rows: list[Any]) -> None:
    assert predictions(json.dumps(answer).encode(), Dialect.MLFLOW) == rows


def test_an_oip_answer_is_a_prediction_a_row() -> None:
    one = {"outputs": [tensor("y", [2, 1], [1, 2])]}
    two = {"outputs": [tensor("y", [2], [1, 2]), tensor("p", [2, 2], [1, 0, 0, 1])]}
    assert predictions(json.dumps(one).encode(), Dialect.OIP) == [1, 2]
    assert predictions(json.dumps(two).encode(), Dialect.OIP) == [{"y": 1, "p": [1, 0]}, {"y": 2, "p": [0, 1]}]
    binary = {"outputs": [{"name": "y", "shape": [2], "datatype": "INT64", "parameters": {"binary_data_size": 16}}]}
    assert predictions(json.dumps(binary).encode() + struct.pack("<qq", 5, 6), Dialect.OIP) == [5, 6]


def test_rows_and_predictions_of_different_number_are_one_row() -> None:
    assert paired([{"a": 1}, {"a": 2}], [5, 6]) == [({"a": 1}, 5), ({"a": 2}, 6)]
    assert paired([{"a": 1}], [5, 6]) == [({"a": 1}, [5, 6])]
    assert paired([{"a": 1}, {"a": 2}], [5]) == [({"input": [{"a": 1}, {"a": 2}]}, [5])]


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ([1.0, 2.0], [1.5, 1.0], 0.75),
        ([1, 2], [1, 2], 0.0),
        (["a", "b", "c", "d"], ["a", "b", "c", "x"], 0.25),
        ([True, False], [True, True], 0.5),
        ([1.0, None], [1.0, 2.0], 0.5),
        ([1], [1, 2], None),
        ([], [], None),
    ],
)
def test_a_difference_is_a_mean_distance_or_a_share_of_rows(one: Any, other: Any, apart: float | None) -> None:
    assert difference(one, other) == (None if apart is None else pytest.approx(apart))


CHILD = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", "outputs", "params", "data"])


@given(st.dictionaries(NAMES, CHILD, max_size=3) | CHILD, st.sampled_from(Dialect), CHILD)
def test_any_json_is_rows_of_the_table_or_an_exception(body: Any, dialect: Dialect, answer: Any) -> None:
    request = Request(dialect, JSON, json.dumps(body).encode())
    entry = Prediction("r", 0.0, "m", "1", request, json.dumps({"predictions": answer}).encode())
    try:
        rows = statements.prediction(entry).rows
    except Exception:  # what the log counts as unreadable; anything else would end its thread
        return
    assert all(isinstance(json.loads(row[5]), dict) for row in rows)


@given(st.binary(max_size=40), st.sampled_from(Dialect), st.sampled_from([None, JSON, "text/csv", "a/b"]))
def test_any_bytes_are_rows_or_an_exception(body: bytes, dialect: Dialect, content_type: str | None) -> None:
    try:
        found, _ = read(Request(dialect, content_type, body))
    except Exception:
        return
    assert all(isinstance(row, dict) for row in found)


def test_numbers_that_json_cannot_say_become_nulls() -> None:
    entry = Prediction("r", 0.0, "m", "1", mlflow(b"a\nnan\n", "text/csv"), b'{"predictions": [1]}')
    assert math.isnan(records(entry.request)[0]["a"])
    assert json.loads(statements.prediction(entry).rows[0][5]) == {"a": None}


def test_nothing_slow_is_imported_before_a_prediction_is_written() -> None:
    slow = {"mlflow", "pandas", "numpy", "psycopg2", "pyarrow", "sqlalchemy", "xgboost"}
    code = (
        "import sys, homeport.serving.feedback.log, homeport.serving.feedback.routes; "
        "homeport.serving.feedback.routes.router('postgresql://u:p@h/d'); "
        f"sys.exit(', '.join({slow} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
