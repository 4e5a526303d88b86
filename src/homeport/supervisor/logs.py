"""Reads logs: the last lines of some services merged by time, and then what follows. Needs no running Homeport.

Reads files only, survives their rotation, and refuses to know how a line is shown.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from homeport.supervisor.layout import Home
from homeport.supervisor.logfile import rotated

_STAMP = len("2026-01-01T00:00:00.000Z")
_BLOCK = 64 * 1024
_OLDEST = 9
_PAUSE = 0.1


@dataclass(frozen=True)
class LogLine:
    """One line. `ts` is ISO 8601 in UTC with milliseconds; empty when the line has none."""

    ts: str
    service: str
    text: str

    def as_dict(self) -> dict[str, object]:
        """The line for a script."""
        return {"ts": self.ts, "service": self.service, "text": self.text}


def tail(home: Home, name: str, n: int) -> list[LogLine]:
    """The last `n` lines of one service, oldest first; all of them when `n` is negative."""
    reader = _Reader(home, name)
    try:
        return reader.last(n)
    finally:
        reader.close()


def names(home: Home) -> list[str]:
    """Services that have a log."""
    try:
        return sorted(path.name.removesuffix(".log") for path in home.logs.glob("*.log"))
    except OSError:
        return []


def follow(
    home: Home,
    names: Sequence[str],
    *,
    lines: int = -1,
    follow: bool = False,
    until: Callable[[], bool] = lambda: False,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[LogLine]:
    """Lines of several services merged by time.

    Args:
        home: whose logs.
        names: services; one without a log yet is looked for again and again.
        lines: how many past lines of each service; negative: all.
        follow: go on with what is written from now on.
        until: asked when nothing new is there; following ends when it says so.
        wait: pauses between two looks.
    """
    readers = [_Reader(home, name) for name in names]
    try:
        yield from _merged([line for reader in readers for line in reader.last(lines)])
        while follow:
            ending = until()
            fresh = _merged([line for reader in readers for line in reader.fresh()])
            yield from fresh
            if fresh:
                continue
            if ending:
                return
            wait(_PAUSE)
    finally:
        for reader in readers:
            reader.close()


def _merged(lines: list[LogLine]) -> list[LogLine]:
    return sorted(lines, key=lambda line: line.ts)  # Stable: lines of one service keep their order.


class _Reader:
    """One service's log, past and to come."""

    def __init__(self, home: Home, name: str) -> None:
        self._path = home.log(name)
        self._name = name
        self._file: BinaryIO | None = None
        self._rest = b""
        self._ts = ""

    def last(self, n: int) -> list[LogLine]:
        """The last n lines; `fresh` goes on after them."""
        self._file = _open(self._path)
        end = os.fstat(self._file.fileno()).st_size if self._file else 0
        rows = _rows(self._file, end, n) if self._file else []
        older = 1
        while (n < 0 or len(rows) < n) and older <= _OLDEST:
            file = _open(rotated(self._path, older))
            if file is None:
                break
            with file:
                size = os.fstat(file.fileno()).st_size
                rows = _rows(file, size, n - len(rows) if n >= 0 else -1) + rows
            older += 1
        if self._file:
            self._file.seek(end)
            if end and n != 0 and rows and not _ends_with_newline(self._file, end):
                self._rest = rows.pop()  # Still being written: told when it is whole.
        return [self._line(row) for row in rows]

    def fresh(self) -> list[LogLine]:
        """Whole lines written since the last call, through rotations."""
        rows: list[bytes] = []
        if self._file is None:
            self._file = self._first()
        while self._file is not None:
            *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
            rows += whole
            successor = self._successor(os.fstat(self._file.fileno()))
            if successor is None:
                break
            # Written between the read and the rotation: nothing can follow in this file any more.
            *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
            rows += whole
            self._file.close()
            self._file = successor
        return [self._line(row) for row in rows]

    def _first(self) -> BinaryIO | None:
        """The file to begin with where there was none: the oldest, as some may have been rotated away by now."""
        files = [file for number in range(_OLDEST, -1, -1) if (file := _open(rotated(self._path, number)))]
        return _keep(files, 0)

    def close(self) -> None:
        """Nothing more is read."""
        if self._file is not None:
            self._file.close()

    def _successor(self, mine: os.stat_result) -> BinaryIO | None:
        """The file that came after ours, if ours was rotated away; None while ours is the current one."""
        newer: list[BinaryIO] = []
        for number in range(_OLDEST + 1):
            file = _open(rotated(self._path, number))
            if file is None:
                break
            if os.path.samestat(os.fstat(file.fileno()), mine):
                file.close()
                return _keep(newer, -1)
            newer.append(file)
        return _keep(newer, 0)  # Ours is gone altogether: somebody removed it; go on with the current one.

    def _line(self, row: bytes) -> LogLine:
        text = row.decode(errors="replace").rstrip("\r")
        if len(text) >= _STAMP and text[_STAMP - 1] == "Z" and text[10] == "T":
            self._ts, text = text[:_STAMP], text[_STAMP + 1 :]
        return LogLine(self._ts, self._name, text)


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except OSError:
        return None


def _keep(files: list[BinaryIO], which: int) -> BinaryIO | None:
    kept = files[which] if files else None
    for file in files:
        if file is not kept:
            file.close()
    return kept


def _rows(file: BinaryIO, end: int, n: int) -> list[bytes]:
    """The last n lines before `end`, read from the back; all when n is negative."""
    if n < 0:
        file.seek(0)
        return file.read(end).removesuffix(b"\n").split(b"\n") if end else []
    blocks: deque[bytes] = deque()
    newlines, position = 0, end
    while position > 0 and newlines <= n:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        newlines += block.count(b"\n")
        blocks.appendleft(block)
    rows = b"".join(blocks).removesuffix(b"\n").split(b"\n") if blocks else []
    return rows[-n:] if n else []


def _ends_with_newline(file: BinaryIO, end: int) -> bool:
    file.seek(end - 1)
    return file.read(1) == b"\n"
