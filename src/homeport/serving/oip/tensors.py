"""One tensor of a request, from JSON or bytes to an array. Trusts nothing in it and allocates no more than was sent."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homeport.serving.oip import datatypes
from homeport.serving.refusal import Refusal, bad_request

Array = NDArray[Any]

# NumPy 1.26 has at most 32 dimensions.
_MOST_DIMENSIONS = 32
_LARGEST_DIMENSION = 2**31 - 1
_LENGTH = struct.Struct("<I")


@dataclass(slots=True)
class Tensor:
    """A tensor as it was sent.

    Args:
        name: as the client named it.
        datatype: the protocol's.
        array: of its shape; BYTES are objects: text (from JSON), bytes (from binary) or None.
        where: how to name it in an error without the caller's words.
        content_type: MLServer's hint in the tensor's parameters, for example "base64".
    """

    name: str
    datatype: str
    array: Array
    where: str
    content_type: str | None = None


class Tail:
    """The bytes behind the JSON header, handed out in the order of the inputs."""

    def __init__(self, body: bytes, start: int) -> None:
        self._body = body
        self._next = start

    def take(self, size: int, where: str) -> memoryview:
        """The next tensor's bytes."""
        end = self._next + size
        if end > len(self._body):
            raise bad_request(f"{where}: binary_data_size is more than the body has left")
        found = memoryview(self._body)[self._next : end]
        self._next = end
        return found

    def finish(self) -> None:
        """Refuse what no tensor asked for."""
        if self._next != len(self._body):
            raise bad_request(f"the body has {len(self._body) - self._next} bytes more than its tensors need")


def read(spec: Any, place: int, tail: Tail) -> Tensor:  # noqa: ANN401 - JSON
    """One item of a request's `inputs`; raises Refusal."""
    where = f"inputs[{place}]"
    if type(spec) is not dict:
        raise bad_request(f"{where} must be an object")
    name, datatype = spec.get("name"), spec.get("datatype")
    if type(name) is not str or not name:
        raise bad_request(f"{where}.name must be a text that is not empty")
    if type(datatype) is not str or datatype not in datatypes.KNOWN:
        raise bad_request(f"{where}.datatype must be one of {', '.join(datatypes.KNOWN)}")
    shape = _shape(spec.get("shape"), where)
    parameters = parameters_of(spec, where)
    size = parameters.get("binary_data_size")
    if size is None:
        array = _from_json(spec.get("data"), shape, datatype, where)
    else:
        if "data" in spec:
            raise bad_request(f"{where} must have data or parameters.binary_data_size, not both")
        if type(size) is not int or size < 0:
            raise bad_request(f"{where}.parameters.binary_data_size must be a whole number of bytes")
        array = _from_binary(tail.take(size, where), shape, datatype, where)
    hint = parameters.get("content_type")
    return Tensor(name, datatype, array, where, hint if type(hint) is str else None)


def parameters_of(holder: dict[str, Any], where: str) -> dict[str, Any]:
    """The `parameters` of a request, an input or an output; empty without any."""
    found = holder.get("parameters")
    if found is None:
        return {}
    if type(found) is not dict:
        raise bad_request(f"{where}.parameters must be an object")
    return found


def _shape(shape: Any, where: str) -> tuple[int, ...]:  # noqa: ANN401 - JSON
    if type(shape) is not list or not 0 < len(shape) <= _MOST_DIMENSIONS:
        raise bad_request(f"{where}.shape must be a list of 1 to {_MOST_DIMENSIONS} sizes")
    if any(type(size) is not int or not 0 < size <= _LARGEST_DIMENSION for size in shape):
        raise bad_request(f"{where}.shape must hold whole numbers from 1 to {_LARGEST_DIMENSION}")
    if prod(shape) > _LARGEST_DIMENSION:
        raise bad_request(f"{where}.shape must have at most {_LARGEST_DIMENSION} elements")
    return tuple(shape)


def _from_json(data: Any, shape: tuple[int, ...], datatype: str, where: str) -> Array:  # noqa: ANN401 - JSON
    if type(data) is not list:
        needed = "data or parameters.binary_data_size" if data is None else "data that is a list"
        raise bad_request(f"{where} must have {needed}")
    values = _flat(data, shape, where)
    return _READERS[datatype](values, datatype, where).reshape(shape)


def _flat(data: list[Any], shape: tuple[int, ...], where: str) -> list[Any]:
    """Row-major elements of flat or nested data; their number fits the shape."""
    if data and type(data[0]) is list:
        return _flat_nested(data, shape, where)
    if len(data) != prod(shape):
        raise bad_request(f"{where}.data must have {prod(shape)} elements for its shape, found {len(data)}")
    return data


def _flat_nested(data: list[Any], shape: tuple[int, ...], where: str) -> list[Any]:
    level: list[Any] = [data]
    for depth, size in enumerate(shape):
        for item in level:
            if type(item) is not list or len(item) != size:
                raise bad_request(f"{where}.data does not have its shape: {size} items are needed at depth {depth + 1}")
        level = list(chain.from_iterable(level))
    return level


def _floats(values: list[Any], datatype: str, where: str) -> Array:
    if not set(map(type, values)) <= {float, int, type(None)}:
        raise bad_request(f"{where}.data must hold numbers for {datatype}")
    wide = np.array(values, dtype=np.float64)
    if datatype == "FP64":
        return wide
    with np.errstate(over="ignore"):
        narrow = wide.astype(datatypes.NUMPY[datatype])
    if bool((np.isinf(narrow) & ~np.isinf(wide)).any()):
        raise bad_request(f"{where}.data holds a number too large for {datatype}")
    return narrow


def _integers(values: list[Any], datatype: str, where: str) -> Array:
    dtype = np.dtype(datatypes.NUMPY[datatype])
    if set(map(type, values)) != {int}:
        raise bad_request(f"{where}.data must hold whole numbers within 64 bits for {datatype}")
    limits = np.iinfo(dtype)
    if min(values) < limits.min or max(values) > limits.max:
        raise bad_request(f"{where}.data must lie between {limits.min} and {limits.max} for {datatype}")
    return np.array(values, dtype=dtype)


def _booleans(values: list[Any], datatype: str, where: str) -> Array:
    if not set(map(type, values)) <= {bool}:
        raise bad_request(f"{where}.data must hold true and false for {datatype}")
    return np.array(values, dtype=np.bool_)


def _texts(values: list[Any], datatype: str, where: str) -> Array:
    if not set(map(type, values)) <= {str, type(None)}:
        raise bad_request(f"{where}.data must hold texts for {datatype}")
    return np.array(values, dtype=object)


_READERS = {
    name: _floats if name in datatypes.FLOATS else _booleans if name == datatypes.BOOL else _integers
    for name in datatypes.NUMPY
} | {datatypes.BYTES: _texts}


def _from_binary(data: memoryview, shape: tuple[int, ...], datatype: str, where: str) -> Array:
    count = prod(shape)
    if datatype == datatypes.BYTES:
        elements = list(_elements(data, where))
        if len(elements) != count:
            raise bad_request(f"{where} must have {count} elements for its shape, found {len(elements)}")
        return np.array(elements, dtype=object).reshape(shape)
    dtype = np.dtype(datatypes.NUMPY[datatype])
    if len(data) != count * dtype.itemsize:
        raise bad_request(f"{where} needs {count * dtype.itemsize} bytes for its shape, found {len(data)}")
    if datatype == datatypes.BOOL:
        return _binary_booleans(np.frombuffer(data, dtype=np.uint8), where).reshape(shape)
    array = np.frombuffer(data, dtype=dtype).reshape(shape)
    # Behind a JSON header numbers stand at any address; native code wants them at their own.
    return array if array.flags.aligned else array.copy()


def _binary_booleans(array: Array, where: str) -> Array:
    if array.max() > 1:
        raise bad_request(f"{where} must hold bytes 0 and 1 for BOOL")
    return array.view(np.bool_)


def _elements(data: memoryview, where: str) -> Iterator[bytes]:
    place = 0
    while place < len(data):
        start = place + _LENGTH.size
        if start > len(data):
            raise _cut(where)
        place = start + _LENGTH.unpack_from(data, place)[0]
        if place > len(data):
            raise _cut(where)
        yield bytes(data[start:place])


def _cut(where: str) -> Refusal:
    return bad_request(f"{where}: a BYTES element is longer than the tensor; each has its length in 4 bytes before it")
