"""What is around the tensors of an inference request: the JSON header, the id, the outputs asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeport.serving.oip import tensors
from homeport.serving.oip.interface import Interface
from homeport.serving.refusal import Refusal, bad_request, invalid
from homeport.serving.servable import Request

_HEADER = "inference-header-content-length"
_MOST_DIGITS = 12
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Output:
    """One output that was asked for."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What the answer needs of its request: a Question's `context`.

    Args:
        id: to be echoed, None without one.
        outputs: the outputs asked for, in this order; None: all.
        binary: whether outputs that say nothing themselves are sent as bytes.
    """

    id: str | None
    outputs: tuple[Output, ...] | None
    binary: bool


def document(request: Request) -> tuple[dict[str, Any], int]:
    """The JSON object and where it ends in the body."""
    length = request.headers.get(_HEADER)
    body = request.body
    start = len(body)
    if length is not None:
        # ASCII digits only: int() would take "1_0" and Arabic digits.
        if not (length.isascii() and length.isdigit() and len(length) <= _MOST_DIGITS) or int(length) > len(body):
            raise bad_request("Inference-Header-Content-Length must be a number of bytes within the body")
        start = int(length)
    try:
        document = _loads(body[:start])
    except (ValueError, RecursionError, TypeError) as error:
        raise bad_request(
            "the request is not JSON" + (" up to Inference-Header-Content-Length" * (length is not None))
        ) from error
    if type(document) is not dict:
        raise bad_request("the request must be a JSON object")
    return document, start


def _loads(text: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if b"NaN" not in text and b"Infinity" not in text:
            raise
    # Python's clients write these words for missing values; they are no JSON, but what is meant is plain.
    document = json.loads(text)
    orjson.dumps(document)  # the same limits for texts, whole numbers and depth as above
    return document


def asked(document: dict[str, Any], parameters: dict[str, Any], known: Interface) -> Asked:
    """What the answer will need of the request."""
    identity = document.get("id")
    if identity is not None and type(identity) is not str:
        raise bad_request("id must be a text")
    binary = _flag(parameters, "binary_data_output", "the request")
    wanted = document.get("outputs")
    if not wanted and wanted in (None, []):
        return Asked(identity, None, binary)
    if type(wanted) is not list:
        raise bad_request("outputs must be a list")
    outputs = tuple(_output(each, place, binary) for place, each in enumerate(wanted))
    names = {each.name for each in outputs}
    if len(names) != len(outputs):
        raise bad_request("outputs must not name the same output twice")
    if known.outputs is not None and not names <= {field.name for field in known.outputs}:
        raise unknown_output([field.name for field in known.outputs])
    return Asked(identity, outputs, binary)


def unknown_output(names: Sequence[str]) -> Refusal:
    """400: an output that the model does not have."""
    return invalid(f"outputs must name what the model answers with: {listed(names)}")


def _output(spec: Any, place: int, binary: bool) -> Output:  # noqa: ANN401 - JSON
    where = f"outputs[{place}]"
    if type(spec) is not dict or type(spec.get("name")) is not str:
        raise bad_request(f"{where} must be an object with a name")
    parameters = tensors.parameters_of(spec, where)
    own = _flag(parameters, "binary_data", where) if "binary_data" in parameters else binary
    return Output(spec["name"], own)


def _flag(parameters: dict[str, Any], name: str, where: str) -> bool:
    value = parameters.get(name, False)
    if type(value) is not bool:
        raise bad_request(f"{where}: parameter {name} must be true or false")
    return value


def listed(names: Sequence[str]) -> str:
    """Names in a sentence, not more than a reader wants."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
