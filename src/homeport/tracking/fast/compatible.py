"""Whether the fast lane may answer at all: only on the MLflow and the schema it was verified with.

Everything else passes through, and the reason is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import asyncpg

from homeport.tracking.fast.database import Database

VARIABLE = "HOMEPORT_FASTLANE"
# MLflow's version -> the schema's revision it was verified with (docs/how-to/fast-lane.md says how).
VERIFIED = {"3.17.2": "dc11669786a5"}
DATABASE_ERRORS = asyncpg.PostgresError


def unwanted(environ: Mapping[str, str]) -> str:
    """Why the settings rule it out; empty if they do not."""
    if environ.get(VARIABLE, "auto").strip().lower() in {"off", "false", "0", "no"}:
        return f"{VARIABLE} is off"
    if environ.get("MLFLOW_ENABLE_WORKSPACES", "").strip().lower() in {"true", "1"}:
        return "workspaces are enabled"
    try:
        found = version("mlflow")
    except PackageNotFoundError:
        found = "none"
    if found not in VERIFIED:
        return f"MLflow is {found}; verified: {', '.join(VERIFIED)}"
    return ""


async def reason(database: Database) -> str:
    """Why this database rules it out; empty if it does not."""
    wanted = VERIFIED[version("mlflow")]
    rows = await database.rows("select version_num from alembic_version")
    found = ", ".join(row["version_num"] for row in rows)
    return "" if not wanted or found == wanted else f"the schema is at {found or 'no revision'}; verified: {wanted}"
