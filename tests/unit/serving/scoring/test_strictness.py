"""strict=true: which casts it refuses, and that it names the column and the type but not the value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mlflow.types import ColSpec, Schema, TensorSpec

from homeport.serving.refusal import Refusal
from homeport.serving.scoring.strictness import check, keeps


@pytest.mark.parametrize(
    ("kind", "kept", "refused"),
    [
        ("integer", (0, -1, 3.0, 2**31 - 1, -(2**31), None), (2**31, 0.5, True, "1", float("inf"), float("nan"), [1])),
        ("long", (2**63 - 1, -(2**63), 9007199254740992.0), (2**63, 1.5, 1e300, "1")),
        ("uint8", (0, 255), (-1, 256)),
        ("double", (1.5, 3, 2**53, 2**70, None, float("nan")), (2**53 + 1, True, "1.5", 10**400)),
        ("float", (0.1, 3, 2**24, 1e38), (2**24 + 1, 1e39, "1", 2**200)),
        ("boolean", (True, False, 0, 1, None), (2, 0.5, "true")),
        ("string", ("x", 1, None), ()),
    ],
)
def test_a_cast_that_loses_information_is_told_from_one_that_does_not(kind: str, kept: Any, refused: Any) -> None:
    assert [value for value in kept if not keeps(value, kind)] == []
    assert [value for value in refused if keeps(value, kind)] == []


COLUMNS = Schema([ColSpec("double", "a"), ColSpec("integer", "b")])
ONE = Schema([ColSpec("integer", "b")])
TENSOR = Schema([TensorSpec(np.dtype("int32"), (-1, 2))])


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (COLUMNS, {"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, 1], [1.5, 4242.5]]}}),
        (COLUMNS, {"dataframe_records": [{"a": 1.0, "b": 4242.5}]}),
        (COLUMNS, {"instances": [{"a": 1.0, "b": 4242.5}]}),
        (COLUMNS, {"inputs": {"a": [1.0], "b": [4242.5]}}),
        (COLUMNS, {"inputs": {"a": 1.0, "b": 4242.5}}),
        (ONE, {"inputs": [1, 4242.5]}),
        (TENSOR, {"inputs": [[1, 2], [3, 4242.5]]}),
    ],
)
def test_every_form_is_checked_and_the_refusal_names_column_and_type_only(schema: Schema, data: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        check(data, schema)
    assert refused.value.status == 400
    assert schema is TENSOR or "integer" in refused.value.message
    assert schema is not COLUMNS or "column b" in refused.value.message
    assert "4242" not in refused.value.message


@pytest.mark.parametrize(
    "data", [{"dataframe_split": 3}, {"dataframe_split": {"data": 5}}, {"inputs": None}, {"instances": [3, {}]}]
)
def test_what_has_no_such_form_is_left_to_the_parser(data: dict[str, Any]) -> None:
    check(data, COLUMNS)


def test_columns_that_the_signature_does_not_name_are_not_checked() -> None:
    check({"dataframe_records": [{"a": 1, "b": 2, "c": "anything"}]}, COLUMNS)
