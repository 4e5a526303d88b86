"""The MLflow scoring protocol, read: content types, JSON forms, parameters; upstream's own parser does the casts.

After mlflow/pyfunc/scoring_server/__init__.py (3.17.2); where it differs on purpose is in docs/reference/scoring.md.
It knows signatures, not models.
"""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any, NamedTuple

import orjson

from homeport.serving.refusal import Refusal, bad_request, invalid, unsupported_media
from homeport.serving.scoring import strictness
from homeport.serving.scoring.upstream import Pyfunc

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_LLM = ("messages", "prompt", "input")

# orjson reads whole numbers beyond 64 bits as floats, json does not, and a cast tells the two apart.
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_COLUMN = re.compile(r"Failed to convert column (?P<name>.*?) to type '", re.DOTALL)


class Payload(NamedTuple):
    """A request as upstream's parser hands it on.

    Args:
        data: what is to be held to the signature.
        params: parameters as sent.
        unwrapped: whether the answer stands by itself, without "predictions" (LLM requests).
    """

    data: Any
    params: Any
    unwrapped: bool = False


def media_type(content_type: str | None) -> str:
    """The media type of a Content-Type header.

    Raises:
        Refusal: there is none (400), or it, its charset or a parameter of it is not read (415).
    """
    if content_type is None:
        raise bad_request(f"the request needs a Content-Type: {JSON}, {CSV} or {PARQUET}")
    kind, *pairs = map(str.strip, content_type.split(";"))
    parameters = {key: value for key, _, value in (pair.partition("=") for pair in pairs)}
    if parameters.get("charset", "utf-8").lower() != "utf-8":
        raise unsupported_media("the charset of the Content-Type must be utf-8")
    if set(parameters) - {"charset"}:
        raise unsupported_media("the only parameter that the Content-Type may have is charset")
    if kind not in {JSON, CSV, PARQUET}:
        raise unsupported_media(f"the Content-Type must be {JSON}, {CSV} or {PARQUET}")
    return kind


def document(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; what orjson refuses and json accepts (NaN, UTF-16, lone surrogates) is accepted.

    Raises:
        Refusal: it is none.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = _slowly(body)
    if type(found) is not dict:
        raise bad_request(f"the body must be a JSON object with one of {', '.join(FORMS)}, not {_json_type(found)}")
    return found


def exact(body: bytes, found: dict[str, Any]) -> dict[str, Any]:
    """The same object with whole numbers beyond 64 bits as such."""
    if _LONG_NUMBER.search(body) is None:
        return found
    again: dict[str, Any] = _slowly(body)
    return again


def parse_json(pyfunc: Pyfunc, found: dict[str, Any], *, strict: bool) -> Payload:
    """What upstream makes of a JSON object.

    Raises:
        Refusal: it fits no form of the protocol, or not the signature.
    """
    if any(key in found for key in _LLM):
        known = {spec.name for spec in pyfunc.params_schema.params} if pyfunc.params_schema else set()
        data = {key: value for key, value in found.items() if key not in known}
        return Payload(data, {key: value for key, value in found.items() if key in known}, unwrapped=True)
    data = {form: found[form] for form in FORMS if form in found}
    params = found.get("params")
    if pyfunc.type_hinted:
        if "inputs" not in data:
            raise invalid("the model has a type hint: the body must be a JSON object with 'inputs'")
        return Payload(data["inputs"], params)
    if len(data) != 1:
        raise bad_request(f"the body must hold exactly one of {', '.join(FORMS)}; found {', '.join(data) or 'none'}")
    if strict and pyfunc.input_schema is not None:
        strictness.check(data, pyfunc.input_schema)
    return Payload(_cast(pyfunc, data), params)


def parse_csv(pyfunc: Pyfunc, body: bytes, *, strict: bool) -> Payload:
    """What upstream makes of a CSV file with a header line.

    Raises:
        Refusal: it cannot be read with the signature's types.
    """
    import pandas as pd

    schema = pyfunc.input_schema
    types = None if schema is None else _csv_types(schema)
    try:
        text = body.decode("utf-8")
        if strict and schema is not None:
            strictness.check({"inputs": pd.read_csv(StringIO(text)).to_dict("list")}, schema)
        return Payload(pd.read_csv(StringIO(text), dtype=types), None)
    except UnicodeDecodeError:
        raise bad_request("the body must be UTF-8") from None
    except Refusal:
        raise
    except Exception as error:
        raise bad_request(f"the body must be CSV with a header line ({type(error).__name__})") from None


def parse_parquet(body: bytes) -> Payload:
    """What upstream makes of a Parquet file.

    Raises:
        Refusal: it is none.
    """
    import pandas as pd
    from pyarrow import BufferReader

    # Not BytesIO: Arrow's threads let go of a Python object after the read, and where the interpreter is ending by
    # then the process aborts (apache/arrow#34314).
    try:
        return Payload(pd.read_parquet(BufferReader(body)), None)
    except Exception as error:
        raise bad_request(f"the body must be a Parquet file ({type(error).__name__})") from None


def _csv_types(schema: Any) -> Any:  # noqa: ANN401 - mlflow is untyped
    try:
        return dict(zip(schema.input_names(), schema.pandas_types(), strict=False))
    except Exception:
        raise bad_request("the model's signature has no columns that CSV could hold") from None


def _cast(pyfunc: Pyfunc, data: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever a model takes
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    try:
        return infer_and_parse_data(data, pyfunc.input_schema)
    except Exception as error:
        raise bad_request(_sentence(pyfunc, next(iter(data)), error)) from None


def _sentence(pyfunc: Pyfunc, form: str, error: Exception) -> str:
    column = _COLUMN.search(getattr(error, "message", ""))
    schema = pyfunc.input_schema
    if column is not None and schema is not None and schema.has_input_names():
        name = column["name"]
        kind = schema.input_types_dict().get(name)
        if kind is not None:
            return f"column {name} cannot be read as {getattr(kind, 'name', kind)}"
    return f"'{form}' does not hold data of that form that can be cast to the model's signature"


def _slowly(body: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise bad_request(f"the body must be JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise bad_request(f"the body must be JSON ({type(error).__name__})") from None


def _json_type(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, bool):
        return "a boolean"
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (list, "an array"), (str, "a string"), ((int, float), "a number"),
    )  # fmt: skip
    return next((name for kind, name in names if isinstance(value, kind)), "null")
