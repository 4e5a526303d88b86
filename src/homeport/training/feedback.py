"""Fresh rows: what serving was asked and what was true, read from its training data and checked like a file's.

It needs neither pandas nor MLflow. A row that does not fit refuses the whole, as a bad line refuses a file. What is
learned from the rows it refuses to know.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray

from homeport.errors import ExitCode, HomeportError
from homeport.training.connection import reason, without_password
from homeport.training.data import COLUMNS, FEATURES, TARGET

_TIMEOUT = (5, 120)  # seconds to connect, seconds between two pieces
_POSITIONS = {str(place): name for place, name in enumerate(FEATURES)}
_HELD_OUT_OF = 5  # one row of so many is held out
_TELL = 'curl -d \'{"request_id": "…", "truth": 6}\' "$HOMEPORT_SERVING_URL/feedback"'

Values = NDArray[np.float64]


@dataclass(frozen=True)
class FreshRows:
    """Labelled rows of a model.

    Args:
        url: where they are from.
        since: the oldest asked for; empty for all.
        values: float64, shape (rows, 12), columns as in `COLUMNS`, all finite, at least one row.
    """

    url: str
    since: str
    values: Values = field(repr=False)


@dataclass(frozen=True)
class Division:
    """Fresh rows by their use; each array of shape (rows, 12), columns as in `COLUMNS`.

    Args:
        learn: to learn from.
        held_out: to score with, beside the rows of the file that are held out.
        known: left out: a wine that is held out in the file already.
    """

    learn: Values
    held_out: Values
    known: Values


def serving_url() -> str:
    """The serving's address, from HOMEPORT_SERVING_URL.

    Raises:
        HomeportError: it is not set (``SERVING_URL_UNSET``, exit code 2).
    """
    url = os.environ.get("HOMEPORT_SERVING_URL", "").strip().rstrip("/")
    if url:
        return url
    raise HomeportError(
        "SERVING_URL_UNSET",
        "HOMEPORT_SERVING_URL is not set",
        why="fresh rows are asked of the platform's serving",
        fix="homeport up, then: homeport train wine-quality --from-feedback",
        exit_code=ExitCode.USAGE,
    )


def read_fresh(url: str, model: str, since: str = "") -> FreshRows:
    """Every labelled row of a model, checked.

    Args:
        url: the serving's address.
        model: the registered model that was asked.
        since: only what was predicted at this ISO time or later; empty for all.

    Raises:
        HomeportError: ``SERVING_*`` when it cannot be asked, ``FEEDBACK_*`` when there is nothing to learn from.
    """
    address = f"{url}/training-data"
    query = {"model": model, "labelled": "true", "format": "jsonl", **({"since": since} if since else {})}
    try:
        with requests.get(address, query, stream=True, timeout=_TIMEOUT, headers=_key()) as answer:
            if answer.status_code != HTTPStatus.OK:
                raise _refused(address, answer)
            prefix = answer.headers.get("X-Column-Prefix", "")
            rows = [json.loads(line) for line in answer.iter_lines() if line]
    except (requests.RequestException, json.JSONDecodeError) as error:
        raise _unreachable(address, error) from error
    if not rows:
        raise _empty(model, since)
    return FreshRows(without_password(address), since, _checked(rows, prefix))


def divide(fresh: Values, train: Values, test: Values) -> Division:
    """Which fresh rows are learned from and which are held out; the same row goes the same way every time.

    A wine is known by its eleven measurements, whatever its quality was said to be. One that is held out in the file
    is left out, one that the file gives to learn from is learned from; of all others a fifth is held out, by a hash.
    So no model that was trained in this way has learned from a row it is scored with.

    Args:
        fresh: shape (rows, 12), columns as in `COLUMNS`.
        train: the file's rows to learn from.
        test: the file's held-out rows.
    """
    learned, held = set(_keys(train)), set(_keys(test))
    uses = np.array([_use(key, learned, held) for key in _keys(fresh)])
    return Division(*(fresh[uses == use] for use in ("learn", "held out", "known")))


def _use(key: bytes, learned: set[bytes], held: set[bytes]) -> str:
    if key in held:
        return "known"
    chosen = int.from_bytes(hashlib.sha256(key).digest()[:8]) % _HELD_OUT_OF == 0
    return "held out" if chosen and key not in learned else "learn"


def _keys(values: Values) -> Iterator[bytes]:
    features = np.ascontiguousarray(values[:, : len(FEATURES)].astype("<f8") + 0.0)  # -0.0 and 0.0 are one value
    return (row.tobytes() for row in features)


def _checked(rows: Sequence[Mapping[str, Any]], prefix: str) -> Values:
    problems: Counter[str] = Counter()
    first: dict[str, str] = {}
    checked = []
    for row in rows:
        values = _named(row, prefix)
        problem = next((text for name in COLUMNS if (text := _problem(name, values)) is not None), None)
        if problem is None:
            checked.append([float(values[name]) for name in COLUMNS])
        else:
            problems[problem] += 1
            first.setdefault(problem, f"request {row.get(prefix + 'request_id')}, row {row.get(prefix + 'row')}")
    if problems:
        raise _unusable(problems, first, len(rows))
    return np.array(checked, dtype=np.float64)


def _named(row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """A row's measurements and its truth as `quality`; measurements without names stand in the model's order."""
    ours = {prefix + name for name in ("prediction", "truth", "request_id", "row", "at", "model", "version")}
    inputs = {name: value for name, value in row.items() if name not in ours}
    if inputs.keys() == _POSITIONS.keys():
        inputs = {_POSITIONS[place]: value for place, value in inputs.items()}
    return {**inputs, TARGET: row.get(f"{prefix}truth")}


def _problem(name: str, values: Mapping[str, Any]) -> str | None:
    label = "the truth" if name == TARGET else f"column {name}"
    if name not in values:
        return f"{label} is missing"
    value = values[name]
    if value is None:
        return f"{label} has no value"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{label} is not a number"
    return None if math.isfinite(value) else f"{label} is not a finite number"


def _unusable(problems: Counter[str], first: Mapping[str, str], rows: int) -> HomeportError:
    evidence = tuple(
        (f"{count:,} {'row' if count == 1 else 'rows'}", f"{problem}; the first: {first[problem]}")
        for problem, count in problems.most_common()
    )
    return HomeportError(
        "FEEDBACK_UNUSABLE",
        f"{problems.total():,} of {rows:,} labelled rows cannot be learned from",
        evidence=evidence,
        why="a row needs the eleven measurements of a wine and its quality, all finite numbers",
        fix=f"send the right truth for these requests, the last one counts: {_TELL}; or begin later: --since TIME",
        exit_code=ExitCode.USAGE,
    )


def _empty(model: str, since: str) -> HomeportError:
    return HomeportError(
        "FEEDBACK_EMPTY",
        f"there are no labelled rows of {model}" + (f" since {since}" if since else ""),
        evidence=(("needed", "at least 1"), ("found", "0")),
        why="a row is labelled once its truth has been sent with the X-Request-Id of its prediction",
        fix=_TELL,
    )


def _key() -> dict[str, str]:
    """The header that a serving API with a key asks for."""
    key = os.environ.get("HOMEPORT_SERVING_KEY", "")
    return {"X-API-Key": key} if key else {}


def _refused(address: str, answer: requests.Response) -> HomeportError:
    try:
        said = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = answer.reason
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        return HomeportError(
            "SERVING_DENIED",
            "serving asks for a key",
            evidence=(("request", f"GET {without_password(address)} -> {answer.status_code}"), ("answer", said)),
            why="HOMEPORT_SERVING_KEY is missing or wrong",
            fix="homeport train ... sets it for you; for a program of your own: homeport run -- COMMAND",
        )
    off = answer.status_code == HTTPStatus.CONFLICT
    return HomeportError(
        "FEEDBACK_OFF" if off else "SERVING_REFUSED",
        "the prediction log is off" if off else "serving did not give its training data",
        evidence=(("request", f"GET {without_password(address)} -> {answer.status_code}"), ("answer", said)),
        fix="HOMEPORT_PREDICTION_LOG=1 homeport up, then predict and send feedback" if off else "homeport logs serving",
    )


def _unreachable(address: str, error: Exception) -> HomeportError:
    return HomeportError(
        "SERVING_UNREACHABLE",
        "serving did not give all of its training data",
        evidence=(("request", f"GET {without_password(address)} -> {reason(error)}"),),
        why="it is not running, it broke off, or HOMEPORT_SERVING_URL names another place",
        fix="homeport status, then try again",
    )
