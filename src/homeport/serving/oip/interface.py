"""The tensors a model takes and answers with, read from its signature as the registry's JSON has it.

One reading for metadata, requests and answers, so that the three cannot disagree. Imports neither NumPy nor MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeport.serving.oip import datatypes

_MOST_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Field:
    """One tensor of a model.

    Args:
        name: as clients name it.
        datatype: the protocol's.
        shape: -1 is any size.
        kind: MLflow's type of a column ("double", "array", …) or NumPy's name of a tensor's dtype.
        column: the name in MLflow's signature, or its place when it has no name; None for a tensor without name.
        required: whether it must be there.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    kind: str
    column: str | int | None
    required: bool = True

    def described(self) -> dict[str, Any]:
        """As model metadata shows it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class Interface:
    """A signature as tensors.

    Args:
        inputs: what it takes, None when the model has no signature for it.
        outputs: what it answers, None when that is not known before it has answered.
        columns: whether `inputs` are the columns of a frame; else they are tensors.
        output_columns: the same of `outputs`.
        params: names of MLflow's inference parameters.
    """

    inputs: tuple[Field, ...] | None
    outputs: tuple[Field, ...] | None
    columns: bool
    output_columns: bool
    params: frozenset[str]


_known: dict[int, tuple[Mapping[str, Any], Interface]] = {}
_NOTHING: Mapping[str, Any] = {}


def of(signature: Mapping[str, Any] | None) -> Interface:
    """The interface of a description's signature, read once."""
    signature = _NOTHING if signature is None else signature
    found = _known.get(id(signature))
    # The signature is kept with its interface: as long as it is here, no other object has its id.
    if found is not None and found[0] is signature:
        return found[1]
    interface = _read(signature)
    if len(_known) >= _MOST_REMEMBERED:
        _known.clear()
    _known[id(signature)] = (signature, interface)
    return interface


def _read(signature: Mapping[str, Any]) -> Interface:
    inputs: Sequence[Mapping[str, Any]] = signature.get("inputs") or ()
    outputs: Sequence[Mapping[str, Any]] = signature.get("outputs") or ()
    return Interface(
        inputs=_fields(inputs, "input") if inputs else None,
        outputs=_fields(outputs, "output") if outputs else None,
        columns=bool(inputs) and not _tensors(inputs),
        output_columns=bool(outputs) and not _tensors(outputs),
        params=frozenset(each["name"] for each in signature.get("params") or ()),
    )


def _tensors(specs: Sequence[Mapping[str, Any]]) -> bool:
    return specs[0].get("type") == "tensor"


def _fields(specs: Sequence[Mapping[str, Any]], prefix: str) -> tuple[Field, ...]:
    read = _tensor if _tensors(specs) else _column
    return tuple(read(spec, f"{prefix}-{place}", place) for place, spec in enumerate(specs))


def _column(spec: Mapping[str, Any], name: str, place: int) -> Field:
    kind = str(spec["type"])
    column = spec.get("name", place)
    return Field(
        name=str(spec.get("name", name)),
        datatype=datatypes.COLUMNS.get(kind, datatypes.BYTES),
        shape=(-1, 1),
        kind=kind,
        column=column,
        required=bool(spec.get("required", True)),
    )


def _tensor(spec: Mapping[str, Any], name: str, place: int) -> Field:
    del place
    tensor = spec["tensor-spec"]
    return Field(
        name=str(spec.get("name", name)),
        datatype=datatypes.TENSORS.get(str(tensor["dtype"]), datatypes.BYTES),
        shape=tuple(int(size) for size in tensor["shape"]),
        kind=str(tensor["dtype"]),
        column=spec.get("name"),
    )
