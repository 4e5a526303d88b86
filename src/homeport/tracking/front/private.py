"""The private MLflow server behind the front: one HTTP client on a unix socket that nobody else can open.

Refuses to know what is asked.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import aiohttp
from yarl import URL

_QUESTION_SECONDS = 30.0


class Reply(NamedTuple):
    """A whole response of the private server."""

    status: int
    body: bytes


class Private:
    """Asks the private server.

    Args:
        socket: path of its unix socket.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The client; belongs to the running loop, so made on first use."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(self._socket, limit=0, keepalive_timeout=4.0),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._session

    @staticmethod
    def url(target: str) -> URL:
        """A path and query as they were sent, not written anew."""
        return URL("http://mlflow" + target, encoded=True)

    async def ask(self, target: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        """A short question: GET without a body, POST with one.

        Raises:
            aiohttp.ClientError, OSError, TimeoutError: it does not answer.
        """
        method = "GET" if body is None else "POST"
        async with asyncio.timeout(_QUESTION_SECONDS):
            request = self.session.request(method, self.url(target), data=body, headers=headers, allow_redirects=False)
            async with request as response:
                return Reply(response.status, await response.read())

    async def close(self) -> None:
        """End its connections."""
        if self._session is not None:
            await self._session.close()
