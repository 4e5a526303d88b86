"""The S3 store: reads objects as streams and writes them whole or in parts. Refuses to know clients and artifacts."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import html
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple
from urllib.parse import quote

import aiohttp
from yarl import URL

from homeport.tracking.artifacts.destination import Destination
from homeport.tracking.artifacts.signature import EMPTY, UNSIGNED, Signer, Target

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 60.0  # boto's
_READ_BUFFER = 256 * 2**10
_PIECE = 256 * 2**10  # what is handed to a socket at once, else a part waits there a second time
_ATTEMPTS = 4
_PAUSE = 0.2  # seconds before the third attempt, doubled each time
_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")
_OK = 200
_RETRIED = {408, 429, 500, 502, 503, 504}

FAILURES = (aiohttp.ClientError, OSError, TimeoutError)


class RefusedError(Exception):
    """The store did not do what it was asked."""


class Body(NamedTuple):
    """Bytes, and their SHA-256 in hex."""

    data: bytearray
    digest: str


class Store:
    """The store's client; one connection pool.

    Args:
        destination: where it is.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._signer = Signer(destination.keys, destination.region)
        self._session: aiohttp.ClientSession | None = None

    @property
    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=_tls(self._destination)),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=_CONNECT_SECONDS, connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS
                ),
                auto_decompress=False,
                read_bufsize=_READ_BUFFER,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
            )
        return self._session

    async def read(self, name: str, wanted: str = "", *, head: bool = False) -> aiohttp.ClientResponse:
        """The store's answer, its body still to come; the caller closes it.

        Args:
            name: the object, below the destination's prefix.
            wanted: a Range header's value.
            head: whether the body is not wanted.
        """
        headers = {"range": wanted} if wanted else {}
        return await self._ask("HEAD" if head else "GET", name, headers=headers)

    async def write(self, name: str, body: Body, headers: Mapping[str, str]) -> None:
        """Put a whole object in one request.

        Raises:
            RefusedError: after the last attempt; the object is as it was, or is written.
        """
        await self._insist("PUT", name, "", headers, body)

    async def begin(self, name: str, headers: Mapping[str, str]) -> str:
        """The id of an upload in parts, invisible until it is completed."""
        said, _ = await self._insist("POST", name, "uploads", headers)
        found = _UPLOAD_ID.search(said)
        if found is None:
            raise RefusedError("the store gave no upload id")
        return html.unescape(found[1].decode())

    async def write_part(self, name: str, upload: str, number: int, body: Body) -> str:
        """Its ETag. Parts are counted from 1."""
        query = f"partNumber={number}&uploadId={_quoted(upload)}"
        _, etag = await self._insist("PUT", name, query, {}, body)
        if not etag:
            raise RefusedError("the store gave no ETag for a part")
        return etag

    async def complete(self, name: str, upload: str, etags: list[str]) -> None:
        """Make the object of these parts; only now anybody sees it."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{html.escape(etag, quote=False)}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        text = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{parts}</CompleteMultipartUpload>'
        body = body_of(bytearray(text.encode()))
        said, _ = await self._insist("POST", name, f"uploadId={_quoted(upload)}", {"content-type": "text/xml"}, body)
        if b"<CompleteMultipartUploadResult" not in said:
            raise RefusedError("the store did not complete the upload")  # S3 may say 200 and then an error

    async def abort(self, name: str, upload: str) -> None:
        """Forget the parts, as well as can be."""
        with contextlib.suppress(RefusedError):
            await self._insist("DELETE", name, f"uploadId={_quoted(upload)}", {})

    async def _insist(
        self, method: str, name: str, query: str, headers: Mapping[str, str], body: Body | None = None
    ) -> tuple[bytes, str]:
        """Body and ETag of a good answer; tries again what may succeed then, which is harmless: all of these are."""
        why = ""
        for attempt in range(_ATTEMPTS):
            if attempt > 1:  # a kept connection may have ended: once more at once
                await asyncio.sleep(_PAUSE * 2 ** (attempt - 2))
            try:
                async with await self._ask(method, name, query, headers, body) as response:
                    said = await response.read()
            except FAILURES as error:
                why = str(error) or type(error).__name__
                continue
            if response.status // 100 == _OK // 100:
                return said, response.headers.get("ETag", "")
            why = f"{response.status} {said[:300].decode(errors='replace')}"
            if response.status not in _RETRIED:
                break
        raise RefusedError(f"{method} at the object store: {why}")

    async def _ask(
        self,
        method: str,
        name: str,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> aiohttp.ClientResponse:
        place = self._destination
        path = place.path(name)
        sent = {**(headers or {}), "accept-encoding": "identity"}
        payload = EMPTY
        if body is not None:
            sent["content-length"] = str(len(body.data))
            payload = UNSIGNED if place.is_encrypted else body.digest
        elif method in {"PUT", "POST"}:
            sent["content-length"] = "0"
        signed = self._signer.headers(Target(method, place.host, path, query), sent, payload)
        url = URL(f"{place.origin}{path}{'?' if query else ''}{query}", encoded=True)
        data = _pieces(body.data) if body is not None and body.data else None
        return await self._client.request(method, url, headers=signed, data=data, allow_redirects=False)

    async def close(self) -> None:
        """End its connections."""
        if self._session is not None:
            await self._session.close()


def body_of(data: bytearray) -> Body:
    """Bytes with their digest."""
    return Body(data, hashlib.sha256(data).hexdigest())


async def _pieces(data: bytearray) -> AsyncIterator[bytes]:
    with memoryview(data) as view:
        for start in range(0, len(data), _PIECE):
            yield bytes(view[start : start + _PIECE])


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


def _tls(destination: Destination) -> ssl.SSLContext | bool:
    if not destination.is_encrypted:
        return True
    if not destination.verify:
        return False
    import certifi

    return ssl.create_default_context(cafile=destination.certificates or certifi.where())
