"""Whether the registry answers, since when, and how long to wait before it is asked again."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from homeport.serving.follow.bindings import iso
from homeport.serving.follow.errors import RegistryAway, RegistryRefused

_log = logging.getLogger(__name__)
_LONGEST_PAUSE = 30.0  # s between two tries while the registry is away


class Reachability:
    """What is known of the registry.

    Args:
        uri: its address, without credentials.
    """

    def __init__(self, uri: str) -> None:
        self._failed = 0  # looks in a row
        self.row: dict[str, Any] = {"reachable": False, "since": iso(time.time()), "error": "not asked yet", "uri": uri}
        """{"reachable", "since", "error", "uri"}; replaced as a whole, never changed."""

    @property
    def reachable(self) -> bool:
        """Whether it answered last."""
        return bool(self.row["reachable"])

    def answered(self) -> None:
        """It answered."""
        self._failed = 0
        self._is(True, None)

    def failed(self, error: RegistryAway | RegistryRefused) -> None:
        """It did not answer, or does not let us in."""
        self._failed += 1
        self._is(not isinstance(error, RegistryAway), str(error))

    def pause(self, interval: float) -> float:
        """Seconds until the next look: about `interval`, never in step with other workers; longer while it is away."""
        if not self._failed:
            return interval * random.uniform(0.7, 1.3)  # noqa: S311 - no secret
        grown = min(_LONGEST_PAUSE, interval * 2.0 ** min(self._failed, 10))
        return float(max(interval, grown)) * random.uniform(0.6, 1)  # noqa: S311 - no secret

    def _is(self, reachable: bool, error: str | None) -> None:
        before = self.row
        if (before["reachable"], before["error"] is None) == (reachable, error is None):
            self.row = before | {"error": error}
            return
        self.row = before | {"reachable": reachable, "error": error, "since": iso(time.time())}
        _log.log(logging.INFO if error is None else logging.WARNING, "registry: %s", error or "reachable")
