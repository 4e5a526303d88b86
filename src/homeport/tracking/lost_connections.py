"""MLflow's connections to PostgreSQL end soon after the other side is gone without a word: a power failure, a cut.

Without this a pooled connection waits for the kernel's patience, a quarter of an hour, and with it the request and its
thread. What a URI says itself, stays. Refuses to know stores.
"""

from __future__ import annotations

from typing import Any

from homeport.tracking.backend_store import NOTICED

_LIBPQ = frozenset({"psycopg2", "psycopg"})


def apply() -> None:
    """For every engine of this process, those made before included."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "do_connect", _noticed)


def _noticed(dialect: Any, _record: object, _arguments: object, options: dict[str, Any]) -> None:  # noqa: ANN401 - SQLAlchemy's event
    if dialect.driver in _LIBPQ:
        for name, value in NOTICED.items():
            options.setdefault(name, value)
