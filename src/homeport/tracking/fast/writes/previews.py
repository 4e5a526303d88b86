"""What MLflow shows of a trace's request and response, and the model that was asked, read from a root span's texts.

Follows mlflow 3.17.2, tracing/utils/truncation.py and tracing/otel/translation `_get_model_name`. Refuses to know
spans.
"""

from __future__ import annotations

import json
from typing import Any

_LONGEST = 1000


def plain(text: str, longest: int | None = None) -> bool:
    """Whether the database takes this text as it is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text and (longest is None or len(text) <= longest)


def preview(text: str, role: str) -> str:
    """The last message of that role, or the whole text; at most 1000 characters.

    Args:
        text: JSON.
        role: user or assistant.

    Raises:
        ValueError: upstream may fail with it.
    """
    content: Any = None
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if found is not None and (messages := _messages(found)):
        content = _text(next((m for m in reversed(messages) if m.get("role") == role), messages[-1]))
    content = content or text
    if not isinstance(content, str) or not plain(content):
        raise ValueError("no preview that surely is upstream's")
    return content if len(content) <= _LONGEST else f"{content[: _LONGEST - 3]}..."


def model_of(inputs: str | None, outputs: str | None) -> str | None:
    """The model that inputs, or else outputs, name."""
    for text in (inputs, outputs):
        if not text:
            continue
        try:
            found = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(found, dict) and (model := found.get("model")):
            return model if isinstance(model, str) else None
    return None


def _messages(found: Any) -> list[dict[str, Any]] | None:  # noqa: ANN401 - JSON
    if not isinstance(found, dict):
        return None
    if (messages := found.get("messages")) and isinstance(messages, list):
        return [item for item in messages if _is_message(item)]
    choices = found.get("choices")
    if choices and isinstance(choices, list) and isinstance(choices[0], dict):
        message = choices[0].get("message")
        if message and _is_message(message):
            return [message]
    for name in ("input", "output"):
        if (items := found.get(name)) and isinstance(items, list):
            return [item for item in items if _is_message(item)]
    return _messages(found["request"]) if "request" in found else None


def _is_message(item: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(item, dict) and "role" in item and "content" in item


def _text(message: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            if isinstance(part, str):
                return part
            if isinstance(part, dict) and part.get("type") in ("text", "output_text"):
                return part.get("text")
        return ""
    return content if isinstance(content, str) else ""
