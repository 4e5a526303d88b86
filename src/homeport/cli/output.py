"""How results, progress and errors reach the user: text or JSON, coloured only where colour is wanted.

Results go to stdout, progress and errors to stderr. Knows nothing about services.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from homeport.errors import HomeportError

_COLOURS = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}
SERVICE_COLOURS = ("36", "33", "35", "32", "34", "91", "94")


class Output:
    """Where a command writes.

    Args:
        as_json: results as JSON.
        quiet: no progress.
        stdout: where results go; sys.stdout when not given. `stderr` likewise for progress.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._out = stdout or sys.stdout
        self._err = stderr or sys.stderr
        self._transient = False

    @property
    def live(self) -> bool:
        """Whether a line may be rewritten: progress goes to a terminal that can."""
        return self._err.isatty() and os.environ.get("TERM") != "dumb" and "CI" not in os.environ and not self.quiet

    def colour(self, text: str, name: str, *, stream: IO[str] | None = None) -> str:
        """The text in a colour, or as it is where colour is not wanted (NO_COLOR, no terminal)."""
        code = _COLOURS.get(name, name)
        return f"\x1b[{code}m{text}\x1b[0m" if _coloured(stream or self._err) else text

    def result(self, text: str) -> None:
        """A line of the result."""
        self._clear()
        self._out.write(text + "\n")
        self._out.flush()

    def data(self, value: Mapping[str, Any] | Sequence[Any]) -> None:
        """The result as one JSON object on one line."""
        self._clear()
        self._out.write(json.dumps(value, default=str) + "\n")
        self._out.flush()

    def progress(self, text: str) -> None:
        """A line of progress that stays."""
        if not self.quiet:
            self._clear()
            self._err.write(text + "\n")
            self._err.flush()

    def transient(self, text: str) -> None:
        """A line of progress that the next one replaces; nothing where lines cannot be replaced."""
        if self.live:
            self._clear()
            width = _terminal_width()
            self._err.write(text[: width - 1])
            self._err.flush()
            self._transient = True

    def error(self, error: HomeportError) -> None:
        """The error block, or its object when results are JSON."""
        self._clear()
        if self.as_json:
            self._out.write(json.dumps({"error": error.as_dict()}) + "\n")
            self._out.flush()
            return
        mark = "✗" if _unicode(self._err) else "x"
        first, _, rest = error.block().partition("\n")
        self._err.write(
            f"{self.colour(mark, 'red')} {self.colour(first, 'bold')}\n{rest}\n" if rest else f"{mark} {first}\n"
        )
        self._err.flush()

    def warning(self, text: str) -> None:
        """A warning on stderr."""
        self._clear()
        self._err.write(f"{self.colour('!', 'yellow')} {text}\n")
        self._err.flush()

    def mark(self, good: bool | None) -> str:
        """✓, ✗ or !, in ASCII where the terminal has no more."""
        fancy = _unicode(self._err)
        if good is None:
            return self.colour("!", "yellow")
        return self.colour("✓" if fancy else "+", "green") if good else self.colour("✗" if fancy else "x", "red")

    def _clear(self) -> None:
        if self._transient:
            self._err.write("\r\x1b[2K")
            self._transient = False


def table(rows: Iterable[Sequence[str]], indent: str = "  ", gap: str = "  ") -> list[str]:
    """Rows as aligned columns, without trailing blanks."""
    rows = [tuple(row) for row in rows]
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    return [(indent + gap.join(cell.ljust(widths[i]) for i, cell in enumerate(row))).rstrip() for row in rows]


def _coloured(stream: IO[str]) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _unicode(stream: IO[str]) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(2).columns
    except OSError:
        return 80
