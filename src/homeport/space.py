"""Whether there is room: a database that runs out of disk stops, so a start asks first."""

from __future__ import annotations

import shutil
from pathlib import Path

from homeport.errors import HomeportError

# An empty PostgreSQL cluster takes 40 MB, its first log segments 16 MB each, and it must never be the last to write.
LEAST_FREE_MIB = 256


def free_mib(path: Path) -> int:
    """Free space in MiB where `path` is or will be."""
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    return shutil.disk_usage(nearest).free // 2**20


def require_space(home: Path) -> None:
    """Refuse to start where a database could not live.

    Raises:
        HomeportError: DISK_FULL with what is needed and what was found.
    """
    free = free_mib(home)
    if free < LEAST_FREE_MIB:
        raise HomeportError(
            code="DISK_FULL",
            what=f"too little disk space to start: {LEAST_FREE_MIB} MiB needed, {free} MiB found",
            evidence=(("home", str(home)),),
            why="PostgreSQL stops when it cannot write its log",
            fix="free some space, or set HOMEPORT_HOME to a larger disk",
        )
