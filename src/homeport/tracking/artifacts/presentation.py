"""How artifacts are called: content types, names for downloads, and what a client already has.

Upstream's own rules, without importing it (mlflow 3.17.2: utils/mime_type_utils.py, server/handlers.py
`_content_disposition_attachment`, store/artifact/s3_artifact_repo.py `_upload_file`). Refuses to know stores.
"""

from __future__ import annotations

import os.path
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from mimetypes import guess_type
from pathlib import PurePosixPath
from urllib.parse import quote

_TEXT = frozenset({
    "txt", "log", "err", "cfg", "conf", "cnf", "cf", "ini", "properties", "prop", "hocon", "toml", "yaml", "yml", "xml",
    "json", "js", "py", "py3", "csv", "tsv", "md", "rst", "ipynb", "MLmodel", "mlproject",
})  # fmt: skip
_TOKEN = frozenset("!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~")
_SETTLED = timedelta(seconds=2)
_RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)")


def content_type(name: str) -> str:
    """What a downloaded artifact is said to be."""
    base = PurePosixPath(name).name
    extension = os.path.splitext(base)[-1].replace(".", "") or base  # noqa: PTH122 - the rule is that function's
    if extension in _TEXT:
        return "text/plain"
    return guess_type(base)[0] or "application/octet-stream"


def stored_as(name: str) -> dict[str, str]:
    """The headers with which upstream, through boto, gives an artifact to the store."""
    # Upstream guesses from an absolute path: a colon in the name is no scheme then.
    kind, encoding = guess_type(f"/{PurePosixPath(name).name}")
    return ({"content-type": kind} if kind else {}) | ({"content-encoding": encoding} if encoding else {})


def disposition(name: str) -> str:
    """The Content-Disposition of a download (RFC 6266, RFC 8187)."""
    base = PurePosixPath(name).name
    if base.isascii():
        return f"attachment; filename={_quoted(base)}"
    plain = unicodedata.normalize("NFKD", base).encode("ascii", "ignore").decode("ascii") or "download"
    return f"attachment; filename={_quoted(plain)}; filename*=UTF-8''{quote(base, safe='!#$&+-.^_`|~')}"


def _quoted(value: str) -> str:
    if _TOKEN.issuperset(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def single_range(headers: Mapping[bytes, bytes]) -> str:
    """The one range asked for; empty for none, several, or one bound to a version: the whole answers those."""
    asked = headers.get(b"range", b"").decode("latin-1").strip()
    return asked if _RANGE.fullmatch(asked) and b"if-range" not in headers else ""


@dataclass(frozen=True)
class Version:
    """What tells one content of an artifact from the next; each empty when it is not known for sure."""

    etag: str
    modified: str

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """As clients are told."""
        named = ((b"etag", self.etag), (b"last-modified", self.modified))
        return [(name, value.encode("latin-1")) for name, value in named if value]

    def is_had(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request says that its sender has this version (RFC 9110, 13.1.2 and 13.1.3)."""
        if b"if-none-match" in headers:
            tags = {tag.strip().removeprefix("W/") for tag in headers[b"if-none-match"].decode("latin-1").split(",")}
            return bool(self.etag) and ("*" in tags or self.etag.removeprefix("W/") in tags)
        since, modified = _moment(headers.get(b"if-modified-since", b"").decode("latin-1")), _moment(self.modified)
        return since is not None and modified is not None and modified <= since


def version(given: Mapping[str, str]) -> Version:
    """By the store's answer.

    A store that keeps no hashes gives every object the same empty ETag: then time and size stand for one. A time of
    which the second is not over tells nothing: a second content may follow in it.
    """
    etag, said = given.get("ETag", ""), given.get("Last-Modified", "")
    modified, now = _moment(said), _moment(given.get("Date", ""))
    if modified is None or now is None or now - modified < _SETTLED:
        said, modified = "", None
    if etag.strip('W/"'):
        return Version(etag, said)
    size = given.get("Content-Range", "").rpartition("/")[2] or given.get("Content-Length", "")
    return Version(f'"{int(modified.timestamp()):x}-{size}"' if modified else "", said)


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else None
