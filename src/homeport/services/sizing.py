"""How many processes, threads and connections the platform gets on a machine of a given size. Arithmetic only."""

from __future__ import annotations

import os
from dataclasses import dataclass

# One worker of the tracking server measured: 205 MB resident, of which about 110 MB are its own.
_WORKER_MIB = 512
_MOST_WORKERS = 8
# A log-batch request holds two connections of its worker's pool at once (mlflow 3.17.2, sqlalchemy_store.log_batch);
# fewer than two a thread and the threads of one worker can wait for each other until the pool's timeout of 30 s.
_THREADS = 24
_POOL = 10
_OVERFLOW = 2 * _THREADS - _POOL + 2
_ENGINES = 2  # tracking store and registry store
_CONNECTIONS_FAST = 10  # the front's pool, and one that listens
_CONNECTIONS_USERS = 10  # a worker: MLflow's users have an engine of SQLAlchemy's default size
_RESERVED = 20  # migration, backup, admin
_MOST_SERVING = 4  # a prediction takes far less than a tracking request
_CONNECTIONS_SERVING = 6  # a worker: one that writes predictions, the others read and label them


@dataclass(frozen=True)
class Sizing:
    """Counts, none below one.

    Args:
        workers: MLflow processes behind the tracking server's front.
        threads: request threads a worker.
        pool_size: database connections a worker keeps open for each store.
        max_overflow: further connections a worker may open under load for each store.
        serving: serving processes.
        max_connections: what the database must allow in all.
    """

    workers: int
    threads: int = _THREADS
    pool_size: int = _POOL
    max_overflow: int = _OVERFLOW
    serving: int = 1

    @property
    def max_connections(self) -> int:
        """Enough for every worker at its limit, and some for jobs and people."""
        tracking = self.workers * (_ENGINES * (self.pool_size + self.max_overflow) + _CONNECTIONS_USERS)
        return tracking + _CONNECTIONS_FAST + self.serving * _CONNECTIONS_SERVING + _RESERVED


def sizing(workers: int, cores: int, memory_mib: int, serving: int = 0, *, fast: bool = False) -> Sizing:
    """The sizing for a machine; `workers` and `serving` are the user's wishes, 0 for none.

    With the fast lane one MLflow is enough: what is left for it is rare, or waits for the object store.
    """
    fitting = max(1, min(cores, memory_mib // (2 * _WORKER_MIB), _MOST_WORKERS))
    return Sizing(workers=workers or (1 if fast else fitting), serving=serving or min(fitting, _MOST_SERVING))


def this_machine() -> tuple[int, int]:
    """(cores this process may use, memory in MiB)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return cores, memory
