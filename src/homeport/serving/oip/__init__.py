"""The Open Inference Protocol v2 over REST: requests, answers, metadata. Knows no server.

Specification: https://github.com/kserve/open-inference-protocol (2025-05) with Triton's binary tensor data extension.
NumPy is imported by the first inference, not by a server that has no model yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homeport.serving.oip.metadata import error_body, metadata, server_metadata

if TYPE_CHECKING:
    from homeport.serving.oip.questions import Scorer
    from homeport.serving.servable import Description, Question, Reply, Request

__all__ = ["encode", "error_body", "metadata", "parse", "server_metadata"]


def parse(scorer: Scorer, request: Request) -> Question:
    """What an inference request asks the model; raises Refusal (400)."""
    from homeport.serving.oip.questions import read

    return read(scorer, request)


def encode(description: Description, question: Question, prediction: Any) -> Reply:  # noqa: ANN401 - any model's answer
    """The inference response; raises Refusal (400) when an output was asked for that the model does not have."""
    from homeport.serving.oip.answers import write

    return write(description, question, prediction)
