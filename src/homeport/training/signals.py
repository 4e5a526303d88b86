"""Ctrl-C and SIGTERM as exceptions, so that a stopped training run unwinds; held back where they would be lost.

What is unwound it refuses to know.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class Terminated(BaseException):
    """SIGTERM arrived; like KeyboardInterrupt, no Exception, so that nothing takes it for a failure."""


def raise_on_signals() -> None:
    """Make SIGINT raise KeyboardInterrupt and SIGTERM raise `Terminated`, in the main thread, unless held back."""
    signal.signal(signal.SIGTERM, _arrived)
    # A shell starts background jobs with Ctrl-C ignored, and so it stays.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _arrived)


class HeldBack:
    """While inside, a signal is remembered; `check` and leaving raise it.

    A library that calls Python back from native code, as XGBoost does, prints an exception raised in such a call and
    forgets it: the signal would be lost.
    """

    _inside = False
    _remembered: BaseException | None = None

    def __enter__(self) -> HeldBack:
        """Hold signals back from now on."""
        HeldBack._inside = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let signals through again, and raise the one that came meanwhile."""
        HeldBack._inside = False
        if error is None:
            self.check()

    def check(self) -> None:
        """Raise the signal that came meanwhile, if one did."""
        remembered, HeldBack._remembered = HeldBack._remembered, None
        if remembered is not None:
            raise remembered

    @classmethod
    def arrive(cls, error: BaseException) -> None:
        """Remember the exception of a signal while one is inside, else raise it."""
        if not cls._inside:
            raise error
        cls._remembered = error


def _arrived(number: int, _frame: FrameType | None) -> None:
    HeldBack.arrive(KeyboardInterrupt() if number == signal.SIGINT else Terminated())
