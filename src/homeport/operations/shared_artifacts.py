"""Whether this machine sees the directory in which the server's clients keep artifacts themselves. Changes nothing.

MLflow hands clients a plain path and they write there, each on its own machine: where the path is missing, or is
another directory of the same name, artifacts are lost without an error. So the server marks the directory
(`marker.py`), tells the mark at `/ready`, and this compares.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from homeport import marker
from homeport.operations import server
from homeport.operations.doctor import Check

NAME = "shared artifacts"
_MOST = 1000  # experiments asked for


def examine(uri: str, environ: Mapping[str, str]) -> Iterator[Check]:
    """A row for every directory in which this machine would have to write; none where artifacts go through the server.

    Args:
        uri: the tracking server.
        environ: with MLFLOW_TRACKING_USERNAME and _PASSWORD where the server asks for them, and MLflow's TLS variables.
    """
    try:
        locations = _locations(uri, environ)
        told = _told(uri, environ)
    except HTTPError as error:
        error.close()
        if error.code in {401, 403}:
            fix = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            yield Check(NAME, "warn", f"{uri} does not say where artifacts are ({error.code})", fix)
        else:
            yield Check(
                NAME, "warn", f"{uri} does not say where artifacts are ({error.code})", "homeport logs tracking"
            )
        return
    except (URLError, TimeoutError, ValueError) as error:
        fix = "see that MLFLOW_TRACKING_URI is right, and that its server runs"
        yield Check(NAME, "warn", f"{uri} does not say where artifacts are: {error}", fix)
        return
    if told and not locations:
        locations = {Path(told["directory"]) / "0"}
    roots: dict[Path, set[Path]] = {}
    for location in locations:
        roots.setdefault(location.parent, set()).add(location)
    for root, below in sorted(roots.items()):
        mark = told["id"] if told and Path(told["directory"]) == root else ""
        yield _row(root, below, mark)


def _row(root: Path, below: set[Path], mark: str) -> Check:
    mount = f"mount the server's {root} here, at the same path"
    if not root.is_dir():
        return Check(NAME, "fail", f"{root} is not on this machine: what clients log here would be lost", mount)
    try:
        seen = marker.read(root)
    except OSError as error:
        return Check(NAME, "fail", f"{root} cannot be read by uid {os.geteuid()}: {error.strerror}", _owner(root))
    if mark and seen != mark:
        which = "without the server's mark" if seen is None else "marked by another server"
        return Check(NAME, "fail", f"{root} is another directory than the server's ({which})", mount)
    closed = [path for path in sorted({root, *below}) if path.is_dir() and not os.access(path, os.W_OK | os.X_OK)]
    if closed:
        return Check(NAME, "fail", f"{closed[0]} is not writable for uid {os.geteuid()}", _owner(closed[0]))
    if not mark:
        said = f"{root} is there and writable; whether it is the server's cannot be told"
        return Check(NAME, "warn", said, f"see that an artifact logged here is shown by the server: {root}")
    return Check(NAME, "pass", f"{root} is the server's, and writable")


def _owner(path: Path) -> str:
    try:
        owner = path.stat()
    except OSError:
        return f"run server and clients as the uid that owns {path}"
    return (
        f"run server and clients as the owner of {path}: HOMEPORT_UID={owner.st_uid} HOMEPORT_GID={owner.st_gid}; "
        f"or share it by a group: chmod -R g+rwX {path}"
    )


def _locations(uri: str, environ: Mapping[str, str]) -> set[Path]:
    """Where experiments keep artifacts that clients write themselves."""
    body = json.dumps({"max_results": _MOST}).encode()
    answer = server.ask(f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search", environ, body)
    found = {str(experiment.get("artifact_location", "")) for experiment in answer.get("experiments", ())}
    return {path for text in found if (path := _path(text))}


def _path(location: str) -> Path | None:
    parts = urlsplit(location)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return Path(unquote(parts.path))
    return Path(location) if location.startswith("/") else None


def _told(uri: str, environ: Mapping[str, str]) -> dict[str, str] | None:
    """What the server says of the directory, as {"directory", "id"}; None when it says nothing."""
    told = server.ready(uri, environ).get("shared_artifacts")
    return told if isinstance(told, dict) and {"directory", "id"} <= told.keys() else None
