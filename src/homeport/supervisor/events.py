"""What happened, as frozen data with stable keys for scripts. Refuses to know who listens.

Every event's dictionary has "event" (its kind) and "at" (ISO 8601, UTC, milliseconds).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from homeport.errors import HomeportError


def iso(at: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC with milliseconds."""
    whole = int(at)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((at - whole) * 1000):03d}Z"


@dataclass(frozen=True)
class Recovered:
    """A Homeport that was killed left something behind; it is cleaned up now.

    Args:
        at: seconds since the epoch.
        pid: the process that was killed.
        services: whose processes were found running or had been left to the warden.
        stopped: how many processes were stopped now.
    """

    at: float
    pid: int
    services: tuple[str, ...] = ()
    stopped: int = 0

    def as_dict(self) -> dict[str, object]:
        """The event for a script."""
        count = f"stopped {self.stopped} process{'' if self.stopped == 1 else 'es'} it left"
        done = count if self.stopped else "nothing of it was left running"
        text = f"recovered: the Homeport before this one was killed (pid {self.pid}); {done}"
        row = {"event": "recovered", "at": iso(self.at), "pid": self.pid}
        return row | {"services": list(self.services), "stopped": self.stopped, "text": text}


@dataclass(frozen=True)
class Changed:
    """A service or a job is in another state.

    Args:
        at: seconds since the epoch.
        service: its name.
        kind: "service" or "job".
        owner: the service in whose line a job is shown; a service owns itself.
        state: the new state.
        detail: why, for people; often empty.
        seconds: since it was last begun to be started; 0 before that.
    """

    at: float
    service: str
    kind: str
    owner: str
    state: str
    detail: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """The event for a script."""
        row: dict[str, object] = {"event": "state", "at": iso(self.at), "service": self.service, "kind": self.kind}
        return row | {
            "owner": self.owner,
            "state": self.state,
            "detail": self.detail,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Ready:
    """Every job is completed and every service is healthy, `seconds` after the start began."""

    at: float
    seconds: float

    def as_dict(self) -> dict[str, object]:
        """The event for a script."""
        return {"event": "ready", "at": iso(self.at), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Failed:
    """The start failed; everything it started is stopped. A service that gives up later is a `Changed` to failed."""

    at: float
    error: HomeportError
    service: str = ""

    def as_dict(self) -> dict[str, object]:
        """The event for a script."""
        return {"event": "failed", "at": iso(self.at), "service": self.service, "error": self.error.as_dict()}


@dataclass(frozen=True)
class Restarted:
    """A service was restarted on request and is healthy again after `seconds`."""

    at: float
    service: str
    seconds: float

    def as_dict(self) -> dict[str, object]:
        """The event for a script."""
        return {"event": "restarted", "at": iso(self.at), "service": self.service, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Stopping:
    """Everything is being stopped; `reason` says who asked."""

    at: float
    reason: str

    def as_dict(self) -> dict[str, object]:
        """The event for a script."""
        return {"event": "stopping", "at": iso(self.at), "reason": self.reason}


@dataclass(frozen=True)
class Stopped:
    """Nothing runs any more, `seconds` after the stop began. Nothing follows this event."""

    at: float
    seconds: float

    def as_dict(self) -> dict[str, object]:
        """The event for a script."""
        return {"event": "stopped", "at": iso(self.at), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Warned:
    """Something is not as it should be, and Homeport goes on without it."""

    at: float
    text: str

    def as_dict(self) -> dict[str, object]:
        """The event for a script."""
        return {"event": "warning", "at": iso(self.at), "text": self.text}


Event = Recovered | Changed | Ready | Failed | Restarted | Stopping | Stopped | Warned
