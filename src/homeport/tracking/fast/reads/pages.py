"""Page tokens: base64 of a JSON object with the offset (mlflow 3.17.2, utils/search_utils.py `create_page_token`).

Refuses to know pages of what.
"""

from __future__ import annotations

import base64
import binascii

import orjson

from homeport.tracking.fast.reads.request import INT64, UnsureError


def token(offset: int) -> str:
    """The token of the page that begins there."""
    return base64.b64encode(b'{"offset": %d}' % offset).decode()


def offset(text: str | None) -> int:
    """Where the page of a token begins; 0 without a token.

    Raises:
        UnsureError: not such a token.
    """
    if not text:
        return 0
    try:
        found = orjson.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise UnsureError from error
    if not isinstance(found, dict) or found.keys() != {"offset"}:
        raise UnsureError
    value = found["offset"]
    if type(value) is not int or not 0 < value <= INT64:
        raise UnsureError
    return value
