"""What one server made (ids, times, names, page tokens): remembered to ask with, and written alike to compare.

Ids are numbered by their first appearance, so two servers that do the same get the same numbers.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import quote

from mlflow.utils.name_utils import _GENERATOR_NOUNS, _GENERATOR_PREDICATES

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_NAME = re.compile(rf"(?:{'|'.join(_GENERATOR_PREDICATES)})-(?:{'|'.join(_GENERATOR_NOUNS)})-(?:1000|\d{{1,3}})")
# What the driver shows of a statement that PostgreSQL refuses: how much of it hangs on the length of random names.
_EXCERPT = re.compile(r"LINE 1: .*?\^", re.DOTALL)
_CUT = re.compile(r"'[a-z]{1,20}\.\.\.$", re.MULTILINE)  # PostgreSQL shows as much of a statement: here, of a name
_NOW = re.compile(r"(?<!\d)\d{13}(?!\d)")
_ASKED = re.compile(rb"@([REMTSC])(\d+)@")
_DAY = 86_400_000  # ms; the suite itself may look for hours
_CLOCK = 1_500_000_000_000
_NOBODY = "0" * 32


class Memory:
    """One server's own values in one sequence of calls."""

    def __init__(self, serial: int = 0) -> None:
        self.serial = serial
        self.count = 0
        self.runs: list[str] = []
        self.experiments: list[str] = []
        self.models: list[str] = []
        self.tokens: list[str] = []
        self.numbers: dict[str, str] = {}
        self._began = int(time.time() * 1000)

    def fill(self, text: bytes, *, target: bool = False) -> bytes:
        """`@R0@`, `@E0@`, `@M0@`, `@T0@` replaced by the server's run, experiment, logged model, page token.

        `@S0@` is the sequence's own number, `@C0@` the milliseconds of a clock that steps with every request: MLflow
        orders runs of the same moment by their random ids.
        """
        kinds = {b"R": self.runs, b"E": self.experiments, b"M": self.models, b"T": self.tokens}

        def put(found: re.Match[bytes]) -> bytes:
            if found[1] in b"SC":
                return b"%d" % (self.serial if found[1] == b"S" else _CLOCK + self.count)
            known = kinds[found[1]]
            value = known[int(found[2]) % len(known)] if known else _NOBODY
            return (quote(value) if target else value).encode()

        return _ASKED.sub(put, text)

    def learn(self, value: Any) -> None:
        """Remember what an answer gave."""
        if not isinstance(value, dict):
            return
        run = (value.get("run") or {}).get("info", {}) if isinstance(value.get("run"), dict) else {}
        model = (value.get("model") or {}).get("info", {}) if isinstance(value.get("model"), dict) else {}
        for found, known in (
            (run.get("run_id"), self.runs), (value.get("experiment_id"), self.experiments),
            (model.get("model_id"), self.models), (value.get("next_page_token"), self.tokens),
        ):  # fmt: skip
            if found and found not in known:
                known.append(found)

    def alike(self, value: Any) -> Any:
        """The value with everything that is this server's own written as a number of its first appearance."""
        if isinstance(value, dict):
            alike = {self.alike(name): self.alike(inner) for name, inner in value.items()}
            # Upstream orders a run's datasets by the run alone (`_get_run_inputs`): which comes first is not said.
            if isinstance(given := alike.get("dataset_inputs"), list):
                given.sort(key=lambda each: json.dumps(each, sort_keys=True))
            return alike
        if isinstance(value, list):
            return [self.alike(inner) for inner in value]
        if isinstance(value, int) and not isinstance(value, bool):
            return "<now>" if self._is_now(value) else value
        if isinstance(value, str):
            return self._text(value)
        return value

    def _text(self, text: str) -> str:
        text = _EXCERPT.sub("<excerpt>", text)
        text = _ID.sub(lambda found: self._number("id", found[0]), text)
        text = _UUID.sub(lambda found: self._number("uuid", found[0]), text)
        text = _CUT.sub("'<cut>", _NAME.sub(lambda found: self._number("name", found[0]), text))
        return _NOW.sub(lambda found: "<now>" if self._is_now(int(found[0])) else found[0], text)

    def _number(self, kind: str, value: str) -> str:
        return self.numbers.setdefault(value, f"<{kind} {len(self.numbers)}>")

    def _is_now(self, value: int) -> bool:
        return abs(value - self._began) < _DAY


def parsed(body: bytes) -> Any:
    """The body as JSON, with NaN and duplicate names as Python reads them; text where it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", errors="backslashreplace")


def written(value: Any) -> str:
    """One spelling for equal JSON values: 1, 1.0, true, "1" and -0.0 all differ."""
    return json.dumps(_ordered(value), sort_keys=True)


# Lists of keyed values that MLflow reads without an order (mlflow 3.17.2, store/tracking/dbmodels/models.py): any order
# is right where no key is there twice.
_UNORDERED = {"metrics", "params", "tags", "aliases", "latest_versions"}


def _ordered(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {each: _ordered(inner, each) for each, inner in value.items()}
    if isinstance(value, list):
        inner = [_ordered(each) for each in value]
        keys = [_key(each) for each in inner if isinstance(each, dict)]
        if name in _UNORDERED and len(keys) == len(inner) and len(set(map(str, keys))) == len(keys):
            return sorted(inner, key=lambda each: str(_key(each)))
        return inner
    return value


def _key(each: dict[str, Any]) -> Any:
    return each.get("key", each.get("alias", each.get("version")))
