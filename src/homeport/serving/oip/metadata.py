"""What the protocol says about the server and its models, and how it writes an error. Needs only a Description."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import orjson

from homeport.serving.oip import interface
from homeport.serving.servable import Description

EXTENSIONS = ("model_repository", "binary_tensor_data")
SERVER = "homeport-serving"


def server_metadata() -> dict[str, Any]:
    """The answer to GET /v2."""
    return {"name": SERVER, "version": version("homeport"), "extensions": list(EXTENSIONS)}


def metadata(description: Description, versions: Sequence[str]) -> dict[str, Any]:
    """The answer to GET /v2/models/{name}.

    Args:
        description: the model version.
        versions: every version of the model that is served here.
    """
    found = interface.of(description.signature)
    return {
        "name": description.name,
        "versions": [str(version) for version in versions],
        "platform": _platform(description.flavors),
        "inputs": [field.described() for field in found.inputs or ()],
        "outputs": [field.described() for field in found.outputs or ()],
    }


def error_body(message: str) -> bytes:
    """The body of every answer that is not 200."""
    return orjson.dumps({"error": message})


def _platform(flavors: Sequence[str]) -> str:
    """`<project>_<format>`, as the specification wants it; the format is the model's own flavor."""
    own = [flavor for flavor in flavors if flavor != "python_function"]
    return f"mlflow_{own[0] if own else 'pyfunc'}"
