"""SQL that writes JSON: PostgreSQL makes the texts of an answer's many small parts, and this process only joins them.

A metric costs this process a copy of its text, not a handful of objects. As protobuf's and Python's json write it
(mlflow 3.17.2, utils/proto_json_utils.py). Refuses to know which rows are wanted.
"""

from __future__ import annotations

from collections.abc import Mapping

QUOTED = {"NaN": '"NaN"', "Infinity": '"Infinity"', "-Infinity": '"-Infinity"'}  # as protobuf writes them
BARE = {name: name for name in QUOTED}  # as Python's json does


def number(names: Mapping[str, str]) -> str:
    """The column `value`: with a fraction or an exponent always; PostgreSQL's text is the same number otherwise.

    Args:
        names: what is written for numbers that JSON lacks.
    """
    odd = " ".join(f"when value = '{name}' then '{said}'" for name, said in names.items())
    return f"""case when is_nan then '{names["NaN"]}'
      when value > -1e15 and value < 1e15 then
        case when value = trunc(value) then value::text || '.0' else value::text end
      {odd} else value::text end"""


def text(column: str) -> str:
    """A text."""
    return f"to_json({column})::text"
