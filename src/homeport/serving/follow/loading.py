"""From a registered version to a loaded model: download, check, load, warm up; and when to try one again that failed.

It refuses to know which versions are wanted.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from homeport.errors import HomeportError
from homeport.serving.follow.cache import Cache
from homeport.serving.follow.catalog import Entry
from homeport.serving.follow.versions import RegisteredVersion
from homeport.serving.servable import Servable

_log = logging.getLogger(__name__)
_LONGEST_PAUSE = 300.0  # s between two tries of a version that does not load
_LONGEST_ERROR = 400

Load = Callable[[Path, RegisteredVersion], Servable]
"""Makes a servable of a version's files, warmed up; may take long and may raise anything."""

_Key = tuple[tuple[str, str, str], bool]


class NotLoaded(Exception):  # noqa: N818 - says what happened, as our other refusals do
    """A version could not be loaded, now or a moment ago; one sentence with a code."""


class Observer(Protocol):
    """Who counts what happens; called in the follower's thread."""

    def reloaded(self, name: str, version: str, seconds: float) -> None:
        """A version began to serve, so many seconds after its loading began."""

    def failed(self, name: str, version: str, error: str) -> None:
        """A version could not be loaded."""

    def registry(self, reachable: bool) -> None:
        """Whether the registry answered at the last look."""


class Loader:
    """Loads versions one after the other.

    Args:
        cache: where their files are.
        load: makes the servable.
        pause: seconds after a version's first failure; doubles with each further one.
        observe: who counts.
    """

    def __init__(self, cache: Cache, load: Load, pause: float, observe: Observer) -> None:
        self._cache, self._load, self._observe = cache, load, observe
        self._pause = max(1.0, pause)
        self._failed: dict[_Key, tuple[int, float, str]] = {}  # (tries, not before, the error)
        self._tried: set[_Key] = set()

    def new_look(self) -> None:
        """From now on each version may be tried again, once."""
        self._tried.clear()

    def entry(self, version: RegisteredVersion, *, fetch: bool, forced: bool) -> Entry:
        """The version, loaded.

        Args:
            version: which one.
            fetch: whether it may be downloaded.
            forced: try it even when its pause is not over.

        Raises:
            NotLoaded: it failed, or it failed before and its pause is not over.
        """
        key = (version.key, fetch)  # what only failed for want of the registry is tried at once when that is back
        tries, not_before, error = self._failed.get(key, (0, 0.0, ""))
        if tries and (key in self._tried or (not forced and time.monotonic() < not_before)):
            raise NotLoaded(error)
        self._tried.add(key)
        try:
            entry = self._loaded(version, fetch)
        except Exception as raised:  # a model's files and code may raise anything
            error = _sentence(raised)
            pause = min(_LONGEST_PAUSE, self._pause * 2 ** min(tries, 10))
            jitter = random.uniform(0.8, 1.2)  # noqa: S311 - no secret
            self._failed[key] = (tries + 1, time.monotonic() + pause * jitter, error)
            self._observe.failed(version.name, version.version, error)
            _log.warning("%s/%s is not served: %s", version.name, version.version, error)
            raise NotLoaded(error) from raised
        self._failed.pop(key, None)
        return entry

    def _loaded(self, version: RegisteredVersion, fetch: bool) -> Entry:
        lease = self._cache.lease(version, fetch=fetch)
        try:
            return Entry(self._load(lease.path, version), version, time.time(), lease.release)
        except BaseException:
            lease.release()
            raise


def _sentence(error: Exception) -> str:
    if isinstance(error, HomeportError):
        return str(error)[:_LONGEST_ERROR]
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:_LONGEST_ERROR] + " [MODEL_NOT_LOADED]"
