"""Checks of this machine and this home, each with the fix. Asks and reports; changes nothing and prints nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from homeport.errors import HomeportError
from homeport.space import LEAST_FREE_MIB, free_mib

if TYPE_CHECKING:
    from homeport.platform import Platform

P = TypeVar("P")
_VERIFIED_MLFLOW = "3.17.2"
_LEAST_MEMORY_MIB = 1024
_GOOD_MEMORY_MIB = 2048


@dataclass(frozen=True)
class Check:
    """One row: what was looked at, how it is, and what to do about it."""

    name: str
    status: Literal["pass", "warn", "fail"]
    message: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """The row for a script."""
        return asdict(self)


def examine(platform: Platform) -> list[Check]:
    """Every check, each safe from the others' failures."""
    checks: tuple[Callable[[Platform], Iterator[Check]], ...] = (
        _user, _python, _mlflow, _programs, _memory, _home, _disk, _ports, _running, _parts, _login, _models,
        _fast_lane, _shared,
    )  # fmt: skip
    return [row for check in checks for row in rows(check, platform)]


def rows(check: Callable[[P], Iterator[Check]], platform: P) -> Iterator[Check]:
    """The rows of one check; the last one says what it failed with, if it did."""
    name = check.__name__.removeprefix("_")
    try:
        yield from check(platform)
    except HomeportError as error:
        yield Check(name, "fail", error.what, error.fix)
    except OSError as error:
        yield Check(name, "fail", f"cannot be checked: {error.strerror or error}", "check the permissions")


def _user(platform: Platform) -> Iterator[Check]:
    if os.geteuid() != 0:
        yield Check("user", "pass", f"uid {os.geteuid()}")
    elif not platform.settings.embedded_database:
        yield Check("user", "warn", "root; nothing here needs it", "run Homeport as an ordinary user")
    else:
        said = "root; PostgreSQL runs as another user, and can read all files when data or programs are below /root"
        yield Check("user", "warn", said, "run Homeport as an ordinary user")


def _python(_platform: Platform) -> Iterator[Check]:
    found = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", "pass", f"{found} at {sys.executable}")


def _mlflow(_platform: Platform) -> Iterator[Check]:
    try:
        found = version("mlflow")
    except PackageNotFoundError:
        yield Check("mlflow", "fail", "not installed", f"pip install mlflow=={_VERIFIED_MLFLOW}")
        return
    if found == _VERIFIED_MLFLOW:
        yield Check("mlflow", "pass", found)
    else:
        fix = f"pip install mlflow=={_VERIFIED_MLFLOW}"
        yield Check("mlflow", "warn", f"{found}; Homeport was verified with {_VERIFIED_MLFLOW}", fix)


def _programs(platform: Platform) -> Iterator[Check]:
    settings = platform.settings
    if settings.embedded_database:
        from homeport.database.binaries import find_binaries

        directory = find_binaries(settings.postgres_bin or None)
        yield Check("postgresql", "pass", _version([str(directory / "postgres"), "--version"]))
    else:
        yield Check("postgresql", "pass", "not needed: MLFLOW_BACKEND_STORE_URI points elsewhere")
    if settings.embedded_objectstore:
        from homeport.objectstore.server import find_binary

        yield Check("rclone", "pass", _version([str(find_binary()), "version"]))
    else:
        yield Check("rclone", "pass", "not needed: artifacts go elsewhere")


def _version(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    first = (done.stdout or done.stderr).strip().splitlines()
    return first[0] if first else f"{command[0]} says nothing (exit {done.returncode})"


def _memory(_platform: Platform) -> Iterator[Check]:
    from homeport.services.sizing import this_machine

    cores, memory = this_machine()
    said = f"{memory} MiB, {cores} cores"
    if memory < _LEAST_MEMORY_MIB:
        yield Check("memory", "fail", f"{said}; at least {_LEAST_MEMORY_MIB} MiB are needed", "use a larger machine")
    elif memory < _GOOD_MEMORY_MIB:
        yield Check("memory", "warn", f"{said}; training needs {_GOOD_MEMORY_MIB} MiB", "set HOMEPORT_WORKERS=1")
    else:
        yield Check("memory", "pass", said)


def _home(platform: Platform) -> Iterator[Check]:
    home = platform.home
    nearest = next(path for path in (home, *home.parents) if path.exists())
    if not nearest.is_dir():
        yield Check("home", "fail", f"{nearest} is a file", "set HOMEPORT_HOME to a directory")
    elif not os.access(nearest, os.W_OK | os.X_OK):
        yield Check("home", "fail", f"{nearest} is not writable", "set HOMEPORT_HOME to a directory of yours")
    elif home.exists() and home.stat().st_mode & 0o077:
        yield Check("home", "warn", f"{home} can be read by others", f"chmod 700 {home}")
    else:
        yield Check("home", "pass", str(home))


def _disk(platform: Platform) -> Iterator[Check]:
    free = free_mib(platform.home)
    if free < LEAST_FREE_MIB:
        yield Check(
            "disk", "fail", f"{free} MiB free, {LEAST_FREE_MIB} MiB needed", "free some space, or move HOMEPORT_HOME"
        )
    else:
        yield Check("disk", "pass", f"{free} MiB free")


def _ports(platform: Platform) -> Iterator[Check]:
    if platform.running:
        yield Check("ports", "pass", "held by this platform")
        return
    from homeport.stack import build
    from homeport.supervisor.layout import Home
    from homeport.supervisor.local import LocalTarget

    LocalTarget(build(platform.settings), Home(platform.home)).check_ports()
    yield Check("ports", "pass", f"{platform.settings.tracking_port or 'any'} is free")


def _running(platform: Platform) -> Iterator[Check]:
    found = platform.status()
    if not found["services"]:
        yield Check("platform", "warn", "not running", "homeport up --detach")
    elif found["ready"]:
        yield Check("platform", "pass", f"ready at {platform.tracking_uri}")
    else:
        bad = ", ".join(f"{row['name']} {row['state']}" for row in found["services"] if row["health"] == "unhealthy")
        yield Check("platform", "fail", f"not ready: {bad or 'still starting'}", "homeport logs")


def _parts(platform: Platform) -> Iterator[Check]:
    """What the tracking server says of the database, the schema and the object store."""
    if not platform.running:
        return
    import json
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    try:
        with urlopen(f"{platform.tracking_uri}/ready", timeout=10) as answer:  # noqa: S310 - http on loopback
            body: dict[str, Any] = json.load(answer)
    except HTTPError as error:
        body = json.load(error)
    except (URLError, TimeoutError, HomeportError) as error:
        yield Check("tracking", "fail", f"does not answer: {error}", "homeport logs tracking")
        return
    for problem in body["problems"]:
        yield Check(problem["part"], "fail", problem["message"], problem["fix"])
    if not body["problems"]:
        yield Check("parts", "pass", "database, schema and object store answer")


def _login(platform: Platform) -> Iterator[Check]:
    """Whether the administrator's password is the one that clients of this home are given."""
    asked = platform.login if platform.running else None
    env = platform.env() if asked else {}
    if asked is None or "MLFLOW_TRACKING_PASSWORD" not in env:
        return
    import base64
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    pair = f"{env['MLFLOW_TRACKING_USERNAME']}:{env['MLFLOW_TRACKING_PASSWORD']}"
    header = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    url = f"{platform.tracking_uri}/api/2.0/mlflow/users/current"
    try:
        with urlopen(Request(url, headers=header), timeout=10):  # noqa: S310 - http on loopback
            yield Check("login", "pass", f"{asked.user}, password {asked.told('admin-password')}")
    except HTTPError as error:
        error.close()
        said = f"the password of {asked.user} {asked.told('admin-password')} is not MLflow's any more ({error.code})"
        fix = "log in with the new one (MLFLOW_TRACKING_USERNAME, _PASSWORD), or change the secret: homeport restart"
        yield Check("login", "warn", said, fix)
    except (URLError, TimeoutError) as error:
        yield Check("login", "fail", f"cannot be checked: {error}", "homeport logs tracking")


def _models(platform: Platform) -> Iterator[Check]:
    """What the serving API could not serve."""
    url = platform.serving_url if platform.running else None
    if url is None:
        return
    import json
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    key = platform.env().get("HOMEPORT_SERVING_KEY", "")
    request = Request(f"{url}/status", headers={"X-API-Key": key} if key else {})  # noqa: S310 - http on loopback
    try:
        with urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            status: dict[str, Any] = json.load(answer)
    except (URLError, TimeoutError) as error:
        yield Check("serving", "fail", f"does not answer: {error}", "homeport logs serving")
        return
    for failure in status["failures"]:
        named = f"{failure['name']} version {failure['version']}".removesuffix(" version ")
        yield Check("serving", "warn", f"{named}: {failure['error']}", "homeport logs serving")
    if not status["failures"]:
        yield Check("serving", "pass", f"{len(status['models'])} models served")


def _fast_lane(platform: Platform) -> Iterator[Check]:
    """Whether hot calls are answered without MLflow."""
    from homeport.operations import fastlane

    if platform.running:
        environ = platform.env()
        if uri := environ.get("MLFLOW_TRACKING_URI"):
            yield from fastlane.examine(uri, environ)


def _shared(platform: Platform) -> Iterator[Check]:
    """Whether this machine sees the directory in which clients of the server keep artifacts themselves."""
    from homeport.operations import shared_artifacts

    environ = platform.env() if platform.running else os.environ
    if uri := environ.get("MLFLOW_TRACKING_URI"):
        yield from shared_artifacts.examine(uri, environ)
