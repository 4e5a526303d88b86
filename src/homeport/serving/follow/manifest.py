"""What a downloaded model version consists of: every file with its size and SHA-256, so that damage is seen at load.

It refuses to know where the files came from.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HASHED_BELOW = 256 * 2**20
"""Hashes are compared at every load below this size; above it only the sizes are, or a start would take minutes."""

MOST_FILES = 100_000
_OURS = "__pycache__"  # Python writes it beside code that is imported


@dataclass(frozen=True)
class Manifest:
    """The files of one version: relative path -> (size, SHA-256)."""

    files: dict[str, tuple[int, str]]

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(size for size, _ in self.files.values())

    @classmethod
    def of(cls, directory: Path) -> Manifest:
        """Read every file, and see to it that it is on the disk and not only in memory.

        Raises:
            ValueError: something in there is neither a file nor a directory, such as a symbolic link.
        """
        files = {}
        for path in _walk(directory):
            files[path.relative_to(directory).as_posix()] = (path.stat().st_size, _hash(path, sync=True))
        for place, _, _ in os.walk(directory):
            sync_directory(Path(place))
        return cls(files)

    @classmethod
    def read(cls, file: Path) -> Manifest | None:
        """The manifest in a file; None when there is none or it makes no sense."""
        try:
            rows = json.loads(file.read_bytes())["files"]
            return cls({str(name): (int(size), str(digest)) for name, (size, digest) in rows.items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, file: Path) -> None:
        """Write it to a file and to the disk."""
        with file.open("w", encoding="utf-8") as stream:
            json.dump({"files": self.files}, stream)
            stream.flush()
            os.fsync(stream.fileno())

    def damage(self, directory: Path) -> str:
        """What is wrong with the files in one sentence; empty when nothing is."""
        try:
            found = {path.relative_to(directory).as_posix(): path for path in _walk(directory)}
            for name, (size, digest) in self.files.items():
                path = found.pop(name, None)
                if path is None:
                    return f"{name} is missing"
                if path.stat().st_size != size:
                    return f"{name} has {path.stat().st_size:,} bytes, not {size:,}"
                if self.size < HASHED_BELOW and _hash(path) != digest:
                    return f"{name} has another content than was downloaded"
        except (OSError, ValueError) as error:
            return getattr(error, "strerror", None) or str(error)
        extra = next(iter(found), None)
        return f"{extra} was not downloaded" if extra else ""


def sync_directory(directory: Path) -> None:
    """Put the directory's own entries on the disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _walk(directory: Path) -> Iterator[Path]:
    pending, count = [directory], 0
    while pending:
        for path in pending.pop().iterdir():
            mode = path.lstat().st_mode
            count += 1
            if count > MOST_FILES:
                raise ValueError(f"there are more than {MOST_FILES:,} files")
            if stat.S_ISDIR(mode):
                if path.name != _OURS:
                    pending.append(path)
            elif stat.S_ISREG(mode):
                yield path
            else:
                raise ValueError(f"{path.relative_to(directory).as_posix()} is neither a file nor a directory")


def _hash(path: Path, *, sync: bool = False) -> str:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if sync:
            os.fsync(stream.fileno())
    return digest
