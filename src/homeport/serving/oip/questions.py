"""An inference request -> a Question in the form the model's predictor takes.

Knows the envelope (header, id, inputs, outputs, parameters) and how tensors become a matrix, a frame or arrays; what
a tensor's bytes mean is in `tensors.py`, what its values may become in `casts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from homeport.serving.oip import casts, envelope, interface, tensors
from homeport.serving.oip.interface import Field, Interface
from homeport.serving.oip.tensors import Array, Tail, Tensor
from homeport.serving.refusal import bad_request, invalid
from homeport.serving.servable import Description, Question, Request

# Every whole number up to here is a float64.
_EXACT = 2**53
_TABLE = 2


class Matrix(Protocol):
    """What is needed of scoring's MatrixPlan."""

    @property
    def types(self) -> tuple[str, ...]:
        """MLflow's types of the columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array handed to the predictor."""


class Scorer(Protocol):
    """What is needed of a loaded model."""

    @property
    def description(self) -> Description:
        """What is known about it."""

    @property
    def matrix(self) -> Matrix | None:
        """Its compiled signature, None when it takes no matrix."""

    def parse_frame(self, data: Any, params: dict[str, Any] | None, *, strict: bool = False) -> Question:  # noqa: ANN401
        """A question of what pyfunc takes."""


def read(scorer: Scorer, request: Request) -> Question:
    """Parse a request for this model; raises Refusal (400)."""
    document, start = envelope.document(request)
    known = interface.of(scorer.description.signature)
    parameters = tensors.parameters_of(document, "the request")
    asked = envelope.asked(document, parameters, known)
    inputs = _inputs(document.get("inputs"), Tail(request.body, start))
    params = {name: value for name, value in parameters.items() if name in known.params} or None
    try:
        question = _question(scorer, known, inputs, params, parameters, strict=request.strict)
    except OverflowError as error:
        raise invalid("the inputs hold a number that is too large") from error
    question.context = asked
    return question


def _inputs(specs: Any, tail: Tail) -> list[Tensor]:  # noqa: ANN401 - JSON
    if type(specs) is not list or not specs:
        raise bad_request("inputs must be a list with at least one tensor")
    inputs = [tensors.read(spec, place, tail) for place, spec in enumerate(specs)]
    tail.finish()
    if len({tensor.name for tensor in inputs}) != len(inputs):
        raise bad_request("inputs must not have the same name twice")
    return inputs


def _question(
    scorer: Scorer,
    known: Interface,
    inputs: list[Tensor],
    params: dict[str, Any] | None,
    parameters: dict[str, Any],
    *,
    strict: bool,
) -> Question:
    if known.inputs is None:
        return scorer.parse_frame(_unsigned(inputs, parameters), params, strict=strict)
    if known.columns:
        return _columns_question(scorer, known.inputs, inputs, params, strict=strict)
    plan = scorer.matrix
    arrays = _arrays(known.inputs, inputs, strict=strict)
    if known.inputs[0].column is None:
        array = arrays[known.inputs[0].name]
        if plan is not None and params is None:
            return Question(_matrix(array, plan), None, len(array), matrix=True)
        return scorer.parse_frame(array, params, strict=strict)
    return scorer.parse_frame(arrays, params, strict=strict)


def _columns_question(
    scorer: Scorer, fields: tuple[Field, ...], inputs: list[Tensor], params: dict[str, Any] | None, *, strict: bool
) -> Question:
    plan = scorer.matrix if params is None else None
    table = _table(fields, inputs)
    kinds = {field.kind for field in fields}
    if table is not None and plan is not None and len(kinds) == 1 and kinds <= {"double", "float"}:
        array = casts.numeric(table, table.array, casts.NUMERIC[fields[0].kind], strict=strict)
        return Question(_matrix(array, plan), None, len(array), matrix=True)
    columns = _columns(fields, _split(table) if table is not None else _by_name(fields, inputs), strict=strict)
    if plan is not None and (stacked := _stacked(fields, columns, plan)) is not None:
        return Question(stacked, None, len(stacked), matrix=True)
    return scorer.parse_frame(_frame(columns), params, strict=strict)


def _matrix(array: Array, plan: Matrix) -> Array:
    return np.ascontiguousarray(array, dtype=plan.dtype)


def _table(fields: tuple[Field, ...], inputs: list[Tensor]) -> Tensor | None:
    """The only tensor when it is [n, k] and holds all k columns in the signature's order, whatever its name."""
    tensor = inputs[0]
    if len(inputs) != 1 or tensor.array.ndim != _TABLE or tensor.array.shape[1] != len(fields):
        return None
    if len(fields) == 1 and fields[0].kind not in casts.NUMERIC:
        return None
    return tensor


def _split(table: Tensor) -> list[Tensor | None]:
    return [
        Tensor(table.name, table.datatype, table.array[:, place], table.where, table.content_type)
        for place in range(table.array.shape[1])
    ]


def _by_name(fields: tuple[Field, ...], inputs: list[Tensor]) -> list[Tensor | None]:
    """The tensors in the signature's order, None for an optional one that was not sent."""
    names = {field.name for field in fields}
    for tensor in inputs:
        if tensor.name not in names:
            raise invalid(f"{tensor.where} has a name the model does not know; it takes {_taken(fields)}")
    given = {tensor.name: tensor for tensor in inputs}
    missing = [field.name for field in fields if field.required and field.name not in given]
    if missing:
        raise invalid(f"inputs are missing: {envelope.listed(missing)}; the model takes {_taken(fields)}")
    return [given.get(field.name) for field in fields]


def _taken(fields: tuple[Field, ...]) -> str:
    return envelope.listed([field.name for field in fields])


def _columns(fields: tuple[Field, ...], given: list[Tensor | None], *, strict: bool) -> dict[str | int, Any]:
    columns: dict[str | int, Any] = {}
    rows = None
    for field, tensor in zip(fields, given, strict=True):
        if tensor is None:
            continue
        if rows is not None and len(tensor.array) != rows:
            raise invalid(
                f"{tensor.where} must have as many rows as the other inputs: {rows}, found {len(tensor.array)}"
            )
        rows = len(tensor.array)
        columns[field.name if field.column is None else field.column] = casts.column(tensor, field.kind, strict=strict)
    return columns


def _stacked(fields: tuple[Field, ...], columns: Mapping[str | int, Any], plan: Matrix) -> Array | None:
    """The columns side by side; None when one is not there or does not fit into the matrix exactly."""
    if len(columns) != len(fields):
        return None
    arrays = list(columns.values())
    for array in arrays:
        if array.dtype.kind == "i" and array.dtype.itemsize > 4 and (array.min() < -_EXACT or array.max() > _EXACT):  # noqa: PLR2004 - bytes
            return None
    return np.stack([array.astype(plan.dtype, copy=False) for array in arrays], axis=1)


def _frame(columns: Mapping[str | int, Any]) -> Any:  # noqa: ANN401 - a DataFrame
    import pandas as pd

    return pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})


def _arrays(fields: tuple[Field, ...], inputs: list[Tensor], *, strict: bool) -> dict[str, Array]:
    if len(fields) == 1 and fields[0].column is None and len(inputs) == 1:
        given: list[Tensor | None] = [*inputs]
    else:
        given = _by_name(fields, inputs)
    return {
        field.name: _shaped(casts.array(tensor, field.kind, strict=strict), field, tensor)
        for field, tensor in zip(fields, given, strict=True)
        if tensor is not None
    }


def _shaped(array: Array, field: Field, tensor: Tensor) -> Array:
    fits = len(array.shape) == len(field.shape) and all(
        needed in (-1, found) for needed, found in zip(field.shape, array.shape, strict=True)
    )
    if not fits:
        raise invalid(f"{tensor.where} must have shape {list(field.shape)} (-1: any), found {list(array.shape)}")
    return array


def _unsigned(inputs: list[Tensor], parameters: dict[str, Any]) -> Any:  # noqa: ANN401 - a frame or arrays
    """For a model without signature: one tensor is an array, columns are a frame, else arrays by name."""
    arrays = {tensor.name: casts.plain(tensor) for tensor in inputs}
    as_frame = parameters.get("content_type") == "pd"
    if len(inputs) == 1 and not as_frame:
        return arrays[inputs[0].name]
    flat = {name: array.reshape(len(array)) for name, array in arrays.items() if array.shape[1:] in ((), (1,))}
    if len(flat) == len(arrays) and len({len(array) for array in flat.values()}) == 1:
        return _frame({name: array.tolist() if array.dtype == object else array for name, array in flat.items()})
    if as_frame:
        raise invalid("inputs of a frame must each have shape [n] or [n, 1], with the same n")
    return arrays
