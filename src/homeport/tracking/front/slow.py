"""The log of slow requests: one line each on stderr, and no more than a few a second.

Refuses to know why they were slow.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping

VARIABLE = "HOMEPORT_SLOW_SECONDS"
_DEFAULT = 1.0
_A_SECOND = 5  # lines


def limit(environ: Mapping[str, str]) -> float:
    """Seconds from which a request is slow; infinite where the log is off, the default for what is no number."""
    try:
        seconds = float(environ.get(VARIABLE, "").strip() or _DEFAULT)
    except ValueError:
        return _DEFAULT
    return seconds if seconds > 0 else math.inf


class SlowLog:
    """Writes the lines.

    Args:
        seconds: what is slow.
        write: takes a line.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        seconds: float,
        write: Callable[[str], object] = sys.stderr.write,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self._write = write
        self._clock = clock
        self._window = -1
        self._lines = 0
        self._left_out = 0

    def note(
        self, *, method: str, path: str, status: int, seconds: float, route: str, how: str, sent: int | None = None
    ) -> None:
        """One slow request.

        Args:
            method: its method.
            path: its path; the query may hold what is nobody's business.
            status: 0 where nobody waited for the answer.
            seconds: from its headers to the end of its answer.
            route: the hot call's name, or `mlflow`.
            how: `fast` or `passed`.
            sent: bytes of the answer's body.
        """
        window = int(self._clock())
        if window != self._window:
            self._window, self._lines = window, 0
            if self._left_out:
                self._write(f"slow: {self._left_out} more within a second\n")
                self._left_out = 0
        if self._lines >= _A_SECOND:
            self._left_out += 1
            return
        self._lines += 1
        said = path.encode("unicode_escape").decode("ascii")[:200]  # one line, whatever is in it
        size = "" if sent is None else f" {sent} bytes"
        self._write(f"slow: {method} {said} {status or 'gone'} {seconds:.3f} s {route} {how}{size}\n")
