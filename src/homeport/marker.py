"""A mark in a directory, by which two programs know that they see the same one, and not two of the same name."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

NAME = ".homeport-shared"
_ID = re.compile(r"[0-9a-f]{32}")


def place(directory: Path) -> str:
    """The directory's mark; made when there is none. Several programs at once agree on one.

    Raises:
        OSError: as the system reports it.
    """
    if mark := read(directory):
        return mark
    mine = directory / f"{NAME}.{uuid.uuid4().hex}"
    mine.write_text(f"{uuid.uuid4().hex}\n", encoding="ascii")
    mine.chmod(0o644)
    try:
        _make_first(mine, directory / NAME)
    finally:
        mine.unlink(missing_ok=True)
    found = read(directory)
    assert found, "it was just placed"
    return found


def read(directory: Path) -> str | None:
    """The directory's mark; None when it has none that is whole.

    Raises:
        OSError: as the system reports it, but for a missing file.
    """
    try:
        text = (directory / NAME).read_text(encoding="ascii", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return text if _ID.fullmatch(text) else None


def _make_first(mine: Path, final: Path) -> None:
    """Give it its name unless another was first; what is broken there gives way."""
    try:
        os.link(mine, final)
    except FileExistsError:
        if read(final.parent) is None:
            mine.replace(final)
    except OSError:  # a file system without links: the last one wins, and all read the same afterwards
        mine.replace(final)
