"""How one service or job stands, as the row that `homeport status` shows. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from homeport.supervisor.events import iso
from homeport.supervisor.state import State

_HEALTH = {
    State.PENDING: "starting",
    State.STARTING: "starting",
    State.RUNNING: "starting",
    State.HEALTHY: "healthy",
    State.UNHEALTHY: "unhealthy",
    State.BACKOFF: "unhealthy",
    State.FAILED: "unhealthy",
}


@dataclass(frozen=True)
class ServiceStatus:
    """One row. `probed` tells whether health can be asked of it; `since` is seconds since the epoch."""

    name: str
    kind: str
    owner: str
    state: State
    probed: bool
    pid: int | None
    restarts: int
    since: float
    detail: str = ""

    @property
    def health(self) -> str:
        """One of: healthy, unhealthy, starting, none."""
        return _HEALTH.get(self.state, "none") if self.probed else "none"

    @property
    def ready(self) -> bool:
        """Whether `up` need not wait for it any longer."""
        if self.kind == "job":
            return self.state is State.COMPLETED
        return self.state is (State.HEALTHY if self.probed else State.RUNNING)

    def as_dict(self, urls: Mapping[str, str] | None = None) -> dict[str, object]:
        """The row for a script; every key is always there."""
        return {
            "name": self.name,
            "kind": self.kind,
            "owner": self.owner,
            "state": str(self.state),
            "health": self.health,
            "pid": self.pid,
            "url": (urls or {}).get(self.name),
            "restarts": self.restarts,
            "since": iso(self.since),
            "detail": self.detail,
        }
