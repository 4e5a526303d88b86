"""Tensors of the Open Inference Protocol as rows: in JSON, or as bytes after the JSON header.

Binary form: Triton's "Binary Tensor Data Extension". Refuses to know which side of a request they are from.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

_JSON_END = "json_end"  # where the header ends, noted in it
_NUMPY = {
    "BOOL": "?", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


def header(body: bytes, length: str | None) -> dict[str, Any]:
    """The JSON part of a body; its length is searched for when it is not known."""
    if length is None and body.rstrip().endswith(b"}"):
        try:
            return _object(body, len(body))
        except orjson.JSONDecodeError:
            pass  # the bytes of a tensor may look like the end of an object
    end = int(length) if length is not None else _end(body)
    return _object(body[:end], end)


def after(body: bytes, header: Mapping[str, Any]) -> memoryview:
    """The binary part of a body."""
    return memoryview(body)[header[_JSON_END] :]


def rows(found: Sequence[Mapping[str, Any]], binary: memoryview) -> list[dict[str, Any]]:
    """The tensors' rows: the first dimension counts them, a last one of length 1 is left out."""
    columns = {}
    for tensor in found:
        shape = [int(length) for length in tensor["shape"]]
        size = (tensor.get("parameters") or {}).get("binary_data_size")
        if size is None:
            values = list(_flat(tensor["data"]))
        else:
            values = _decoded(tensor["datatype"], bytes(binary[:size]))
            binary = binary[size:]
        if len(values) != math.prod(shape):
            raise ValueError("a tensor's data does not fill its shape")
        columns[str(tensor["name"])] = _shaped(values, shape)
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        return [columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _object(text: bytes, end: int) -> dict[str, Any]:
    found = orjson.loads(text)
    if not isinstance(found, dict):
        raise TypeError("an object is needed")
    return {**found, _JSON_END: end}


def _end(body: bytes) -> int:
    # Latin-1 gives every byte one character, so that places in the text are places in the body.
    return json.JSONDecoder().raw_decode(body.decode("latin-1"))[1]


def _flat(data: Any) -> Iterator[Any]:  # noqa: ANN401 - nested lists
    for value in data:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _shaped(values: list[Any], shape: list[int]) -> list[Any]:
    if not shape:
        return values
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    for length in reversed(shape[1:]):
        values = [values[start : start + length] for start in range(0, len(values), length)]
    return values


def _decoded(datatype: str, data: bytes) -> list[Any]:
    if datatype == "BYTES":
        return list(_texts(data))
    import numpy as np

    values: list[Any] = np.frombuffer(data, dtype=_NUMPY[datatype]).tolist()
    return values


def _texts(data: bytes) -> Iterator[str]:
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from("<I", data, place)
        yield data[place + 4 : place + 4 + length].decode()
        place += 4 + length
