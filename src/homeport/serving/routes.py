"""Scoring paths: which protocol, model, version and alias a path names. Text in, data out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from homeport.serving.servable import Dialect

_MOST_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Route:
    """What a scoring path names; None where it leaves the choice to us."""

    dialect: Dialect
    name: str | None = None
    version: str | None = None
    alias: str | None = None


_NAME, _VERSION, _ALIAS = r"(?P<name>[^/]+?)", r"(?P<version>[^/]+)", r"(?P<alias>[^/@]+)"
_PATTERNS = (
    (Dialect.MLFLOW, re.compile(r"/invocations")),
    (Dialect.MLFLOW, re.compile(rf"/models/{_NAME}@{_ALIAS}/invocations")),
    (Dialect.MLFLOW, re.compile(rf"/models/{_NAME}/versions/{_VERSION}/invocations")),
    (Dialect.MLFLOW, re.compile(rf"/models/{_NAME}/invocations")),
    (Dialect.OIP, re.compile(rf"/v2/models/{_NAME}/versions/{_VERSION}/infer")),
    (Dialect.OIP, re.compile(rf"/v2/models/{_NAME}/infer")),
)


class Routes:
    """Finds routes; remembers the paths it has seen, up to a limit."""

    def __init__(self) -> None:
        self._known: dict[bytes, Route | None] = {}

    def find(self, raw_path: bytes) -> Route | None:
        """The route of a path as it was sent (percent-encoded); None when it is no scoring path."""
        try:
            return self._known[raw_path]
        except KeyError:
            pass
        found = _read(raw_path.decode("latin-1"))
        if len(self._known) < _MOST_REMEMBERED:
            self._known[raw_path] = found
        return found


def _read(path: str) -> Route | None:
    for dialect, pattern in _PATTERNS:
        if match := pattern.fullmatch(path):
            return Route(dialect, **{name: unquote(value) for name, value in match.groupdict().items()})
    return None
