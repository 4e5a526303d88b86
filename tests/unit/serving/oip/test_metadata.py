"""Metadata says what requests take and answers hold."""

from __future__ import annotations

import subprocess
import sys

import orjson

from homeport import __version__
from homeport.serving import oip
from homeport.serving.servable import Description
from tests.unit.serving.oip.conftest import COLUMNS, Asker


def test_columns_are_tensors_of_one_column_each(trees: Asker) -> None:
    found = oip.metadata(trees.scorer.description, ["3", "4"])
    assert found == {
        "name": "the model", "versions": ["3", "4"], "platform": "mlflow_xgboost",
        "inputs": [{"name": name, "datatype": "FP64", "shape": [-1, 1]} for name in COLUMNS],
        "outputs": [{"name": "output-0", "datatype": "FP32", "shape": [-1]}],
    }  # fmt: skip


def test_every_type_has_its_datatype(mixed: Asker) -> None:
    found = oip.metadata(mixed.scorer.description, ["3"])
    assert {each["name"]: each["datatype"] for each in found["inputs"]} == {
        "amount": "FP64", "share": "FP32", "count": "INT32", "total": "INT64", "flag": "BOOL", "word": "BYTES",
        "blob": "BYTES", "moment": "BYTES", "list": "BYTES", "thing": "BYTES", "maybe": "FP64",
    }  # fmt: skip


def test_tensors_keep_their_shape(named_tensors: Asker, tensor: Asker) -> None:
    assert oip.metadata(named_tensors.scorer.description, [])["inputs"] == [
        {"name": "image", "datatype": "FP32", "shape": [-1, 2, 2]},
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
    ]  # fmt: skip
    assert oip.metadata(tensor.scorer.description, [])["inputs"][0]["name"] == "input-0"


def test_a_model_without_signature_has_empty_lists() -> None:
    found = oip.metadata(Description("m", "1"), ["1"])
    assert found == {"name": "m", "versions": ["1"], "platform": "mlflow_pyfunc", "inputs": [], "outputs": []}


def test_the_answer_of_a_model_has_the_outputs_its_metadata_names(trees: Asker, tensor: Asker) -> None:
    for asker, width in ((trees, 4), (tensor, 3)):
        request = {"inputs": [{"name": "x", "shape": [2, width], "datatype": "FP32", "data": [1.0] * 2 * width}]}
        answered = asker.answer(request)["outputs"]
        promised = oip.metadata(asker.scorer.description, [])["outputs"]
        assert [(each["name"], each["datatype"]) for each in answered] == [(p["name"], p["datatype"]) for p in promised]
        for each, promise in zip(answered, promised, strict=True):
            assert all(p in (-1, a) for p, a in zip(promise["shape"], each["shape"], strict=True))


def test_the_server_names_itself_and_its_extensions() -> None:
    found = oip.server_metadata()
    assert found["version"] == __version__
    assert found["extensions"] == ["model_repository", "binary_tensor_data"]


def test_an_error_is_one_key() -> None:
    assert orjson.loads(oip.error_body('no "quotes"')) == {"error": 'no "quotes"'}


def test_a_signature_that_says_nothing_is_none() -> None:
    assert (
        oip.metadata(Description("m", "1", signature={"inputs": None, "outputs": None, "params": None}), [])["inputs"]
        == []
    )


def test_metadata_needs_neither_numpy_nor_mlflow() -> None:
    code = (
        "import sys; from homeport.serving import oip; oip.server_metadata(); oip.error_body('x');"
        "print(sorted({'numpy', 'pandas', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
