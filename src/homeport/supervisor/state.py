"""The life of a service or a job as a table: which cause leads from which state to which.

One pure function. A cause that arrives too late, a probe's answer after the stop, is no error: it is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from homeport.model.service import Condition


class State(StrEnum):
    """Where a service or a job is in its life."""

    PENDING = "pending"  # waits for what it needs
    STARTING = "starting"  # is being spawned
    RUNNING = "running"  # spawned, no probe has passed yet
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    BACKOFF = "backoff"  # ended, will be started again
    STOPPING = "stopping"  # was asked to end
    STOPPED = "stopped"
    COMPLETED = "completed"  # a job that exited 0
    FAILED = "failed"
    BLOCKED = "blocked"  # something it needs failed


class Cause(StrEnum):
    """Why a state changes."""

    BEGIN = "begin"
    NEEDS_MET = "needs-met"
    NEED_FAILED = "need-failed"
    SPAWNED = "spawned"
    PASSED = "passed"
    FAILING = "failing"
    FINISHED = "finished"
    ENDED = "ended"
    RETRY = "retry"
    GIVE_UP = "give-up"
    STOP = "stop"
    EXITED = "exited"


_S, _C = State, Cause

TABLE: Mapping[tuple[State, Cause], State] = MappingProxyType(
    {
        (_S.PENDING, _C.NEEDS_MET): _S.STARTING,
        (_S.PENDING, _C.NEED_FAILED): _S.BLOCKED,
        (_S.PENDING, _C.GIVE_UP): _S.FAILED,
        (_S.PENDING, _C.STOP): _S.STOPPED,
        (_S.STARTING, _C.SPAWNED): _S.RUNNING,
        (_S.STARTING, _C.RETRY): _S.BACKOFF,
        (_S.STARTING, _C.GIVE_UP): _S.FAILED,
        (_S.STARTING, _C.STOP): _S.STOPPING,
        (_S.RUNNING, _C.PASSED): _S.HEALTHY,
        (_S.RUNNING, _C.FINISHED): _S.COMPLETED,
        (_S.RUNNING, _C.ENDED): _S.STOPPED,
        (_S.RUNNING, _C.RETRY): _S.BACKOFF,
        (_S.RUNNING, _C.GIVE_UP): _S.FAILED,
        (_S.RUNNING, _C.STOP): _S.STOPPING,
        (_S.HEALTHY, _C.FAILING): _S.UNHEALTHY,
        (_S.HEALTHY, _C.ENDED): _S.STOPPED,
        (_S.HEALTHY, _C.RETRY): _S.BACKOFF,
        (_S.HEALTHY, _C.GIVE_UP): _S.FAILED,
        (_S.HEALTHY, _C.STOP): _S.STOPPING,
        (_S.UNHEALTHY, _C.PASSED): _S.HEALTHY,
        (_S.UNHEALTHY, _C.ENDED): _S.STOPPED,
        (_S.UNHEALTHY, _C.RETRY): _S.BACKOFF,
        (_S.UNHEALTHY, _C.GIVE_UP): _S.FAILED,
        (_S.UNHEALTHY, _C.STOP): _S.STOPPING,
        (_S.BACKOFF, _C.NEEDS_MET): _S.STARTING,
        (_S.BACKOFF, _C.GIVE_UP): _S.FAILED,
        (_S.BACKOFF, _C.STOP): _S.STOPPED,
        (_S.STOPPING, _C.EXITED): _S.STOPPED,
        (_S.STOPPED, _C.BEGIN): _S.PENDING,
        (_S.COMPLETED, _C.BEGIN): _S.PENDING,
        (_S.FAILED, _C.BEGIN): _S.PENDING,
        (_S.BLOCKED, _C.BEGIN): _S.PENDING,
    }
)

FINAL = frozenset({State.STOPPED, State.COMPLETED, State.FAILED, State.BLOCKED})
"""States that only a new beginning leaves."""

ALIVE = frozenset({State.RUNNING, State.HEALTHY, State.UNHEALTHY, State.STOPPING})
"""States in which there is a process."""

_HOLDS: Mapping[Condition, frozenset[State]] = MappingProxyType(
    {
        Condition.STARTED: frozenset({State.RUNNING, State.HEALTHY, State.UNHEALTHY, State.COMPLETED}),
        Condition.HEALTHY: frozenset({State.HEALTHY}),
        Condition.COMPLETED: frozenset({State.COMPLETED}),
    }
)


def apply(state: State, cause: Cause) -> State | None:
    """The state that follows, or None when the cause means nothing in this state."""
    return TABLE.get((state, cause))


def holds(condition: Condition, state: State) -> bool:
    """Whether a service in this state satisfies a need of this condition."""
    return state in _HOLDS[condition]
