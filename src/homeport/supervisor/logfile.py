"""Writes one service's output to its log: a time before each line, rotated by size, safe on a full disk.

Bytes in, bytes out: what a program prints is not decoded. Nothing here ever raises because of the disk; lines that do
not fit are counted, and the count is written once there is room again.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from homeport.supervisor.events import iso

SIZE = 10 * 1024 * 1024
KEEP = 3
"""Files a service has in all: the current one and the rotated ones."""

_LONGEST = 64 * 1024
_REMEMBERED = 20


class LogFile:
    """One service's log.

    Args:
        path: the current file; rotated ones are `path`.1 (newest) and up.
        size: bytes at which a file is rotated.
        keep: files in all.
        clock: seconds since the epoch.
    """

    def __init__(
        self, path: Path, *, size: int = SIZE, keep: int = KEEP, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self.dropped = 0
        self.recent: deque[str] = deque(maxlen=_REMEMBERED)
        self._limit, self._keep, self._clock = size, keep, clock
        self._handle = -1
        self._size = 0
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Take output as it comes; whole lines are written, the rest waits for its end or for 64 KiB of it."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        while len(self._rest) >= _LONGEST:
            lines.append(self._rest[:_LONGEST])
            self._rest = self._rest[_LONGEST:]
        self._write([piece for line in lines for piece in _pieces(line)])

    def end(self) -> None:
        """The program ended: what waits for its end of line is written. The file is closed until there is more."""
        rest, self._rest = self._rest, b""
        if rest:
            self._write([rest])
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        self.recent.extend(line.decode(errors="replace").rstrip("\r") for line in lines[-_REMEMBERED:])
        stamp = iso(self._clock()).encode() + b" "
        block = b"".join(stamp + line + b"\n" for line in lines)
        if self.dropped:
            note = b"homeport: %d lines were dropped here, the disk was full\n" % self.dropped
            if not self._append(stamp + note):
                self.dropped += len(lines)
                return
            self.dropped = 0
        if not self._append(block):
            self.dropped += len(lines)

    def _append(self, block: bytes) -> bool:
        """Write all of the block or, as far as the file system lets us, nothing of it."""
        try:
            if self._handle < 0:
                self._open()
            elif self._size + len(block) > self._limit and self._size:
                self._rotate()
            written = os.write(self._handle, block)
            if written < len(block):
                os.ftruncate(self._handle, self._size)
                return False
        except OSError:
            return False
        self._size += written
        return True

    def _open(self) -> None:
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._handle).st_size

    def _rotate(self) -> None:
        os.close(self._handle)
        self._handle = -1
        for number in range(self._keep - 1, 0, -1):
            older = rotated(self.path, number)
            newer = rotated(self.path, number - 1)
            if newer.exists():
                newer.replace(older)
        self._open()


def rotated(path: Path, number: int) -> Path:
    """The name of the `number`-th rotated file; 0 is the current one."""
    return path.with_name(f"{path.name}.{number}") if number else path


def _pieces(line: bytes) -> list[bytes]:
    return [line[start : start + _LONGEST] for start in range(0, len(line), _LONGEST)] or [b""]
