"""A model's prediction -> the inference response, as JSON or as JSON and bytes. Knows no request but what it asked for.

In JSON NaN and infinity are null, as JSON has no word for them; binary outputs carry them.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from homeport.serving.oip import datatypes, interface
from homeport.serving.oip.envelope import Asked, Output, unknown_output
from homeport.serving.oip.interface import Interface
from homeport.serving.servable import Description, Question, Reply

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

_LENGTH = struct.Struct("<I")
_TABLE = 2
_EVERYTHING = Asked(None, None, False)
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def write(description: Description, question: Question, prediction: Any) -> Reply:  # noqa: ANN401 - any model's answer
    """The response; raises Refusal (400) for an output that the model does not have."""
    asked = question.context if isinstance(question.context, Asked) else _EVERYTHING
    found = _outputs(interface.of(description.signature), prediction)
    if asked.outputs is None:
        chosen = [(Output(name, asked.binary), array) for name, array in found.items()]
    else:
        if any(each.name not in found for each in asked.outputs):
            raise unknown_output(list(found))
        chosen = [(each, found[each.name]) for each in asked.outputs]
    blobs: list[bytes] = []
    response: dict[str, Any] = {"model_name": description.name, "model_version": str(description.version)}
    if asked.id is not None:
        response["id"] = asked.id
    response["outputs"] = [_tensor(output, array, blobs) for output, array in chosen]
    head = orjson.dumps(response, option=_JSON, default=str)
    if not any(output.binary for output, _ in chosen):
        return Reply(head)
    length = {"Inference-Header-Content-Length": str(len(head))}
    return Reply(b"".join((head, *blobs)), "application/octet-stream", length)


def _tensor(output: Output, array: Array, blobs: list[bytes]) -> dict[str, Any]:
    """One item of `outputs`; its bytes, if it wants them, go to `blobs`."""
    tensor: dict[str, Any] = {"name": output.name}
    datatype = datatypes.of_numpy(array.dtype.kind, array.dtype.itemsize)
    tensor["datatype"] = datatype
    tensor["shape"] = list(array.shape)
    flat = np.ascontiguousarray(array).ravel()
    if datatype == datatypes.BYTES:
        values, content_type = _elements(flat)
        if content_type and not (output.binary and content_type == "base64"):
            tensor["parameters"] = {"content_type": content_type}
        if not output.binary:
            tensor["data"] = [_said(value) for value in values]
            return tensor
        raw = [_raw(value) for value in values]
        blob = b"".join(part for value in raw for part in (_LENGTH.pack(len(value)), value))
    else:
        # orjson and the wire both want the machine's usual order: little-endian.
        flat = flat.astype(datatypes.NUMPY[datatype], copy=False)
        if not output.binary:
            tensor["data"] = flat
            return tensor
        blob = flat.tobytes()
    blobs.append(blob)
    tensor["parameters"] = {**tensor.get("parameters", {}), "binary_data_size": len(blob)}
    return tensor


def _elements(flat: Array) -> tuple[list[Any], str | None]:
    """Texts, bytes or None, and what MLServer calls their content type when it is not plain text."""
    values = _isoformat(flat) if flat.dtype.kind == "M" else flat.tolist()
    values = [None if _missing(value) else value for value in values]
    if all(value is None or isinstance(value, (str, bytes)) for value in values):
        binary = any(isinstance(value, bytes) and _text(value) is None for value in values)
        return ([_base64(value) for value in values], "base64") if binary else (values, None)
    if any(isinstance(value, (list, dict, int, float, np.ndarray)) for value in values):
        return [None if v is None else orjson.dumps(_plain(v), option=_JSON, default=str) for v in values], "json"
    return [None if value is None else str(value) for value in values], None


class _Base64(bytes):
    """Bytes that are no text: base64 in JSON, themselves in a binary output."""


def _base64(value: Any) -> Any:  # noqa: ANN401 - text, bytes or None
    return _Base64(value) if isinstance(value, bytes) else value


def _said(value: str | bytes | None) -> str | None:
    if isinstance(value, _Base64):
        return base64.b64encode(value).decode()
    return value.decode() if isinstance(value, bytes) else value


def _raw(value: str | bytes | None) -> bytes:
    if value is None:
        return b""
    return value.encode("utf-8", "replace") if isinstance(value, str) else value


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _missing(value: Any) -> bool:  # noqa: ANN401 - any element of an object array
    """None, NaN, NaT and pandas' NA: what does not equal itself."""
    if value is None:
        return True
    if isinstance(value, (str, bytes, list, dict, np.ndarray)):
        return False
    return type(value).__name__ in {"NAType", "NaTType"} or (isinstance(value, float) and value != value)  # noqa: PLR0124 - NaN


def _plain(value: Any) -> Any:  # noqa: ANN401 - any element of an object array
    return np.ascontiguousarray(value).tolist() if isinstance(value, np.ndarray) else value


def _isoformat(flat: Array) -> list[str | None]:
    return [None if np.isnat(moment) else str(moment) for moment in flat]


def _outputs(known: Interface, prediction: Any) -> dict[str, Array]:  # noqa: ANN401 - any model's answer
    """Named arrays: by the signature's names where their number fits, else the prediction's own, else "output-0"."""
    columns = _columns(prediction)
    fields = known.outputs or ()
    if columns is not None:
        names = [f.name for f in fields] if len(fields) == len(columns) else [str(name) for name, _ in columns]
        arrays = [array for _, array in columns]
        unique = len(set(names)) == len(names)
        return dict(zip(names if unique else [f"output-{i}" for i in range(len(names))], arrays, strict=True))
    array = _array(prediction)
    if known.output_columns:
        if array.ndim == 1 and len(fields) == 1:
            return {fields[0].name: array.reshape(-1, 1)}
        if array.ndim == _TABLE and len(fields) == array.shape[1]:
            return {field.name: array[:, [place]] for place, field in enumerate(fields)}
    return {fields[0].name if len(fields) == 1 else "output-0": array}


def _columns(prediction: Any) -> list[tuple[Any, Array]] | None:  # noqa: ANN401 - any model's answer
    """The parts of a prediction that has several: a frame's columns [n, 1], a mapping's values."""
    if isinstance(prediction, Mapping):
        return [(name, _array(value)) for name, value in prediction.items()]
    if hasattr(prediction, "columns") and hasattr(prediction, "iloc"):
        return [(name, _series(prediction.iloc[:, place]).reshape(-1, 1)) for place, name in enumerate(prediction)]
    if hasattr(prediction, "to_numpy"):
        return [(getattr(prediction, "name", None) or "output-0", _series(prediction).reshape(-1, 1))]
    return None


def _series(series: pd.Series[Any]) -> Array:
    """A column's values; missing whole numbers and booleans make it float, as pandas itself does without extensions."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return np.asarray(series.to_numpy())
    kind = getattr(getattr(dtype, "numpy_dtype", None), "kind", "O")
    if kind in "iufb":
        if series.isna().any():
            return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.asarray(series.to_numpy(dtype=getattr(dtype, "numpy_dtype")))  # noqa: B009 - only extensions have it
    return np.asarray(series.astype(object).to_numpy())


def _array(value: Any) -> Array:  # noqa: ANN401 - any model's answer
    """Anything as an array of at least one dimension; what is not regular is an array of objects."""
    if hasattr(value, "to_numpy"):
        return _series(value)
    if hasattr(value, "toarray"):
        value = value.toarray()
    if isinstance(value, np.ndarray):
        return np.atleast_1d(value)
    if isinstance(value, (list, tuple)) and any(isinstance(each, (dict, bytes)) or each is None for each in value):
        array = np.empty(len(value), dtype=object)
        array[:] = value
        return _floats_with_gaps(array)
    try:
        return np.atleast_1d(np.asarray(value))
    except ValueError:
        array = np.empty(len(value), dtype=object)
        array[:] = value
        return array


def _floats_with_gaps(array: Array) -> Array:
    kinds = {type(each) for each in array if each is not None}
    return array.astype(np.float64) if kinds and kinds <= {int, float} else array
