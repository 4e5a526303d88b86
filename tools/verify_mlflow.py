"""Whether the fast lane may serve the installed MLflow: its schema, and every test that compares the two.

`make verify-mlflow`; `--quick` only says what the schema is. Ends with the line for `VERIFIED`, or with what stands
against it (docs/how-to/fast-lane.md).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.differential.pair import postgres, uri
from tests.programs.database.programs import Program

from homeport.tracking.fast import compatible, schema
from homeport.tracking.fast.compatible import Verified
from homeport.tracking.fast.database import Database

ROOT = Path(__file__).resolve().parent.parent
SUITES = ("tests/differential", "tests/programs/tracking")
_DATABASE = "verified"


def main() -> None:
    """Verify; exit status 1 where it may not serve this MLflow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only look at the schema")
    given = parser.parse_args()
    version = compatible.installed()
    print(f"MLflow        {version}")
    found, against = asyncio.run(looked_at())
    print(f"revision      {found.revision}\nshape         {found.fingerprint}")
    known = compatible.VERIFIED.get(version)
    if known is not None and known != found:
        against.append(f"VERIFIED says {known.revision}, {known.fingerprint} for this version")
    if not given.quick:
        against += failed(version, found)
    conclude(version, found, against, quick=given.quick)


async def looked_at() -> tuple[Verified, list[str]]:
    """What the installed MLflow makes of an empty database, and what of that no lane could use."""
    with tempfile.TemporaryDirectory() as room, postgres() as server:
        server.ask(f"CREATE DATABASE {_DATABASE}", database="postgres")
        url = uri(server, _DATABASE)
        Program("homeport.tracking.migrate", {"MLFLOW_BACKEND_STORE_URI": url}, Path(room)).wait()
        database = Database(url, size=1)
        await database.open()
        try:
            found = Verified(await schema.revision(database), await schema.fingerprint(database))
            return found, [why for why in (await schema.unusable(database), await schema.trick(database)) if why]
        finally:
            await database.close()


def failed(version: str, found: Verified) -> list[str]:
    """The suites that fail with the lane on for this MLflow."""
    environ = {**os.environ, "HOMEPORT_NO_SKIP": "1", compatible.TRIED: " ".join((version, *found))}
    bad = []
    for suite in SUITES:
        command = [sys.executable, "-m", "pytest", "-q", "-x", suite]
        print(f"\n$ {' '.join(command[1:])}", flush=True)
        if subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode:
            bad.append(f"{suite} fails")
    return bad


def conclude(version: str, found: Verified, against: Sequence[str], *, quick: bool) -> None:
    """Say what came of it."""
    print()
    if against:
        print("It may not serve this MLflow:", *against, sep="\n  ")
        sys.exit(1)
    line = f'"{version}": Verified("{found.revision}", "{found.fingerprint}"),'
    if compatible.VERIFIED.get(version) == found:
        print("The schema is the verified one." if quick else "It serves this MLflow, and still may.")
    elif quick:
        print(f"Not verified yet. Without --quick the tests decide about:\n  {line}")
    else:
        print(f"Every test passes. For VERIFIED in src/homeport/tracking/fast/compatible.py:\n  {line}")


if __name__ == "__main__":
    main()
