"""The page's files, `/health` and `/version`, as MLflow serves them, so that a browser need not wait for its start.

The files are those of the installed package, found without importing it (mlflow 3.17.2, server/__init__.py). What is
asked in an unusual way (ranges, dates, origins, encoded paths) is left to MLflow. Refuses to know hot calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import mimetypes
import os
import re
import time
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple
from zlib import adler32

_BUILD = "server/js/build"
_FILES = "/static-files/"
_REMEMBERED = 2419200  # seconds: names carry a hash of what is in them
_PIECE = 256 * 1024
_TEXT = {"application/ecmascript", "application/javascript", "application/sql", "application/xml"}  # with a charset
_LEFT_TO_MLFLOW = {b"range", b"if-range", b"if-match", b"if-unmodified-since", b"origin"}
_KNOWN, _SINCE = b"if-none-match", b"if-modified-since"  # browsers send both; the first wins (RFC 9110, 13.1.3)
_TAG = re.compile(rb'(?:W/)?("[^"]*")')
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")  # names that need no quotes
_PREFIX = "_MLFLOW_STATIC_PREFIX"


class Page(NamedTuple):
    """Something that is always there: a file, or a few words."""

    kind: bytes
    file: str = ""
    words: bytes = b""
    max_age: int = 0


class Pages:
    """What the front serves itself.

    Args:
        environ: what MLflow is told.
        logins: whether MLflow asks who is there; then only what strangers may see is served here.
    """

    def __init__(self, environ: Mapping[str, str], *, logins: bool) -> None:
        self._pages: dict[str, Page] = {}
        workspaces = environ.get("MLFLOW_ENABLE_WORKSPACES", "").strip().lower() in {"true", "1"}
        if environ.get(_PREFIX) or workspaces:
            return  # other paths, other answers
        self._pages |= _files()
        self._pages["/health"] = Page(b"text/plain; charset=utf-8", words=b"OK")
        with contextlib.suppress(PackageNotFoundError):
            self._pages["/version"] = Page(b"text/html; charset=utf-8", words=version("mlflow").encode())
        if logins:
            self._pages = {p: page for p, page in self._pages.items() if p == "/health" or p.startswith(_FILES)}

    def find(self, method: str, path: str) -> Page | None:
        """What is there, if it is asked for in the usual way."""
        found = self._pages.get(path)
        if found is None or not (method == "GET" or (method == "HEAD" and path != "/health")):
            return None
        return found

    async def answer(
        self,
        page: Page,
        common: Iterable[tuple[bytes, bytes]],
        scope: Any,  # noqa: ANN401 - ASGI's
        send: Any,  # noqa: ANN401 - ASGI's
    ) -> int:
        """The status answered; 0: nothing was done, and MLflow should answer.

        Args:
            page: from `find`.
            common: headers of every answer.
            scope: ASGI's.
            send: ASGI's.
        """
        asked = dict(scope["headers"])
        if not _LEFT_TO_MLFLOW.isdisjoint(asked) or (_SINCE in asked and _KNOWN not in asked):
            return 0
        if not page.file:
            headers = [(b"content-type", page.kind), (b"content-length", b"%d" % len(page.words)), *common]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else page.words})
            return 200
        return await _file(page, asked.get(_KNOWN), scope["method"], common, send)


async def _file(
    page: Page,
    condition: bytes | None,
    method: str,
    common: Iterable[tuple[bytes, bytes]],
    send: Any,  # noqa: ANN401 - ASGI's
) -> int:
    one = None if condition is None else _TAG.fullmatch(condition.strip())
    if condition is not None and one is None:  # several, or any
        return 0
    known = one[1] if one else None
    try:
        number = os.open(page.file, os.O_RDONLY)
    except OSError:
        return 0
    with open(number, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        stat = os.fstat(number)
        tag = f'"{stat.st_mtime}-{stat.st_size}-{adler32(page.file.encode()) & 0xFFFFFFFF}"'.encode()
        name = os.path.basename(page.file).encode()  # noqa: PTH119 - a string is all that is wanted
        headers = [
            (b"content-disposition", b"inline; filename=" + name),
            (b"cache-control", b"public, max-age=%d" % page.max_age if page.max_age else b"no-cache"),
            (b"etag", tag),
            (b"accept-ranges", b"bytes"),
            *common,
        ]
        if page.max_age:
            headers.append((b"expires", formatdate(int(time.time()) + page.max_age, usegmt=True).encode()))
        if known == tag:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return 304
        headers[:0] = [
            (b"content-type", page.kind),
            (b"content-length", b"%d" % stat.st_size),
            (b"last-modified", formatdate(stat.st_mtime, usegmt=True).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        left = stat.st_size if method == "GET" else 0
        while left > 0 and (piece := file.read(min(_PIECE, left))):
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
            await asyncio.sleep(0)  # hot calls first: a socket that takes all at once would not wait
        if stat.st_size == 0 or method == "HEAD":
            await send({"type": "http.response.body", "body": b""})
        return 200


def _files() -> dict[str, Page]:
    """Path -> file, for all there are: whatever else is asked for, no other file is opened."""
    spec = importlib.util.find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        return {}
    root = Path(spec.submodule_search_locations[0], _BUILD)
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            file = Path(directory, name)
            path = _FILES + file.relative_to(root).as_posix()
            kind, encoding = mimetypes.guess_type(name)
            if encoding is None and path.isascii() and _PLAIN.fullmatch(name):
                found[path] = Page(_kind(kind), str(file), max_age=_REMEMBERED)
    index = root / "index.html"
    if index.is_file():
        found["/"] = Page(b"text/html; charset=utf-8", str(index))
    return found


def _kind(guessed: str | None) -> bytes:
    kind = guessed or "application/octet-stream"
    text = kind.startswith("text/") or kind in _TEXT or kind.endswith("+xml")
    return f"{kind}; charset=utf-8".encode() if text else kind.encode()
