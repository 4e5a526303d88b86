"""The parameters of GET /training-data: which rows, and written how.

They are read as text and checked here, so that a wrong one is refused in the same form as everything else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from homeport.serving.feedback.formats import FORMATS, Format
from homeport.serving.feedback.training_data import Selection
from homeport.serving.refusal import Refusal, invalid

_MOST_ROWS = 10**18 - 1
_NO_ZERO = r"^[^\u0000]*$"  # PostgreSQL's texts have no zero characters


def _parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON Schema
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


# For the OpenAPI document.
PARAMETERS = (
    _parameter("model", "Registered model.", pattern=_NO_ZERO),
    _parameter("version", "Its version.", pattern=_NO_ZERO),
    _parameter("since", "Predicted at this time or later; UTC when it has no offset.", format="date-time"),
    _parameter("until", "Predicted before this time.", format="date-time"),
    _parameter("labelled", "Only rows with a truth, or only those without one.", enum=["true", "false"]),
    _parameter("limit", "At most so many rows, the oldest first.", type="integer", minimum=1, maximum=_MOST_ROWS),
    _parameter("format", "Instead of the Accept header; csv when neither says.", enum=list(FORMATS)),
)
_NAMES = tuple(str(parameter["name"]) for parameter in PARAMETERS)


def selection(parameters: Mapping[str, str]) -> Selection:
    """The rows that are asked for; raises Refusal (400)."""
    if parameters.keys() - set(_NAMES):
        raise invalid(f"there is a parameter that is none of: {', '.join(_NAMES)}")
    return Selection(
        model=_text(parameters, "model"),
        version=_text(parameters, "version"),
        since=_time(parameters, "since"),
        until=_time(parameters, "until"),
        labelled=_choice(parameters, "labelled"),
        limit=_number(parameters, "limit"),
    )


def written(name: str | None, accept: str) -> Format:
    """The format that is asked for by name, else by an Accept header; raises Refusal (400 or 406)."""
    if name is not None:
        if name not in FORMATS:
            raise invalid(f"format must be one of: {', '.join(FORMATS)}")
        return FORMATS[name]
    for wanted in _accepted(accept):
        for one in FORMATS.values():
            if wanted in {one.media_type, *one.also, f"{one.media_type.partition('/')[0]}/*", "*/*"}:
                return one
    kinds = ", ".join(one.media_type for one in FORMATS.values())
    raise Refusal(406, "INVALID_PARAMETER_VALUE", f"Accept must allow one of: {kinds}")


def _accepted(header: str) -> list[str]:
    """The media types of an Accept header, the most wanted first."""
    ranked = []
    for part in header.split(",") if header.strip() else ["*/*"]:
        kind, *parameters = (text.strip().lower() for text in part.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        with contextlib.suppress(ValueError):
            ranked.append((-float(quality), kind))
    return [kind for quality, kind in sorted(ranked, key=lambda pair: pair[0]) if quality < 0]


def _text(parameters: Mapping[str, str], name: str) -> str | None:
    text = parameters.get(name)
    if text is not None and "\0" in text:
        raise invalid(f"{name} must not have a zero character in it")
    return text


def _time(parameters: Mapping[str, str], name: str) -> datetime | None:
    text = parameters.get(name)
    if text is None:
        return None
    try:
        # A plus sign that was not written as %2B arrives as a space.
        found = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        # PostgreSQL knows fewer offsets than ISO 8601.
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid(f"{name} must be a time like 2026-01-31T12:00:00Z, or a date") from None


def _choice(parameters: Mapping[str, str], name: str) -> bool | None:
    text = parameters.get(name)
    if text not in {None, "true", "false"}:
        raise invalid(f"{name} must be true or false")
    return None if text is None else text == "true"


def _number(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_MOST_ROWS))) or int(text) < 1:
        raise invalid(f"{name} must be an integer from 1 on")
    return int(text)
