"""The protocol's datatypes and what they are in NumPy, in MLflow and in bytes. Tables only."""

from __future__ import annotations

BYTES = "BYTES"
BOOL = "BOOL"

# Datatype -> NumPy's name; binary tensors are little-endian (Triton, protocol/extension_binary_data.md).
NUMPY = {
    "BOOL": "|b1",
    "UINT8": "|u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "|i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
FLOATS = frozenset({"FP16", "FP32", "FP64"})
KNOWN = (*NUMPY, BYTES)

# MLflow's column types; those that are not here (array, object, map, any, sparkml_vector) are BYTES that hold JSON.
COLUMNS = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": BYTES,
    "binary": BYTES,
    "datetime": BYTES,
}

# NumPy's kind and item size in bytes -> datatype.
_BY_KIND = {(name[1], int(name[2])): datatype for datatype, name in NUMPY.items()}


def of_numpy(kind: str, size: int) -> str:
    """The datatype of arrays of this kind and item size in bytes; BYTES for what has none of its own."""
    return _BY_KIND.get((kind, size), BYTES)


# TensorSpec's dtype names -> datatype ("float64", "str", "object", …).
TENSORS = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
