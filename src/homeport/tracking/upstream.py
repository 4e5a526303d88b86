"""MLflow's own application, plain or with its basic-auth, and all that is taken from inside of it for that.

Private names of mlflow 3.17.2 stand here and in `server.py`; tests/programs/tracking/test_upstream.py holds them.
Refuses to know how workers are made.
"""

from __future__ import annotations

import configparser
import contextlib
import importlib.util
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from homeport.errors import ExitCode, HomeportError

_CONFIG = "MLFLOW_AUTH_CONFIG_PATH"
_POOL = {"MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "5", "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "5"}  # connections a worker
# Comparing a password takes a tenth of a second of one core; a right one is remembered for so many seconds.
REMEMBERED = 60


def plain() -> Any:  # noqa: ANN401 - MLflow is untyped here
    """The application as `mlflow server` serves it."""
    with _calm():
        from mlflow.server.fastapi_app import app
    return app


def with_basic_auth(backend_store_uri: str) -> Any:  # noqa: ANN401 - as above
    """The application as `mlflow server --app-name basic-auth` serves it, its users in this database.

    To be called before workers are forked: no connection stays open.

    Raises:
        HomeportError: AUTHENTICATION_NOT_INSTALLED, or AUTHENTICATION_MISCONFIGURED for a site's own configuration.
    """
    _require()
    # The accounts are made by the job of homeport.tracking.migrate; no worker looks for them again.
    os.environ["_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED"] = "true"
    os.environ.pop("MLFLOW_AUTH_ADMIN_PASSWORD", None)
    text = configuration(backend_store_uri, os.environ.get(_CONFIG, ""))
    with _calm(), _readable(text) as path, _variables({_CONFIG: path, **_POOL}):
        from mlflow.server import auth

        app = auth.create_app()
    auth.store.engine.dispose()  # two processes on one connection corrupt it
    return app


def configuration(backend_store_uri: str, own: str = "") -> str:
    """What stands in basic_auth.ini: a site's own file, if it has one, but never another database.

    Raises:
        HomeportError: AUTHENTICATION_MISCONFIGURED.
    """
    found = configparser.ConfigParser(interpolation=None)
    found["mlflow"] = {"default_permission": "READ", "auth_cache_ttl_seconds": str(REMEMBERED)}
    if own:
        try:
            found.read_string(Path(own).read_text(encoding="utf-8"), own)
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            raise HomeportError(
                code="AUTHENTICATION_MISCONFIGURED",
                what=f"the file named by {_CONFIG} cannot be used",
                evidence=(("file", own), ("error", str(error).splitlines()[0])),
                fix="correct the file (docs/how-to/secure.md has an example), or unset the variable",
                exit_code=ExitCode.USAGE,
            ) from error
    section = found["mlflow"]
    for name in ("admin_username", "admin_password"):
        section.pop(name, None)
    section["database_uri"] = backend_store_uri.replace("%", "%%")  # upstream reads it with interpolation
    lines = [f"{name} = {value}" for name, value in section.items()]
    return "\n".join(("[mlflow]", *lines, ""))


def migrate_users(engine: Any) -> None:  # noqa: ANN401 - SQLAlchemy's, for upstream
    """Bring the users' schema to head, by upstream's own migrations.

    Raises:
        HomeportError: AUTHENTICATION_NOT_INSTALLED.
    """
    _require()
    with _variables({_CONFIG: ""}):  # read on import, and of no use here
        from mlflow.server.auth.db import utils
    from sqlalchemy import Table, event

    event.listen(Table, "before_create", _with_names_of_its_own)
    try:
        utils.migrate(engine, "head")
    finally:
        event.remove(Table, "before_create", _with_names_of_its_own)


def _with_names_of_its_own(table: Any, connection: Any, **_more: object) -> None:  # noqa: ANN401 - SQLAlchemy's event
    """MySQL and MariaDB want each foreign key's name once in a database; upstream uses one twice (mlflow#9642)."""
    if connection.dialect.name in {"mysql", "mariadb"}:
        for key in table.foreign_key_constraints:
            if key.name == "fk_user_id":
                key.name = f"fk_{table.name}_user_id"


class Users:
    """Who may come in, as upstream's basic-auth sees it in this process; to be asked after the fork."""

    def __init__(self) -> None:
        from mlflow.server import auth

        self._auth = auth
        self._own_function = auth.auth_config.authorization_function != auth.DEFAULT_AUTHORIZATION_FUNCTION

    @property
    def asked_by_others(self) -> bool:
        """Whether the site has a function of its own for this, which only upstream can call."""
        return bool(self._own_function)

    def remembered(self, name: str, password: str) -> bool:
        """Whether that was right a short while ago; takes microseconds."""
        cache = self._auth._USER_AUTH_CACHE
        if cache is None:
            return False
        with self._auth._USER_AUTH_CACHE_LOCK:
            return bool(self._auth._auth_cache_key(name, password) in cache)

    def known(self, name: str, password: str) -> bool:
        """Whether that is right; asks the database, takes a tenth of a second, raises when it does not answer."""
        return bool(self._auth._authenticate_cached(name, password))


def _require() -> None:
    if importlib.util.find_spec("flask_wtf") is None:
        raise HomeportError(
            code="AUTHENTICATION_NOT_INSTALLED",
            what="MLflow's basic-auth is not installed",
            evidence=(("needed", "Python module flask_wtf"), ("found", "none")),
            why="it comes with mlflow[auth], which is a dependency of Homeport",
            fix="install Homeport again: make install",
        )


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    with warnings.catch_warnings():
        # Upstream's own bridge to Flask; nothing a user could do about it.
        warnings.filterwarnings("ignore", message=".*starlette.middleware.wsgi is deprecated.*")
        yield


@contextlib.contextmanager
def _readable(text: str) -> Iterator[str]:
    """A path from which the text can be read once, and that is no file: it holds the database's password."""
    read, write = os.pipe()
    try:
        with open(write, "w", encoding="utf-8") as end:  # noqa: PTH123 - a descriptor
            end.write(text)  # a page at most, and a pipe holds sixteen
        yield f"/dev/fd/{read}"
    finally:
        os.close(read)


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """These variables for as long as it takes, then those of before."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
