"""Whether the fast lane may answer at all: only on an MLflow and a schema it was verified with.

Everything else passes through, and the reason is told. Refuses to know hot calls.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg

from homeport.tracking.fast import schema
from homeport.tracking.fast.database import Database

VARIABLE = "HOMEPORT_FASTLANE"
DATABASE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError)


class Verified(NamedTuple):
    """A schema, as MLflow's own migrations make it."""

    revision: str
    fingerprint: str


# MLflow's version -> the schema that hot calls were compared with it on (docs/how-to/fast-lane.md says how).
TRIED = "_HOMEPORT_FASTLANE_TRIED"  # one more, `version revision fingerprint`: for the run that verifies it only
VERIFIED: Mapping[str, Verified] = {"3.17.2": Verified("dc11669786a5", "3375c002fdcf34c1")}

_YES = frozenset({"true", "1"})
_OFF = frozenset({"off", "false", "0", "no"})
_ELSEWHERE = (
    ("MLFLOW_READ_REPLICA_BACKEND_STORE_URI", "reads go to a replica (MLFLOW_READ_REPLICA_BACKEND_STORE_URI)"),
    ("_MLFLOW_SERVER_READ_REPLICA_BACKEND_STORE", "reads go to a replica"),
    ("_MLFLOW_SERVER_ARTIFACTS_ONLY", "MLflow serves artifacts only"),
    ("_MLFLOW_STATIC_PREFIX", "MLflow has a static prefix"),
)
_STORES = ("mlflow.tracking_store", "mlflow.model_registry_store")


def unwanted(environ: Mapping[str, str], url: str = "") -> str:
    """Why the settings rule it out; empty if they do not.

    Args:
        environ: what MLflow is told.
        url: MLflow's database, as SQLAlchemy is told.
    """
    if environ.get(VARIABLE, "auto").strip().lower() in _OFF:
        return f"{VARIABLE} is off"
    if environ.get("MLFLOW_ENABLE_WORKSPACES", "").strip().lower() in _YES:
        return "workspaces are enabled"
    for variable, why in _ELSEWHERE:
        if environ.get(variable):
            return why
    registry = environ.get("_MLFLOW_SERVER_REGISTRY_STORE") or url
    if url and registry != url:
        return "the model registry is in another store"
    found = installed()
    if wanted() is None:
        return f"MLflow is {found or 'not installed'}; verified: {', '.join(VERIFIED)}"
    plugin = _plugin(urlsplit(url).scheme)
    return f"a plugin of MLflow's serves such databases: {plugin}" if plugin else ""


def installed() -> str:
    """MLflow's version; empty where there is none."""
    try:
        return version("mlflow")
    except PackageNotFoundError:
        return ""


def wanted() -> Verified | None:
    """The schema that the installed MLflow was verified with, if it was."""
    version_, *schema_ = os.environ.get(TRIED, "").split() or [""]
    if len(schema_) == len(Verified._fields) and version_ == installed():
        return Verified(*schema_)
    return VERIFIED.get(installed())


async def reason(database: Database) -> str:
    """Why this database rules it out; empty if it does not."""
    why = await schema.unusable(database)
    if why:
        return why
    good = wanted()
    found = await schema.revision(database)
    if good is None or found != good.revision:
        return f"the schema is at {found}; verified: {good.revision if good else 'none'}"
    why = await schema.trick(database)
    if why:
        return why
    shape = await schema.fingerprint(database)
    if shape != good.fingerprint:
        return f"the schema is not as MLflow makes it (its shape is {shape})"
    return "there are workspaces in the database" if await schema.has_workspaces(database) else ""


def _plugin(scheme: str) -> str:
    """A plugin that serves databases of that scheme in place of MLflow's own store."""
    names = {scheme, scheme.partition("+")[0]} - {""}
    for group in _STORES:
        for point in entry_points(group=group):
            if point.name in names:
                return point.value
    return ""
