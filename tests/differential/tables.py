"""Every row of every table of a database, written alike for both servers, and emptied between two sequences.

Refuses to know which tables there are: the database says.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from tests.differential.memory import Memory

_NEW = re.compile(r"<(?:id|uuid) \d+>")
_NAMES = """
    select table_name from information_schema.tables
    where table_schema = 'public' and table_type = 'BASE TABLE' order by table_name
"""


class Tables:
    """One server's database.

    Args:
        connection: to it, autocommitted.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.names = [name for (name,) in self._ask(_NAMES)]
        assert {"runs", "metrics", "latest_metrics", "params", "tags", "alembic_version"} <= set(self.names)
        self._all = " union all ".join(
            f"select '{name}', row_to_json(t)::text from \"{name}\" t" for name in self.names
        )
        self._kept = {"alembic_version"}
        self._sequences = [name for (name,) in self._ask("select sequencename from pg_sequences")]

    def _ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def rows(self, memory: Memory) -> Counter[str]:
        """Table and row -> how often. Ids that no answer showed are written as the rows they stand in."""
        numbers = dict(memory.numbers)
        before = set(numbers.values())
        found = [
            (table, json.dumps(memory.alike(json.loads(row)), sort_keys=True)) for table, row in self._ask(self._all)
        ]
        memory.numbers = numbers
        unseen: dict[str, list[str]] = {}
        for table, row in found:
            for name in set(_NEW.findall(row)) - before:
                blank = _NEW.sub(lambda m: m[0] if m[0] in before else "<?>", row.replace(name, "<this>"))
                unseen.setdefault(name, []).append(f"{table} {blank}")
        marks = {name: f"<{hash(tuple(sorted(where))):x}>" for name, where in unseen.items()}
        return Counter(f"{table} {_NEW.sub(lambda m: marks.get(m[0], m[0]), row)}" for table, row in found)

    def empty(self, first: int) -> None:
        """As after the first start; new serial numbers begin with `first`, so that none is ever given twice."""
        filled = [name for name in self.names if name not in self._kept]
        count = " union all ".join(f"select '{name}' where exists (select 1 from \"{name}\")" for name in filled)
        statements = ["set session_replication_role = replica"]
        for (name,) in self._ask(count):
            if name == "experiments":
                statements.append("delete from experiments where experiment_id <> 0")
                statements.append("update experiments set lifecycle_stage = 'active' where experiment_id = 0")
            elif name != "workspaces":
                statements.append(f'delete from "{name}"')
        statements += [f"select setval('{name}', {first})" for name in self._sequences]
        statements.append("set session_replication_role = default")
        self._ask(";".join(statements))
