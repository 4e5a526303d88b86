"""Answers: names, datatypes, shapes, JSON and bytes."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from tritonclient.http import InferResult

from homeport.serving import oip
from homeport.serving.oip.envelope import Asked, Output
from homeport.serving.refusal import Refusal
from homeport.serving.servable import Description, Question, Reply
from tests.unit.serving.oip.conftest import Asker

COLUMN = {"type": "string", "name": "species", "required": True}
TENSOR = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1]}}


def reply(prediction: Any, *, outputs: list[dict[str, Any]] | None = None, asked: Asked | None = None) -> Reply:
    """The reply of a model with this signature's outputs."""
    described = Description("the model", "3", signature={"inputs": None, "outputs": outputs, "params": None})
    return oip.encode(described, Question(None, None, 0, context=asked), prediction)


def said(prediction: Any, **more: Any) -> list[dict[str, Any]]:
    """The outputs of a reply in JSON."""
    body = orjson.loads(reply(prediction, **more).body)
    assert body["model_name"] == "the model"
    assert body["model_version"] == "3"
    outputs: list[dict[str, Any]] = body["outputs"]
    return outputs


def output(datatype: str, shape: list[int], data: list[Any], name: str = "output-0") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (np.array([1.5, np.nan, np.inf]), output("FP64", [3], [1.5, None, None])),
        (np.array([[1, 2], [3, 4]], dtype=np.float32), output("FP32", [2, 2], [1, 2, 3, 4])),
        (np.asfortranarray([[1, 2], [3, 4]]), output("INT64", [2, 2], [1, 2, 3, 4])),
        (np.array([1, 2], dtype=">i4"), output("INT32", [2], [1, 2])),
        (np.array([1, 2], dtype=np.uint8), output("UINT8", [2], [1, 2])),
        (np.array([2**64 - 1], dtype=np.uint64), output("UINT64", [1], [2**64 - 1])),
        (np.array([0.5], dtype=np.float16), output("FP16", [1], [0.5])),
        (np.array([True, False]), output("BOOL", [2], [True, False])),
        (np.array(["a", "é"]), output("BYTES", [2], ["a", "é"])),
        (np.array(["a", None], dtype=object), output("BYTES", [2], ["a", None])),
        (np.array([b"a"]), output("BYTES", [1], ["a"])),
        (np.array(["2026-11-21", "NaT"], dtype="datetime64[s]"), output("BYTES", [2], ["2026-11-21T00:00:00", None])),
        (np.array(4.5), output("FP64", [1], [4.5])),
        (4.5, output("FP64", [1], [4.5])),
        ([1.5, None], output("FP64", [2], [1.5, None])),
        ([], output("FP64", [0], [])),
        (["a", "b"], output("BYTES", [2], ["a", "b"])),
        ("text", output("BYTES", [1], ["text"])),
        ([Decimal("1.50")], output("BYTES", [1], ["1.50"])),
        (pd.Series([1, 2]), output("INT64", [2, 1], [1, 2])),
        (pd.Series([1, None], dtype="Int64"), output("FP64", [2, 1], [1, None])),
        (pd.Series([True, False], dtype="boolean"), output("BOOL", [2, 1], [True, False])),
        (pd.Series(["a", None], dtype="string", name="kind"), output("BYTES", [2, 1], ["a", None], "kind")),
        (pd.Series(["a", "b"], dtype="category"), output("BYTES", [2, 1], ["a", "b"])),
        (pd.Series(pd.to_datetime(["2026-11-21"])).dt.as_unit("s"), output("BYTES", [1, 1], ["2026-11-21T00:00:00"])),
    ],
)  # fmt: skip
def test_every_kind_of_prediction_is_a_tensor(prediction: Any, expected: dict[str, Any]) -> None:
    assert said(prediction) == [expected]


@pytest.mark.parametrize(
    ("prediction", "texts"),
    [
        ([{"a": 1}, {"a": None}], ['{"a":1}', '{"a":null}']),
        ([[1], [1, 2]], ["[1]", "[1,2]"]),
        (np.array([np.array([1.5]), np.array([1.5, 2])], dtype=object), ["[1.5]", "[1.5,2.0]"]),
        (np.array([1, "a"], dtype=object), ["1", '"a"']),
    ],
)
def test_what_is_no_tensor_is_json_in_bytes(prediction: Any, texts: list[str]) -> None:
    found = said(prediction)[0]
    assert found["datatype"] == "BYTES"
    assert found["parameters"] == {"content_type": "json"}
    assert found["data"] == texts


def test_a_frame_has_an_output_for_each_column() -> None:
    found = said(pd.DataFrame({"p": [0.1, 0.9], "label": ["a", "b"], 3: [1, 2]}))
    assert [(each["name"], each["datatype"], each["shape"]) for each in found] == [
        ("p", "FP64", [2, 1]), ("label", "BYTES", [2, 1]), ("3", "INT64", [2, 1]),
    ]  # fmt: skip


def test_columns_of_the_same_name_are_still_told_apart() -> None:
    found = said(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    assert [each["name"] for each in found] == ["output-0", "output-1"]


def test_a_mapping_has_an_output_for_each_key() -> None:
    found = said({"mean": np.array([1.0]), "all": [[1, 2]]})
    assert [(each["name"], each["shape"]) for each in found] == [("mean", [1]), ("all", [1, 2])]


def test_names_and_shapes_are_those_of_the_signature() -> None:
    assert said(np.array(["x", "y"], dtype=object), outputs=[COLUMN]) == [
        output("BYTES", [2, 1], ["x", "y"], "species")
    ]
    assert said(np.array([1.0], dtype=np.float32), outputs=[TENSOR]) == [output("FP32", [1], [1.0])]
    both = [{"type": "double", "name": "a"}, {"type": "double", "name": "b"}]
    found = said(np.array([[1.0, 2.0], [3.0, 4.0]]), outputs=both)
    assert found == [output("FP64", [2, 1], [1.0, 3.0], "a"), output("FP64", [2, 1], [2.0, 4.0], "b")]


def test_the_id_comes_back() -> None:
    assert orjson.loads(reply(np.array([1.0]), asked=Asked("me 7", None, False)).body)["id"] == "me 7"
    assert "id" not in orjson.loads(reply(np.array([1.0])).body)


def test_only_the_outputs_asked_for_are_sent_in_their_order() -> None:
    frame = pd.DataFrame({"a": [1], "b": [2], "c": [3]})
    asked = Asked(None, (Output("c", False), Output("a", False)), False)
    assert [each["name"] for each in said(frame, asked=asked)] == ["c", "a"]


def test_an_output_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refusal, match="output-0") as caught:
        reply(np.array([1.0]), asked=Asked(None, (Output("SECRET", False),), False))
    assert caught.value.status == 400
    assert "SECRET" not in caught.value.message


@pytest.mark.parametrize(
    "prediction",
    [
        np.array([1.5, np.nan]), np.array([[1, 2]], dtype=np.int16), np.array(["a", "é", ""]), np.array([True]),
        np.array([], dtype=np.float32), np.array([0.5], dtype=np.float16), np.array([b"\xff\x00", b"b"], dtype=object),
    ],
)  # fmt: skip
def test_binary_outputs_are_what_tritonclient_reads(prediction: Any) -> None:
    found = reply(prediction, asked=Asked(None, None, True))
    assert found.content_type == "application/octet-stream"
    length = int(found.headers["Inference-Header-Content-Length"])
    result = InferResult.from_response_body(found.body, header_length=length).as_numpy("output-0")
    wanted = prediction
    if prediction.dtype.kind == "U":
        wanted = np.array([text.encode() for text in prediction], dtype=object)
    np.testing.assert_array_equal(result, wanted)
    assert result.shape == prediction.shape


def test_binary_and_json_outputs_stand_side_by_side() -> None:
    asked = Asked(None, (Output("a", True), Output("b", False), Output("c", True)), False)
    frame = pd.DataFrame({"a": ["x"], "b": [2.5], "c": np.array([7], dtype=np.int32)})
    found = reply(frame, asked=asked)
    length = int(found.headers["Inference-Header-Content-Length"])
    assert found.body[length:] == struct.pack("<I", 1) + b"x" + struct.pack("<i", 7)
    outputs = orjson.loads(found.body[:length])["outputs"]
    assert [each.get("parameters") for each in outputs] == [{"binary_data_size": 5}, None, {"binary_data_size": 4}]
    assert outputs[1]["data"] == [2.5]


def test_bytes_that_are_no_text_are_base64_in_json() -> None:
    found = said(np.array([b"\xff\x00", b"b"], dtype=object))[0]
    assert found["data"] == ["/wA=", "Yg=="]
    assert found["parameters"] == {"content_type": "base64"}


def test_json_is_what_was_not_asked_for_otherwise(trees: Asker) -> None:
    request = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    assert trees.ask(request).content_type == "application/json"
    binary = trees.ask({**request, "parameters": {"binary_data_output": True}})
    assert binary.content_type == "application/octet-stream"
    assert int(binary.headers["Inference-Header-Content-Length"]) == len(binary.body) - 4
    own = [{"name": "output-0", "parameters": {"binary_data": False}}]
    assert not trees.ask({**request, "parameters": {"binary_data_output": True}, "outputs": own}).headers
