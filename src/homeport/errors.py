"""What went wrong, as a value: what, the evidence, why, and the command that fixes it.

Everything Homeport refuses or fails at ends in a HomeportError. This module renders the block a person reads and
the object a script reads; it refuses to know who prints it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

_LABEL_WIDTH = 11


class ExitCode(IntEnum):
    """Exit codes of every Homeport command (docs/reference/exit-codes.md)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_READY = 3
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(unsafe_hash=True)  # not frozen: Python sets __traceback__ on an exception that passes a context manager
class HomeportError(Exception):
    """A refusal or a failure that says what, the evidence, why, and the fix.

    Args:
        code: stable name for scripts, CATEGORY_ISSUE, for example ``PORT_TAKEN``.
        what: one sentence, lower case, no full stop.
        why: the likely cause, as far as it is known.
        fix: the command or the change that mends it.
        evidence: (label, text) rows shown between what and why, for example ``("last probe", "GET /ready -> 503")``.
        log: the log file with the details, if there is one.
        aside: what was done about it, for example "everything this command started was stopped".
        exit_code: what the command exits with.
    """

    code: str
    what: str
    why: str = ""
    fix: str = ""
    evidence: tuple[tuple[str, str], ...] = ()
    log: str = ""
    aside: str = ""
    exit_code: int = field(default=ExitCode.FAILED)

    def __str__(self) -> str:
        """The sentence and the code, for tracebacks and logs."""
        return f"{self.what} [{self.code}]"

    def block(self) -> str:
        """The block a person reads, without colour and without a trailing newline."""
        rows = [*self.evidence, ("why", self.why), ("fix", self.fix), ("code", self._code_row())]
        lines = [self.what]
        for label, text in rows:
            lines.extend(_row(label, text))
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """The object a script reads; every key is always there."""
        return {
            "code": self.code,
            "what": self.what,
            "evidence": [{"label": label, "text": text} for label, text in self.evidence],
            "why": self.why,
            "fix": self.fix,
            "log": self.log,
            "aside": self.aside,
            "exit_code": int(self.exit_code),
        }

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> HomeportError:
        """The error that `as_dict` wrote; unknown keys are ignored, missing ones empty."""
        rows = data.get("evidence")
        evidence = (
            tuple((str(r.get("label", "")), str(r.get("text", ""))) for r in rows) if isinstance(rows, list) else ()
        )
        code = data.get("exit_code")
        return cls(
            code=str(data.get("code", "UNKNOWN")),
            what=str(data.get("what", "")),
            why=str(data.get("why", "")),
            fix=str(data.get("fix", "")),
            evidence=evidence,
            log=str(data.get("log", "")),
            aside=str(data.get("aside", "")),
            exit_code=code if isinstance(code, int) else ExitCode.FAILED,
        )

    def _code_row(self) -> str:
        return " · ".join(part for part in (self.code, f"log: {self.log}" if self.log else "", self.aside) if part)


def _row(label: str, text: str) -> list[str]:
    if not text:
        return []
    first, *rest = text.splitlines() or [""]
    indent = " " * (2 + _LABEL_WIDTH + 2)
    return [f"  {label:<{_LABEL_WIDTH}}  {first}", *(indent + line for line in rest)]
