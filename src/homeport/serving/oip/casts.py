"""From a tensor to what a signature's column or tensor needs, with no value changed but by a float's precision.

There is no upstream to agree with here (MLflow has no /v2): a number that does not fit is refused, never wrapped.
With `strict` precision may not be lost either.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from homeport.serving.oip import datatypes
from homeport.serving.oip.tensors import Array, Tensor
from homeport.serving.refusal import Refusal, invalid

NUMERIC = {
    "boolean": np.dtype("bool"),
    "integer": np.dtype("int32"),
    "long": np.dtype("int64"),
    "float": np.dtype("float32"),
    "double": np.dtype("float64"),
}
_VECTOR = 2


def column(tensor: Tensor, kind: str, *, strict: bool) -> Any:  # noqa: ANN401 - an array, or what a frame's column is
    """The values of one column of MLflow type `kind`; the tensor's array is [n] or [n, 1], of an array column [n, m].

    Raises:
        Refusal: 400 when the values are not of that type.
    """
    array = tensor.array
    if kind in NUMERIC:
        return numeric(tensor, _flat(tensor), NUMERIC[kind], strict=strict)
    if tensor.datatype != datatypes.BYTES:
        if kind == "array":
            return list(array.tolist())
        raise invalid(f"{tensor.where} must have datatype BYTES for a column of type {kind}")
    reader = _OBJECTS.get(kind, _json)
    values = [None if value is None else reader(value, tensor) for value in _flat(tensor)]
    return _moments(values, tensor) if kind == "datetime" else values


def array(tensor: Tensor, kind: str, *, strict: bool) -> Array:
    """The tensor with the NumPy dtype named `kind`, its shape unchanged."""
    if kind not in datatypes.TENSORS:
        return _objects(tensor, kind)
    return numeric(tensor, tensor.array, np.dtype(kind), strict=strict)


def plain(tensor: Tensor) -> Array:
    """The tensor for a model that says nothing about its inputs: numbers as sent, BYTES as text."""
    if tensor.datatype != datatypes.BYTES:
        return writable(tensor.array)
    values = [None if value is None else _text(value, tensor) for value in tensor.array.ravel()]
    return np.array(values, dtype=object).reshape(tensor.array.shape)


def numeric(tensor: Tensor, array: Array, target: np.dtype[Any], *, strict: bool) -> Array:
    """An array of numbers of dtype `target`, writable and contiguous."""
    if tensor.datatype == datatypes.BYTES:
        raise invalid(f"{tensor.where} must have a numeric datatype, found BYTES")
    if array.dtype == target:
        return writable(array)
    if target.kind == "b":
        _must(bool(((array == 0) | (array == 1)).all()), tensor, "hold 0 and 1 for a boolean")
    elif target.kind in "iu":
        _must(_fits(array, target), tensor, f"hold whole numbers that fit {target.name}")
    with np.errstate(over="ignore"):
        found = array.astype(target)
    if target.kind == "f":
        if array.dtype.kind == "f":
            _must(not bool((np.isinf(found) & ~np.isinf(array)).any()), tensor, f"hold numbers that fit {target.name}")
        _must(not strict or _same(array, found), tensor, f"hold numbers that are exact in {target.name} (strict)")
    return found


def writable(array: Array) -> Array:
    """The array itself, or a copy when it still looks into the request's body: a model may write into its input."""
    return array if array.flags.writeable else array.copy()


def _fits(array: Array, target: np.dtype[Any]) -> bool:
    limits = np.iinfo(target)
    if array.dtype.kind == "f":
        # Both bounds are powers of two, so they are exact in float64; the upper one is not included.
        wide = array.astype(np.float64)
        with np.errstate(invalid="ignore"):
            inside = (wide >= float(limits.min)) & (wide < float(limits.max) + 1) & (wide == np.floor(wide))
        return bool(inside.all())
    if array.dtype.kind == "b":
        return True
    return int(array.min()) >= limits.min and int(array.max()) <= limits.max


def _same(array: Array, found: Array) -> bool:
    if array.dtype.kind == "f":
        return bool(((found.astype(array.dtype) == array) | np.isnan(array)).all())
    # Python compares whole numbers with floats exactly; NumPy would round them first.
    return all(a == b for a, b in zip(array.ravel().tolist(), found.ravel().tolist(), strict=True))


def _flat(tensor: Tensor) -> Array:
    array = tensor.array
    if array.ndim == 1:
        return array
    if array.ndim == _VECTOR and array.shape[1] == 1:
        return array[:, 0]
    raise invalid(f"{tensor.where} must have shape [n] or [n, 1] for one column")


def _must(good: bool, tensor: Tensor, what: str) -> None:
    if not good:
        raise invalid(f"{tensor.where} must {what}")


def _text(value: str | bytes, tensor: Tensor) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"{tensor.where} must hold UTF-8 text") from error


def _raw(value: str | bytes, tensor: Tensor) -> bytes:
    if isinstance(value, bytes):
        return value
    if tensor.content_type != "base64":
        return value.encode()
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"{tensor.where} must hold base64, as its content_type says") from error


def _json(value: str | bytes, tensor: Tensor) -> Any:  # noqa: ANN401 - JSON
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise invalid(f"{tensor.where} must hold JSON in each element") from error


_OBJECTS: dict[str, Callable[[str | bytes, Tensor], Any]] = {"string": _text, "binary": _raw, "datetime": _text}


def _moments(values: list[Any], tensor: Tensor) -> Any:  # noqa: ANN401 - a DatetimeIndex
    import pandas as pd

    try:
        # MLflow's datetime columns have no zone; with one given, it is the same moment in UTC.
        return pd.to_datetime(values, format="ISO8601", utc=True).tz_localize(None).as_unit("ns")
    except (ValueError, OverflowError) as error:
        raise _no_moment(tensor) from error


def _no_moment(tensor: Tensor) -> Refusal:
    return invalid(f"{tensor.where} must hold dates and times as ISO 8601 writes them, within the years 1678 to 2261")


def _objects(tensor: Tensor, kind: str) -> Array:
    """Tensors of texts, bytes and objects (TensorSpec dtypes "str", "bytes", "object")."""
    if tensor.datatype != datatypes.BYTES:
        if kind == "object":
            return tensor.array.astype(object)
        raise invalid(f"{tensor.where} must have datatype BYTES for a tensor of type {kind}")
    read = _raw if kind == "bytes" else _text
    values: list[Any] = [None if value is None else read(value, tensor) for value in tensor.array.ravel()]
    if kind != "object" and None in values:
        raise invalid(f"{tensor.where} must not hold null for a tensor of type {kind}")
    dtype = {"str": np.str_, "bytes": np.bytes_}.get(kind, object)
    return np.array(values, dtype=dtype).reshape(tensor.array.shape)
