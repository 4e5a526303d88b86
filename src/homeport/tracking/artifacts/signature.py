"""Signature version 4 for S3: botocore's own, without its 60 MB. Refuses to know what is sent and by whom.

Source: Amazon S3 API reference, "Signature Calculations for the Authorization Header"; proven equal to botocore's.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

EMPTY = hashlib.sha256().hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"  # the connection's TLS vouches for the body


@dataclass(frozen=True)
class Keys:
    """A static pair, and the token of a temporary one."""

    access: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


class Target(NamedTuple):
    """A request's first line and Host header: path and query percent-encoded, the query in the order of its names."""

    method: str
    host: str
    path: str
    query: str


class Signer:
    """Signs requests.

    Args:
        keys: whose.
        region: the store's.
    """

    def __init__(self, keys: Keys, region: str) -> None:
        self._keys = keys
        self._region = region
        self._day = ""
        self._key = b""

    def headers(
        self, target: Target, headers: Mapping[str, str], payload: str, now: datetime | None = None
    ) -> dict[str, str]:
        """The given headers and those that prove who asks.

        Args:
            target: what is asked.
            headers: names in lower case; those of S3 and the content type are signed.
            payload: the body's SHA-256 in hex, or `UNSIGNED`.
            now: in UTC; None: the clock's.
        """
        moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        made = {**headers, "x-amz-content-sha256": payload, "x-amz-date": moment}
        if self._keys.token:
            made["x-amz-security-token"] = self._keys.token
        signed = {"host": target.host} | {
            n: v for n, v in made.items() if n.startswith("x-amz-") or n == "content-type"
        }
        names = sorted(signed)
        canonical_query = "&".join(part if "=" in part else f"{part}=" for part in target.query.split("&") if part)
        lines = [f"{name}:{' '.join(signed[name].split())}" for name in names]
        canonical = "\n".join((target.method, target.path, canonical_query, *lines, "", ";".join(names), payload))
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        proof = hmac.digest(self._of_day(moment[:8]), text.encode(), "sha256").hex()
        made["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._keys.access}/{scope}, SignedHeaders={';'.join(names)}, "
            f"Signature={proof}"
        )
        return made

    def _of_day(self, day: str) -> bytes:
        if day != self._day:
            key = f"AWS4{self._keys.secret}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day, self._key = day, key
        return self._key
