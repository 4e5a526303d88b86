"""The compiled signature against MLflow's own casts: where it answers at all, it answers the same."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.models.utils import _enforce_schema
from mlflow.pyfunc.scoring_server import infer_and_parse_data
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

from homeport.serving.scoring.signature import MatrixPlan

TYPES = ("double", "float", "integer", "long", "boolean")
MIXED = ModelSignature(inputs=Schema([ColSpec(kind, kind) for kind in TYPES]))
DOUBLES = ModelSignature(inputs=Schema([ColSpec("double", name) for name in "abc"]))
FLOATS = ModelSignature(inputs=Schema([ColSpec("float", name) for name in "abc"]))
TENSOR = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 3))]))
INTEGERS = ModelSignature(inputs=Schema([TensorSpec(np.dtype("int64"), (-1, 3))]))
SIGNATURES = {"mixed": MIXED, "doubles": DOUBLES, "floats": FLOATS, "tensor": TENSOR, "integers": INTEGERS}

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-3, 3),
    st.integers(-3, 3).map(float),
    st.booleans(),
    st.sampled_from([2**31, 2**31 - 1, -(2**31), 2**53, 2**53 + 1, -0.0, 1e39, 16777217, 0.1]),
)
VALUES = st.one_of(NUMBERS, NUMBERS, NUMBERS, st.none(), st.sampled_from(["1.5", "x", ""]))


def plan_of(signature: ModelSignature) -> MatrixPlan:
    plan = MatrixPlan.compile(signature)
    assert plan is not None
    return plan


def upstream(signature: ModelSignature, document: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _enforce_schema(infer_and_parse_data(document, signature.inputs), signature.inputs)


def as_upstream(signature: ModelSignature, document: dict[str, Any]) -> np.ndarray[Any, Any]:
    data = upstream(signature, document)
    columns = [data[c].to_numpy() for c in data] if hasattr(data, "columns") else list(data.T)
    return np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=1)


def documents(names: list[str], rows: list[list[Any]]) -> dict[str, dict[str, Any]]:
    records = [dict(zip(names, row, strict=True)) for row in rows]
    by_column = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return {
        "split": {"dataframe_split": {"columns": names, "data": rows}},
        "index": {"dataframe_split": {"columns": names, "index": list(range(len(rows))), "data": rows}},
        "reversed": {"dataframe_split": {"columns": names[::-1], "data": [row[::-1] for row in rows]}},
        "extra": {"dataframe_split": {"columns": ["more", *names], "data": [[7, *row] for row in rows]}},
        "records": {"dataframe_records": records},
        "shuffled": {"dataframe_records": [dict(reversed(r.items())) for r in records]},
        "instances": {"instances": records},
        "inputs": {"inputs": by_column},
        "inputs of records": {"inputs": records},
    }


@pytest.mark.parametrize("signature", ["mixed", "doubles", "floats"])
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_an_array_holds_exactly_what_mlflow_would_cast(signature: str, data: st.DataObject) -> None:
    plan = plan_of(SIGNATURES[signature])
    rows = data.draw(
        st.lists(st.lists(VALUES, min_size=len(plan.names), max_size=len(plan.names)), min_size=1, max_size=3)
    )
    form = data.draw(st.sampled_from(sorted(documents(list(plan.names), rows))))
    document = documents(list(plan.names), rows)[form]
    matrix = plan.read(document)
    if matrix is not None:
        np.testing.assert_array_equal(matrix.astype(np.float64), as_upstream(SIGNATURES[signature], document))
        assert matrix.dtype == plan.dtype
        assert matrix.flags.c_contiguous


@pytest.mark.parametrize("signature", ["tensor", "integers"])
@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.lists(VALUES, min_size=2, max_size=4), min_size=1, max_size=3),
    form=st.sampled_from(["inputs", "instances"]),
)
def test_a_tensor_holds_exactly_what_mlflow_would_cast(signature: str, rows: list[list[Any]], form: str) -> None:
    matrix = plan_of(SIGNATURES[signature]).read({form: rows})
    if matrix is not None:
        expected = upstream(SIGNATURES[signature], {form: rows})
        assert matrix.dtype == expected.dtype
        np.testing.assert_array_equal(matrix, expected)


@pytest.mark.parametrize("form", sorted(documents(["a"], [[1]])))
@pytest.mark.parametrize("signature", [MIXED, DOUBLES, FLOATS])
def test_ordinary_requests_of_every_form_are_read_without_pandas(form: str, signature: ModelSignature) -> None:
    plan = plan_of(signature)
    tables: list[list[list[Any]]] = [[[1.5, 0.25, 3.0, 4.0, 1.0]], [[1, 2, 3, 4, True], [0.5, 1.5, 7, -8, False]]]
    for rows in tables:
        document = documents(list(plan.names), [row[: len(plan.names)] for row in rows])[form]
        assert plan.read(document) is not None


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_missing_number_is_nan_where_the_type_has_one_and_left_to_mlflow_where_not(value: float | None) -> None:
    matrix = plan_of(DOUBLES).read({"dataframe_split": {"columns": ["a", "b", "c"], "data": [[1.0, value, 2.0]]}})
    assert matrix is not None
    assert np.isnan(matrix[0, 1])
    assert (
        plan_of(MIXED).read({"dataframe_split": {"columns": list(TYPES), "data": [[1.0, 1.0, value, 2, True]]}}) is None
    )


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["a", "b", "b"], "data": [[1, 2, 3]]}},
        {"dataframe_split": {"columns": ["a", "b", "c"], "data": []}},
        {"dataframe_split": {"columns": ["a", "b", "c"], "data": [[1, 2, 3], [1, 2]]}},
        {"dataframe_split": {"columns": ["a", "b", "c"], "data": [[1, 2, "3"]]}},
        {"dataframe_split": {"columns": ["a", "b", "c"], "data": [[1, 2, [3]]]}},
        {"dataframe_split": {"columns": ["a", "b", "c"], "index": [1, 2], "data": [[1, 2, 3]]}},
        {"dataframe_split": {"columns": ["a", "b", "c"], "index": [[]], "data": [[1, 2, 3]]}},
        {"dataframe_split": {"columns": [["a"], "b", "c"], "data": [[1, 2, 3]]}},
        {"dataframe_split": {"columns": ["a", "b", "c"], "data": {"a": 1}}},
        {"dataframe_split": [1]},
        {"dataframe_records": [{"a": 1, "b": 2}]},
        {"dataframe_records": [{"a": 1, "b": 2, "d": 2}]},
        {"dataframe_records": [[1, 2, 3]]},
        {"dataframe_records": {}},
        {"inputs": [[1, 2, 3]]},
        {"inputs": {"a": [1], "b": [2], "c": [3, 4]}},
        {"inputs": {"a": 1, "b": 2, "c": 3}},
        {"instances": "abc"},
        {"other": [[1, 2, 3]]},
        {},
    ],
)
def test_what_is_not_plainly_numbers_in_known_columns_is_left_to_mlflow(document: dict[str, Any]) -> None:
    assert plan_of(DOUBLES).read(document) is None


@pytest.mark.parametrize(
    "signature",
    [
        None,
        ModelSignature(inputs=Schema([ColSpec("double", "a"), ColSpec("string", "b")])),
        ModelSignature(inputs=Schema([ColSpec("double")])),
        ModelSignature(inputs=Schema([ColSpec("double", "a")]), params=ParamSchema([ParamSpec("p", "double", 1.0)])),
        ModelSignature(inputs=Schema([TensorSpec(np.dtype("float64"), (-1, 3, 3))])),
        ModelSignature(inputs=Schema([TensorSpec(np.dtype("float64"), (-1, -1))])),
        ModelSignature(inputs=Schema([TensorSpec(np.dtype("float64"), (-1, 3), "named")])),
    ],
)  # fmt: skip
def test_a_signature_that_is_no_matrix_has_no_plan(signature: ModelSignature | None) -> None:
    assert MatrixPlan.compile(signature) is None


@pytest.mark.parametrize("signature", [MIXED, DOUBLES, FLOATS, TENSOR])
def test_a_frame_made_from_an_array_is_the_one_that_mlflow_would_make_and_comes_back_as_the_array(
    signature: ModelSignature,
) -> None:
    plan = plan_of(signature)
    rows = [[1.5, 2.25, 3, 2**40, True][: len(plan.names)], [0.0, 0.1, -4, 5, False][: len(plan.names)]]
    document = {"inputs": rows} if plan.tensor else documents(list(plan.names), rows)["split"]
    matrix = plan.read(document)
    assert matrix is not None
    frame: Any = plan.frame(matrix)
    expected = upstream(signature, document)
    assert str(getattr(frame, "dtypes", frame.dtype if plan.tensor else "")) == str(
        getattr(expected, "dtypes", expected.dtype if plan.tensor else "")
    )
    np.testing.assert_array_equal(np.asarray(frame), np.asarray(expected))
    again = plan.from_frame(expected)
    assert again is not None
    np.testing.assert_array_equal(again, matrix)


def test_a_long_that_a_float64_cannot_hold_is_not_put_into_an_array() -> None:
    row = [1.5, 2.5, 3, 2**53 + 1, True]
    plan = plan_of(MIXED)
    for document in documents(list(plan.names), [row]).values():
        assert plan.read(document) is None
        assert plan.from_frame(upstream(MIXED, document)) is None
