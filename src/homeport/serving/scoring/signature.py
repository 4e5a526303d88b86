"""A numeric signature, compiled: from JSON lists to one array with the values that MLflow's casts would give.

Whatever is not plainly safe is left to MLflow's own code: every reader here returns None for "not by this way".
It knows JSON values and arrays, neither HTTP nor models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature

Matrix = NDArray[Any]

_TYPES: dict[str, np.dtype[Any]] = {
    "double": np.dtype("float64"),
    "float": np.dtype("float32"),
    "integer": np.dtype("int32"),
    "long": np.dtype("int64"),
    "boolean": np.dtype("bool"),
}
_TENSORS = {str(dtype): name for name, dtype in _TYPES.items() if name != "boolean"}
_PLAIN = frozenset({float, int, bool, type(None)})
# Up to here every whole number is a float64, so it does not matter in which order values are cast.
_EXACT = 2.0**53
_INT32 = 2.0**31
_MATRIX_DIMENSIONS = 2


@dataclass(frozen=True)
class MatrixPlan:
    """What the array handed to a predictor looks like.

    Args:
        names: the columns in the signature's order; for an unnamed tensor their numbers as text.
        types: MLflow's names of their types.
        required: whether each must be there.
        dtype: of the array.
        tensor: whether the signature is one unnamed tensor of shape [-1, columns].
        indexed: whether a row index in the request may be ignored, because the model never sees one.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    required: tuple[bool, ...]
    dtype: np.dtype[Any]
    tensor: bool = False
    indexed: bool = True

    @classmethod
    def compile(cls, signature: ModelSignature | None) -> MatrixPlan | None:
        """The plan of a signature; None when it is not numeric throughout or takes parameters."""
        from mlflow.types import DataType

        if signature is None or signature.inputs is None or signature.params or not signature.inputs.inputs:
            return None
        schema = signature.inputs
        if schema.is_tensor_spec():
            return cls._tensor(schema)
        types = [t.name if isinstance(t, DataType) else "" for t in schema.input_types()]
        if not schema.has_input_names() or not all(t in _TYPES for t in types):
            return None
        if not all(isinstance(name, str) for name in schema.input_names()):
            return None
        dtype = _TYPES["float"] if set(types) == {"float"} else _TYPES["double"]
        required = tuple(bool(c.required) for c in schema.inputs)
        return cls(tuple(schema.input_names()), tuple(types), required, dtype)

    @classmethod
    def _tensor(cls, schema: Any) -> MatrixPlan | None:  # noqa: ANN401 - mlflow is untyped
        spec = schema.inputs[0]
        kind = _TENSORS.get(str(spec.type))
        if len(schema.inputs) != 1 or schema.has_input_names() or kind is None:
            return None
        if len(spec.shape) != _MATRIX_DIMENSIONS or spec.shape[0] != -1 or spec.shape[1] < 1:
            return None
        width = spec.shape[1]
        return cls(tuple(map(str, range(width))), (kind,) * width, (True,) * width, np.dtype(spec.type), tensor=True)

    def read(self, document: dict[str, Any]) -> Matrix | None:
        """The array of a request's JSON object, its parameters removed; None for "not by this way"."""
        if len(document) != 1:
            return None
        ((form, data),) = document.items()
        if self.tensor:
            return self._array(data, None) if form in {"inputs", "instances"} else None
        if form == "dataframe_split":
            return self._split(data)
        if form == "dataframe_records":
            return self._records(data)
        if form in {"inputs", "instances"}:
            return self._columns(data) if type(data) is dict else self._records(data)
        return None

    def frame(self, matrix: Matrix) -> pd.DataFrame | Matrix:
        """What MLflow would hand to the model for this array: a frame of the signature's types, or the tensor."""
        import pandas as pd

        if self.tensor:
            return matrix
        if len(set(self.types)) == 1:
            # Column after column in memory, as in upstream's frame: sums depend on it in their last bits.
            columns = np.asfortranarray(matrix.astype(_TYPES[self.types[0]], copy=False))
            return pd.DataFrame(columns, columns=self._index, copy=False)
        return pd.DataFrame({n: matrix[:, i].astype(_TYPES[self.types[i]]) for i, n in enumerate(self.names)})

    def from_frame(self, data: Any) -> Matrix | None:  # noqa: ANN401 - whatever MLflow's enforcement returned
        """The array of data that MLflow has already cast to the signature; None when it does not fit in one."""
        import pandas as pd

        if self.tensor:
            fits = isinstance(data, np.ndarray) and data.ndim == _MATRIX_DIMENSIONS and data.dtype == self.dtype
            # Another order in memory is left as it is: sums depend on it in their last bits.
            return data if fits and len(data) and data.flags.c_contiguous else None
        if not isinstance(data, pd.DataFrame) or list(data.columns) != self._names or not len(data):
            return None
        columns = [data[name].to_numpy() for name in self.names]
        if any(c.dtype.kind not in "fiub" for c in columns):
            return None
        if not self.indexed and not data.index.equals(pd.RangeIndex(len(data))):
            return None
        if any(c.dtype.kind in "iu" and not _within(c, _EXACT) for c in columns):
            return None
        return np.stack([c.astype(self.dtype, copy=False) for c in columns], axis=1)

    def _split(self, data: Any) -> Matrix | None:  # noqa: ANN401 - JSON
        if type(data) is not dict:
            return None
        columns, rows = data.get("columns"), data.get("data")
        if len(data) != 2:  # noqa: PLR2004 - the keys that are always there
            ignored = self.indexed and len(data) == 3 and _plain_index(data.get("index"), rows)  # noqa: PLR2004 - and an index
            if not ignored:
                return None
        if columns == self._names:
            return self._array(rows, None)
        order = self._order(columns)
        return None if order is None else self._array(rows, order)

    def _order(self, columns: Any) -> list[int] | None:  # noqa: ANN401 - JSON
        """Where the signature's columns stand among these; others are ignored, as upstream does."""
        if type(columns) is not list or any(type(c) is not str for c in columns):
            return None
        places = {name: place for place, name in enumerate(columns)}
        if len(places) != len(columns) or any(name not in places for name in self.names):
            return None
        # The last item is the width that rows must have.
        return [*(places[name] for name in self.names), len(columns)]

    def _records(self, records: Any) -> Matrix | None:  # noqa: ANN401 - JSON
        if type(records) is not list or any(type(r) is not dict or len(r) != len(self.names) for r in records):
            return None
        try:
            return self._array(list(map(self._values, records)), None)
        except KeyError:
            return None

    def _columns(self, columns: dict[str, Any]) -> Matrix | None:
        if len(columns) != len(self.names) or any(type(v) is not list for v in columns.values()):
            return None
        try:
            array = self._numbers([columns[name] for name in self.names])
        except KeyError:
            return None
        if array is None or array.ndim != _MATRIX_DIMENSIONS or not array.size:
            return None
        return self._cast(np.ascontiguousarray(array.T))

    def _array(self, rows: Any, order: list[int] | None) -> Matrix | None:  # noqa: ANN401 - JSON
        array = self._numbers(rows)
        width = self._width if order is None else order[-1]
        if array is None or array.ndim != _MATRIX_DIMENSIONS or array.shape[1] != width or not len(array):
            return None
        return self._cast(array if order is None else np.ascontiguousarray(array[:, order[:-1]]))

    def _numbers(self, values: Any) -> Matrix | None:  # noqa: ANN401 - JSON
        """Numbers, booleans and nulls as an array; None for anything else, texts that look like numbers included."""
        if type(values) is not list:
            return None
        try:
            array = np.array(values)
        except (ValueError, OverflowError):
            return None
        kind = array.dtype.kind
        if kind in "fiub":
            return array
        if kind != "O" or array.ndim != _MATRIX_DIMENSIONS or not self._floats:
            return None
        return array.astype(np.float64) if set(map(type, array.ravel().tolist())) <= _PLAIN else None

    def _cast(self, array: Matrix) -> Matrix | None:
        if self._doubles:
            return array if array.dtype == self.dtype else array.astype(self.dtype)
        if array.dtype.kind in "iu" and not _within(array, _EXACT):
            return None
        if self.tensor and self.dtype.kind == "i":
            return array.astype(self.dtype) if array.dtype.kind in "iu" and self._whole(array) else None
        values = array.astype(np.float64)
        if not self._whole(values):
            return None
        if self.dtype == _TYPES["float"]:
            return _narrow(values)
        for place, kind in enumerate(self.types):
            if kind == "float":
                values[:, place] = _narrow(values[:, place])
            elif kind != "double":
                values[:, place] += 0.0  # minus zero is no integer
        return values

    def _whole(self, values: Matrix) -> bool:
        """Whether casting to the columns' types changes nothing but a float's precision."""
        return all(_fits(values[:, place], kind) for place, kind in enumerate(self.types) if kind != "double")

    @cached_property
    def _names(self) -> list[str]:
        return list(self.names)

    @cached_property
    def _width(self) -> int:
        return len(self.names)

    @cached_property
    def _index(self) -> pd.Index[str]:
        import pandas as pd

        return pd.Index(self._names)

    @cached_property
    def _doubles(self) -> bool:
        return set(self.types) == {"double"}

    @cached_property
    def _floats(self) -> bool:
        """Whether every column can hold a missing value."""
        return set(self.types) <= {"double", "float"}

    @cached_property
    def _values(self) -> Any:  # noqa: ANN401 - itemgetter's call is Any
        if len(self.names) == 1:
            name = self.names[0]
            return lambda record: (record[name],)
        return itemgetter(*self.names)


def _within(values: Matrix, limit: float) -> bool:
    return bool(((values > -limit) & (values < limit)).all())


def _narrow(values: Matrix) -> Matrix:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _fits(values: Matrix, kind: str) -> bool:
    if kind == "boolean":
        return bool(((values == 0) | (values == 1)).all())
    if kind == "float":
        return bool((np.isnan(values) | (np.abs(values) < _EXACT)).all())
    limit_low, limit_high = (-_INT32, _INT32 - 1) if kind == "integer" else (-_EXACT + 1, _EXACT - 1)
    return bool(((values >= limit_low) & (values <= limit_high) & (values == np.floor(values))).all())


def _plain_index(index: Any, rows: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether a row index says nothing: one whole number a row, as pandas writes it."""
    if type(index) is not list or type(rows) is not list or len(index) != len(rows):
        return False
    return all(type(i) is int for i in index)


def rows_of(data: Any) -> int:  # noqa: ANN401 - whatever a model takes
    """Number of rows in data for a model, 0 when it cannot be said."""
    import pandas as pd

    if isinstance(data, (pd.DataFrame, pd.Series, list)):
        return len(data)
    if isinstance(data, np.ndarray):
        return len(data) if data.ndim else 1
    if isinstance(data, dict) and data:
        sizes = {len(v) for v in data.values() if isinstance(v, (np.ndarray, list, Sequence)) and np.ndim(v) > 0}
        return sizes.pop() if len(sizes) == 1 else 0
    return 0
