"""When a service that ended is started again, and after which pause. Pure: time and chance come from outside."""

from __future__ import annotations

from dataclasses import dataclass

from homeport.model.service import Restart

FIRST, LONGEST = 0.2, 30.0
CALM = 60.0
"""Seconds of health after which the next pause is short again."""

ATTEMPTS = 3
"""Attempts before the first health of the first start; then the start fails."""

_SPREAD = 0.5


def again(policy: Restart, code: int) -> bool:
    """Whether a service that ended by itself with this exit code (minus the signal) is started again."""
    return policy is Restart.UNLESS_STOPPED or (policy is Restart.ON_FAILURE and code != 0)


@dataclass
class Backoff:
    """Pauses that double from 0.2 s to 30 s, each shortened by chance so that services do not restart in step."""

    failures: int = 0

    def pause(self, calm: float, chance: float) -> float:
        """Seconds until the next start.

        Args:
            calm: seconds the service had been healthy before it ended.
            chance: from 0 to 1; how much of the spread is taken off.
        """
        if calm >= CALM:
            self.failures = 0
        full = min(LONGEST, FIRST * 2.0 ** min(self.failures, 16))
        self.failures += 1
        return full * (1.0 - _SPREAD * chance)
