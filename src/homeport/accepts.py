"""What a parser accepts, as data, for whoever has to say it elsewhere: a schema, a page. Knows no setting."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Accepts:
    """Which values are taken.

    Args:
        kind: int, float, bool or str.
        least: the smallest number, or the fewest characters.
        most: the largest number, or the most characters.
        words: the only texts.
        schemes: of a URI; "" among them: a plain path too.
        pattern: of the whole text, in the syntax that Python, Go and JavaScript share (no lookaround).
    """

    kind: type = str
    least: float | None = None
    most: float | None = None
    words: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    pattern: str = ""

    def fits(self, text: str) -> bool:
        """Whether a text has this length and pattern."""
        long_enough = self.least is None or len(text) >= self.least
        short_enough = self.most is None or len(text) <= self.most
        return long_enough and short_enough and re.fullmatch(self.pattern, text) is not None


@dataclass(frozen=True, eq=False)
class Taking(Generic[T]):
    """A parser that says what it accepts.

    Args:
        parse: raw value -> value; raises ValueError with what was expected.
        accepts: what it takes.
    """

    parse: Callable[[object], T]
    accepts: Accepts

    def __call__(self, raw: object) -> T:
        """The value, or ValueError."""
        return self.parse(raw)


def taking(accepts: Accepts) -> Callable[[Callable[[object], T]], Taking[T]]:
    """Let a parser say what it accepts."""

    def with_accepts(parse: Callable[[object], T]) -> Taking[T]:
        return Taking(parse, accepts)

    return with_accepts
