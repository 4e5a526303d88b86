"""run/state.json: what runs, as the supervisor last knew it.

Read when it is dead: by `status`, and by whoever cleans up after it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from homeport.supervisor import identity
from homeport.supervisor.files import read_json, write_json
from homeport.supervisor.layout import Home
from homeport.supervisor.register import Entry
from homeport.supervisor.status import ServiceStatus


@dataclass(frozen=True)
class Left:
    """A process group that a supervisor wrote down."""

    name: str
    pgid: int
    started: str


@dataclass(frozen=True)
class Ledger:
    """What a state file says: whose it is, what ran, how it stood."""

    pid: int
    started: str
    processes: tuple[Left, ...]
    services: tuple[dict[str, Any], ...]

    @property
    def stale(self) -> bool:
        """Whether the supervisor that wrote it is dead."""
        return not identity.same(self.pid, self.started)


def write(home: Home, statuses: Iterable[ServiceStatus], entries: Iterable[Entry]) -> None:
    """Write down what runs.

    Raises:
        OSError: as the disk reports it; the old file stays.
    """
    pid = os.getpid()
    content = {
        "pid": pid,
        "started": identity.started(pid),
        "processes": [{"name": entry.name, "pgid": entry.pgid, "started": entry.started} for entry in entries],
        "services": [status.as_dict() for status in statuses],
    }
    write_json(home.state, content)


def read(home: Home) -> Ledger | None:
    """What the last supervisor wrote down; None when it ended in order, or the file is torn."""
    found = read_json(home.state)
    if found is None:
        return None
    try:
        return Ledger(
            pid=int(found["pid"]),
            started=str(found["started"]),
            processes=tuple(Left(str(p["name"]), int(p["pgid"]), str(p["started"])) for p in found["processes"]),
            services=tuple(dict(row) for row in found["services"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def clear(home: Home) -> None:
    """Nothing runs any more."""
    home.state.unlink(missing_ok=True)
