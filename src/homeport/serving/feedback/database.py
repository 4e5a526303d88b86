"""The prediction log's database: the URI it is given, a connection, and why not.

It is PostgreSQL and nothing else. Refuses to know what is in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from homeport.errors import ExitCode, HomeportError
from homeport.tracking.backend_store import BackendStore, parse

URI = "HOMEPORT_PREDICTION_DATABASE_URI"
ADMIN_URI = "HOMEPORT_ADMIN_DATABASE_URI"

_MLFLOWS = "MLFLOW_BACKEND_STORE_URI"  # what the shared errors call the setting
_SCHEMES = frozenset({"postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"})
# A network that swallows packets is noticed within half a minute, also while nothing is being sent.
_OPTIONS = {"keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database and the setting that names it. Its text never shows the password."""

    store: BackendStore
    setting: str

    def connect(self, patience: float = 0.0) -> Any:  # noqa: ANN401 - psycopg2 has no types
        """A connection in autocommit mode.

        Args:
            patience: seconds to wait for a server that nobody has started yet or that starts up.

        Raises:
            HomeportError: DATABASE_*; the driver's own exception is its cause.
        """
        try:
            return self.store.connect_patiently(patience)
        except HomeportError as error:
            raise _about(error, self.setting) from error.__cause__

    def elsewhere(self, user: str, password: str, database: str) -> Database:
        """Another database of the same server, as another user."""
        return replace(self, store=replace(self.store, user=user, password=password, database=database, uri=""))

    def __str__(self) -> str:
        """The address for people."""
        return str(self.store)


def parse_uri(uri: str, setting: str = URI) -> Database:
    """The database a URI names.

    Args:
        uri: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``; a driver after a ``+`` is ignored.
        setting: where the URI comes from, for errors.

    Raises:
        HomeportError: PREDICTION_DATABASE_NOT_POSTGRESQL, or DATABASE_URI_INVALID.
    """
    scheme, _, rest = uri.partition("://")
    if scheme not in _SCHEMES:
        raise HomeportError(
            code="PREDICTION_DATABASE_NOT_POSTGRESQL",
            what="the prediction log needs a PostgreSQL database",
            evidence=(("needed", "postgresql://USER:PASSWORD@HOST/DATABASE"), ("found", _scheme(uri))),
            why="it is written with PostgreSQL's own means, so that it never slows down an answer",
            fix=f"correct {setting}, or turn the log off: HOMEPORT_PREDICTION_LOG=0",
            exit_code=ExitCode.USAGE,
        )
    try:
        store = parse(f"postgresql+psycopg2://{rest}")
    except HomeportError as error:
        raise _about(error, setting) from error.__cause__
    return Database(replace(store, options={**_OPTIONS, **store.options}), setting)


def _scheme(uri: str) -> str:
    # The URI itself may hold a password and is not repeated.
    scheme = urlsplit(uri).scheme
    return f"{scheme}://…" if scheme and "://" in uri else "something that is not a URI"


def _about(error: HomeportError, setting: str) -> HomeportError:
    return replace(error, what=error.what.replace(_MLFLOWS, setting), why=error.why.replace(_MLFLOWS, setting),
                   fix=error.fix.replace(_MLFLOWS, setting))  # fmt: skip
