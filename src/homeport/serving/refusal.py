"""What a request is refused with: a status, MLflow's error code, a sentence, and the headers that belong to it.

One exception for every protocol; each protocol writes it in its own form. Never holds the caller's data or a trace.
"""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):  # noqa: N818 - what is refused need not be an error of anybody's
    """A request that is not answered with a prediction.

    Args:
        status: HTTP status: 4xx is the caller's, 5xx is ours.
        code: MLflow's error code (mlflow.protos.databricks_pb2.ErrorCode), for example ``BAD_REQUEST``.
        message: one sentence: what was needed and what was found, without the caller's values.
        headers: further response headers, for example ``Retry-After``.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def __reduce__(self) -> tuple[object, ...]:
        """Refusals cross from an isolated process."""
        return (Refusal, (self.status, self.code, self.message, self.headers))


def bad_request(message: str) -> Refusal:
    """400: the request cannot be read."""
    return Refusal(400, "BAD_REQUEST", message)


def invalid(message: str) -> Refusal:
    """400: the request can be read and does not fit the model's signature."""
    return Refusal(400, "INVALID_PARAMETER_VALUE", message)


def not_found(message: str) -> Refusal:
    """404: no such model, version or alias here."""
    return Refusal(404, "RESOURCE_DOES_NOT_EXIST", message)


def unsupported_media(message: str) -> Refusal:
    """415: a content type that is not read."""
    return Refusal(415, "UNSUPPORTED_MEDIA_TYPE", message)


def model_failed(message: str) -> Refusal:
    """500: the model raised an exception for a request that fits its signature."""
    return Refusal(500, "INTERNAL_ERROR", message)
