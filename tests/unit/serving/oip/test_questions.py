"""Requests: what is read, to what it becomes, and what is refused."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from homeport.serving.refusal import Refusal
from tests.unit.serving.oip.conftest import COLUMNS, Asker

ROWS = [[0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7, 0.6]]


def table(data: Any = None, shape: list[int] | None = None, datatype: str = "FP64", **more: Any) -> dict[str, Any]:
    """A request with one tensor of all columns."""
    rows = ROWS if data is None else data
    return {"inputs": [{"name": "x", "shape": shape or [2, 4], "datatype": datatype, "data": rows}], **more}


def column(name: str, data: list[Any], datatype: str = "FP64", shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": data}


def oracle(asker: Asker, rows: Any) -> Any:
    """What pyfunc itself says."""
    model = asker.scorer._pyfunc.model
    return model.predict(pd.DataFrame(np.asarray(rows, dtype=np.float64), columns=COLUMNS))


def refusal(asker: Asker, document: Any, tail: bytes = b"", *, strict: bool = False, **headers: str) -> str:
    """The sentence of a refusal; it is a 400 without a word of the caller's."""
    with pytest.raises(Refusal) as caught:
        asker.question(document, tail, strict=strict, **headers)
    assert caught.value.status == 400
    assert "SECRET" not in caught.value.message
    return caught.value.message


def test_a_table_becomes_the_matrix_the_predictor_takes(trees: Asker) -> None:
    question = trees.question(table())
    assert question.matrix
    assert question.rows == 2
    assert question.data.dtype == trees.scorer.matrix.dtype  # type: ignore[union-attr] # it has one
    assert question.data.flags.c_contiguous
    assert question.data.tolist() == ROWS


@pytest.mark.parametrize("data", [ROWS, [value for row in ROWS for value in row]])
def test_flat_and_nested_data_are_the_same(trees: Asker, data: Any) -> None:
    answer = trees.answer(table(data))
    assert answer["outputs"][0]["data"] == pytest.approx(oracle(trees, ROWS).tolist())


def test_columns_come_in_any_order(trees: Asker) -> None:
    inputs = [column(name, [row[place] for row in ROWS]) for place, name in enumerate(COLUMNS)]
    shaped = [{**each, "shape": [2, 1]} for each in inputs]
    question = trees.question({"inputs": [shaped[2], inputs[0], inputs[3], shaped[1]]})
    assert question.matrix
    assert question.data.tolist() == ROWS


@pytest.mark.parametrize("datatype", ["FP32", "INT32", "UINT8", "INT64", "FP16"])
def test_numbers_of_any_datatype_are_doubles_for_a_double_column(trees: Asker, datatype: str) -> None:
    rows = [[1, 2, 3, 4], [5, 6, 7, 8]]
    question = trees.question(table(rows, datatype=datatype))
    assert question.data.dtype == np.float64
    assert question.data.tolist() == rows


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.floats(width=64, allow_infinity=False), min_size=4, max_size=4), min_size=1, max_size=5))
def test_json_binary_and_columns_give_the_numbers_of_pyfunc(trees: Asker, rows: list[list[float]]) -> None:
    array = np.array(rows)
    size = array.nbytes
    spec = {"name": "x", "shape": [len(rows), 4], "datatype": "FP64", "parameters": {"binary_data_size": size}}
    in_bytes = trees.question({"inputs": [spec]}, array.tobytes())
    in_json = trees.question(table(orjson.loads(orjson.dumps(rows)), [len(rows), 4]))
    by_column = trees.question({"inputs": [column(n, array[:, i].tolist()) for i, n in enumerate(COLUMNS)]})
    expected = oracle(trees, rows)
    for question in (in_bytes, in_json, by_column):
        assert np.array_equal(question.data, array, equal_nan=True)
        np.testing.assert_array_equal(trees.scorer.predict([question])[0], expected)


def test_null_and_nan_are_missing_values(trees: Asker) -> None:
    with_null = trees.question(table([[None, 1.0, 2, 3]], [1, 4]))
    body = b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[NaN,Infinity,-Infinity,1]}]}'
    with_words = trees.question(body)
    assert np.isnan(with_null.data[0, 0])
    assert np.array_equal(with_words.data, [[np.nan, np.inf, -np.inf, 1]], equal_nan=True)


def test_a_question_can_be_written_to(trees: Asker) -> None:
    array = np.array(ROWS)
    spec = {"name": "x", "shape": [2, 4], "datatype": "FP64", "parameters": {"binary_data_size": array.nbytes}}
    trees.question({"inputs": [spec]}, array.tobytes()).data[0, 0] = 5.0


def test_binary_tensors_follow_each_other_in_the_order_of_the_inputs(trees: Asker) -> None:
    inputs, tail = [], b""
    for place, name in reversed(list(enumerate(COLUMNS))):
        raw = np.array([row[place] for row in ROWS], dtype="<f4").tobytes()
        inputs.append({"name": name, "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}})
        tail += raw
    question = trees.question({"inputs": inputs}, tail)
    assert question.data == pytest.approx(np.array(ROWS))


def test_every_type_of_column_arrives_as_mlflow_has_it(mixed: Asker) -> None:
    word = "héllo".encode()
    inputs = [
        column("amount", [1], "INT32"),
        column("share", [0.5]),
        column("count", [7.0]),
        column("total", [2**53 + 1], "INT64"),
        column("flag", [True], "BOOL"),
        {"name": "word", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 4 + len(word)}},
        {**column("blob", ["AAEC"], "BYTES"), "parameters": {"content_type": "base64"}},
        column("moment", ["2026-11-21T07:00:00+01:00"], "BYTES"),
        column("list", [1.0, 2.0], shape=[1, 2]),
        column("thing", ['{"key": 3}'], "BYTES"),
    ]
    answer = mixed.answer(
        {"inputs": inputs, "parameters": {"limit": 0.25, "binary_data_output": False, "other": 1}},
        struct.pack("<I", len(word)) + word,
    )
    saw = orjson.loads(answer["outputs"][0]["data"][0])
    assert saw["params"] == {"limit": 0.25}
    expected = {
        "amount": "1.0", "share": "0.5", "count": "7", "total": str(2**53 + 1), "flag": "True", "word": "'héllo'",
        "blob": r"b'\x00\x01\x02'", "moment": "Timestamp('2026-11-21 06:00:00')", "thing": "{'key': np.int64(3)}",
    }  # fmt: skip
    assert {name: saw["saw"][name] for name in expected} == {name: [value] for name, value in expected.items()}
    assert "1." in saw["saw"]["list"][0]
    assert "maybe" not in saw["saw"]


def test_a_long_that_is_no_double_keeps_its_value(numbers: Asker) -> None:
    inputs = [
        column("integer", [1], "INT32"), column("long", [2**53 + 1], "INT64"),
        column("float", [0.5]), column("boolean", [False], "BOOL"),
    ]  # fmt: skip
    saw = orjson.loads(numbers.answer({"inputs": inputs})["outputs"][0]["data"][0])["saw"]
    assert saw["long"] == [str(2**53 + 1)]


def test_a_table_of_doubles_fills_whole_and_boolean_columns(numbers: Asker) -> None:
    saw = orjson.loads(numbers.answer(table([[3.0, -4, 0.1, 1]], [1, 4]))["outputs"][0]["data"][0])["saw"]
    assert saw == {"integer": ["3"], "long": ["-4"], "float": [repr(float(np.float32(0.1)))], "boolean": ["True"]}


@pytest.mark.parametrize(
    ("row", "datatype"),
    [
        ([2**31, 0, 0, 0], "INT64"), ([1.5, 0, 0, 0], "FP64"), ([None, 0, 0, 0], "FP64"), ([0, 2.0**63, 0, 0], "FP64"),
        ([0, 2**63, 0, 0], "UINT64"), ([0, 0, 1e39, 0], "FP64"), ([0, 0, 0, 2], "FP64"),
    ],
)  # fmt: skip
def test_a_number_that_does_not_fit_its_column_is_refused_not_wrapped(numbers: Asker, row: Any, datatype: str) -> None:
    assert "inputs[0] must hold" in refusal(numbers, table([row], [1, 4], datatype))


def test_strict_refuses_a_loss_of_precision(trees: Asker, numbers: Asker) -> None:
    assert "exact" in refusal(numbers, table([[1, 1, 0.1, 1]], [1, 4]), strict=True)
    assert "exact" in refusal(trees, table([[2**53 + 1, 1, 1, 1]], [1, 4], "INT64"), strict=True)
    assert trees.question(table([[2**53, 1, 1, 1]], [1, 4], "INT64"), strict=True).matrix
    assert trees.question(table(datatype="FP32"), strict=True).matrix


def test_an_unnamed_tensor_takes_any_name_and_its_shape(tensor: Asker) -> None:
    question = tensor.question(table([1, 2, 3], [1, 3], "FP32"))
    assert question.data.dtype == np.float32
    answer = tensor.answer(table([1, 2, 3], [1, 3], "FP64"))
    found = answer["outputs"][0]
    assert (found["name"], found["datatype"], found["shape"]) == ("output-0", "FP32", [1, 2])
    assert found["data"] == pytest.approx([2.0, 4.0], abs=1e-3)
    assert "shape [-1, 3]" in refusal(tensor, table([1, 2, 3, 4], [1, 4], "FP32"))
    assert "shape [-1, 3]" in refusal(tensor, table([1, 2, 3], [3], "FP32"))


def test_named_tensors_arrive_by_name(named_tensors: Asker) -> None:
    inputs = [
        {"name": "label", "shape": [1], "datatype": "BYTES", "data": ["a"]},
        {"name": "image", "shape": [1, 2, 2], "datatype": "FP64", "data": [[[1, 2], [3, 4]]]},
    ]
    saw = orjson.loads(named_tensors.answer({"inputs": inputs})["outputs"][0]["data"][0])["saw"]
    assert saw == {"image": "float32(1, 2, 2)", "label": "<U1(1,)"}
    assert "inputs are missing: image" in refusal(named_tensors, {"inputs": inputs[:1]})


def test_a_column_without_a_name_is_input_0(echo: Any) -> None:
    asker = echo(ModelSignature(inputs=Schema([ColSpec(DataType.long)])))
    saw = orjson.loads(asker.answer({"inputs": [column("input-0", [4, 5], "INT64")]})["outputs"][0]["data"][0])["saw"]
    assert saw == {"0": ["4", "5"]}


def test_without_a_signature_one_tensor_is_an_array_and_columns_are_a_frame(unsigned: Asker) -> None:
    one = orjson.loads(unsigned.answer(table(datatype="FP32"))["outputs"][0]["data"][0])
    assert one["saw"] == {"array": "float32(2, 4)"}
    columns = {"inputs": [column("a", [1.5]), column("b", ["x"], "BYTES", [1, 1])]}
    assert orjson.loads(unsigned.answer(columns)["outputs"][0]["data"][0])["saw"] == {"a": ["1.5"], "b": ["'x'"]}
    apart = {"inputs": [column("a", [1.5]), column("b", [1, 2], "INT8")]}
    said = orjson.loads(unsigned.answer(apart)["outputs"][0]["data"][0])["saw"]
    assert said == {"a": "float64(1,)", "b": "int8(2,)"}


BAD_BODIES: list[Any] = [
    b"", b"{", b"[]", b"null", b'"text"', b"[" * 5000, b'{"a":' * 5000, b'{"inputs": [NaN', {"inputs": None},
    {"inputs": {}}, {"inputs": []}, {"inputs": [1]}, {"inputs": [{}]}, {}, b'{"id": "\\ud800", "x": NaN}',
    table(id=3), table(parameters=[]), table(parameters={"binary_data_output": "SECRET"}), table(outputs="SECRET"),
    table(outputs=[{}]), table(outputs=[{"name": 1}]), table(outputs=[{"name": "SECRET"}]),
    table(outputs=[{"name": "output-0"}, {"name": "output-0"}]),
    table(outputs=[{"name": "output-0", "parameters": {"binary_data": 1}}]),
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_request_that_is_not_one_is_refused(trees: Asker, body: Any) -> None:
    assert refusal(trees, body)


BAD_TENSORS: list[dict[str, Any]] = [
    {"name": 1}, {"name": ""}, {"name": None}, {"datatype": "SECRET"}, {"datatype": None}, {"datatype": "fp64"},
    {"datatype": ["FP64"]}, {"shape": None}, {"shape": []}, {"shape": 8}, {"shape": ["SECRET"]}, {"shape": [2.0, 4]},
    {"shape": [True, 4]}, {"shape": [-1, 4]}, {"shape": [0, 4], "data": []}, {"shape": [2**62]},
    {"shape": [2**31 - 1, 2**31 - 1]}, {"shape": [1] * 33},
    {"shape": [0, 2**62], "data": []}, {"shape": [3, 4]}, {"shape": [2, 3]}, {"shape": [8]}, {"shape": [2, 4, 1]},
    {"data": None}, {"data": "SECRET"}, {"data": {}}, {"data": 1}, {"data": [ROWS]}, {"data": [ROWS[0], ROWS[1][:3]]},
    {"data": [ROWS[0], 1]}, {"data": ["1", "2"] * 4}, {"data": [True] * 8}, {"data": [[{}] * 4] * 2},
    {"datatype": "INT64"}, {"datatype": "BOOL"}, {"datatype": "BYTES"}, {"datatype": "UINT8", "data": [256] * 8},
    {"datatype": "INT8", "data": [-129] * 8}, {"datatype": "UINT64", "data": [-1] * 8},
    {"datatype": "INT64", "data": [2**70] * 8},
    {"datatype": "BOOL", "data": [1] * 8}, {"datatype": "BYTES", "data": ["SECRET"] * 8},
    {"datatype": "FP16", "data": [1e6] * 8},
    {"parameters": {"binary_data_size": 64}}, {"parameters": []}, {"parameters": {"binary_data_size": "64"}},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD_TENSORS, ids=range(len(BAD_TENSORS)))
def test_a_tensor_that_is_not_one_is_refused(trees: Asker, change: dict[str, Any]) -> None:
    document = table()
    document["inputs"][0].update(change)
    body = orjson.dumps(document) if change.get("data") != [2**70] * 8 else repr(document).replace("'", '"').encode()
    assert refusal(trees, body)


@pytest.mark.parametrize(
    ("size", "tail"),
    [(64, b""), (64, b"x" * 63), (64, b"x" * 65), (63, b"x" * 63), (2**62, b"x"), (-1, b"x"), (True, b"x")],
)  # fmt: skip
def test_bytes_that_do_not_fit_the_shape_are_refused(trees: Asker, size: Any, tail: bytes) -> None:
    spec = {"name": "x", "shape": [2, 4], "datatype": "FP64", "parameters": {"binary_data_size": size}}
    assert refusal(trees, {"inputs": [spec]}, tail)


def test_bytes_after_the_last_tensor_are_refused(trees: Asker) -> None:
    assert "3 bytes more" in refusal(trees, table(), b"abc")


@pytest.mark.parametrize("length", ["", "x", "-1", "1e3", "99999", "9" * 400, "1_0", "٣", "0", "3"])
def test_a_wrong_header_length_is_refused(trees: Asker, length: str) -> None:
    headers: dict[str, Any] = {"inference-header-content-length": length}
    assert refusal(trees, table(), **headers)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x05\x00\x00\x00ab", b"\x01\x00", b"\xff\xff\xff\xff", b"\x01\x00\x00\x00a\x01\x00\x00\x00b",
        b"\x01\x00\x00\x00\xff",
    ],
)  # fmt: skip
def test_bytes_elements_that_are_cut_counted_wrong_or_no_text_are_refused(mixed: Asker, raw: bytes) -> None:
    spec = {"name": "word", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    only = {field.name for field in (mixed.scorer.signature.inputs.inputs if mixed.scorer.signature else [])}
    assert "word" in only
    assert refusal(mixed, {"inputs": [_column_of(name, spec) for name in only]}, raw)


def _column_of(name: str, word: dict[str, Any]) -> dict[str, Any]:
    """A fitting tensor for every column, and the given one for the word."""
    texts = {"blob": "x", "moment": "2026-01-01", "list": "[1.5]", "thing": '{"key": 1}'}
    if name == "word":
        return word
    if name in texts:
        return column(name, [texts[name]], "BYTES")
    return column(name, [True], "BOOL")


def test_a_bool_byte_is_0_or_1(numbers: Asker) -> None:
    inputs = [column("integer", [1], "INT8"), column("long", [1], "INT8"), column("float", [1], "INT8")]
    flag = {"name": "boolean", "shape": [1], "datatype": "BOOL", "parameters": {"binary_data_size": 1}}
    assert "0 and 1" in refusal(numbers, {"inputs": [*inputs, flag]}, b"\x02")
    assert numbers.question({"inputs": [*inputs, flag]}, b"\x01")


def test_inputs_are_the_models_own_each_once_and_equally_long(trees: Asker) -> None:
    inputs = [column(name, [0.5, 0.5]) for name in COLUMNS]
    assert f"inputs are missing: {COLUMNS[3]}" in refusal(trees, {"inputs": inputs[:3]})
    assert "same name twice" in refusal(trees, {"inputs": [*inputs, inputs[0]]})
    assert "does not know" in refusal(trees, {"inputs": [*inputs, column("SECRET", [1.0, 2.0])]})
    assert "as many rows" in refusal(trees, {"inputs": [*inputs[:3], column(COLUMNS[3], [1.0])]})
    deep = column(COLUMNS[3], [1.0, 2.0], shape=[2, 1, 1])
    assert "shape [n] or [n, 1]" in refusal(trees, {"inputs": [*inputs[:3], deep]})
