"""Write down the schemas that MLflow's migrations make in an empty PostgreSQL, for `homeport.tracking.prepared`.

`make prepared-schema`; `--check` only compares (a test does, too). MLflow's own code makes the schema, pg_dump reads
it, and what is written is that, without what is the same as PostgreSQL's defaults and without a schema's name.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.differential.pair import postgres, uri

from homeport.database.binaries import _wheel as binaries
from homeport.tracking import prepared, schema
from homeport.tracking.backend_store import parse
from homeport.tracking.migrate import migrate
from homeport.tracking.schema import Step

# As pg_dump writes `a IN (...)` of a varchar; read again, it would be another expression with the same meaning.
_ONE_OF = re.compile(r"\(\((\w+)\)::text = ANY \(\(ARRAY\[([^\]]*)\]\)::text\[\]\)\)")
_NOISE = ("SET ", "SELECT pg_catalog.set_config", "--", "\\restrict", "\\unrestrict")


def main() -> None:
    """Write it, or with --check exit with 1 where it differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args()
    different = [file.name for file, made in making() if not kept(file, made, write=not given.check)]
    if different and given.check:
        sys.exit(f"not what MLflow makes: {', '.join(different)}; make prepared-schema")


def making() -> Iterator[tuple[Path, str]]:
    """Each file, and what should be in it."""
    with postgres() as server:
        for chain in (schema.RUNS, schema.USERS):
            server.ask(f"CREATE DATABASE {chain.table}", database="postgres")
            url = uri(server, chain.table)
            migrate(parse(url), Step.CREATE, chain)
            yield prepared.file(chain), statements(dump(url))


def kept(file: Path, made: str, *, write: bool) -> bool:
    """Whether it is there already."""
    same = file.exists() and file.read_text(encoding="utf-8") == made
    if write and not same:
        file.parent.mkdir(exist_ok=True)
        file.write_text(made, encoding="utf-8")
    print(f"{file.name} {'is what MLflow makes' if same else 'is another' if not write else 'is written'}")
    return same


def dump(url: str) -> str:
    """Everything in a database as statements, the same text for the same content."""
    command = [str(binaries() / "pg_dump"), "--no-owner", "--no-privileges", "--inserts", url.replace("+psycopg2", "")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"})
    lines = [line for line in said.stdout.splitlines() if line and not line.startswith(_NOISE)]
    return "\n".join(lines).replace("public.", "") + "\n"


def statements(dumped: str) -> str:
    """What makes the same database again, which `dump` would then say of it."""
    return _ONE_OF.sub(lambda found: f"({found[1]} IN ({found[2].replace('::character varying', '')}))", dumped)


if __name__ == "__main__":
    main()
