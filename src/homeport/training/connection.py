"""The way to the tracking server: its address, a short probe, and MLflow's own failures in plain words.

It refuses to know what is trained, and everything about the platform but MLFLOW_TRACKING_URI.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import requests
from urllib3.exceptions import IncompleteRead

from homeport.errors import ExitCode, HomeportError

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

_TIMEOUT = (5, 10)  # seconds to connect, seconds to answer
_SERVER_ERROR = 500
_RUN_IT = "homeport train ... sets it for you; for a program of your own: homeport run -- COMMAND"

# MLflow reads these when it is imported or called. What the user has set stays.
_QUIET_CLIENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "GIT_PYTHON_REFRESH": "quiet",
    # About half a minute in all: longer than the platform needs to restart its server, shorter than
    # MLflow's seven tries, which take minutes to say that nobody is there.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}


def configure_client() -> None:
    """Set MLflow's own switches, before it is imported, so that the terminal carries our lines alone."""
    for name, value in _QUIET_CLIENT.items():
        os.environ.setdefault(name, value)
    # It warns when it builds its font cache, or has no home directory to keep it in.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def tracking_uri() -> str:
    """The tracking server's address, from MLFLOW_TRACKING_URI.

    Raises:
        HomeportError: it is not set (``TRACKING_URI_UNSET``, exit code 2).
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if uri:
        return uri
    raise HomeportError("TRACKING_URI_UNSET", "MLFLOW_TRACKING_URI is not set", fix=_RUN_IT, exit_code=ExitCode.USAGE)


def probe(uri: str) -> None:
    """Ask the tracking server once whether it is there; a database or file URI needs no server and is not asked.

    Raises:
        HomeportError: nobody answers (``TRACKING_UNREACHABLE``), or it says it is failing (``TRACKING_NOT_READY``).
    """
    if urlsplit(uri).scheme not in {"http", "https"}:
        return
    url = f"{uri.rstrip('/')}/health"
    try:
        # The library and the trust settings are MLflow's own, so that the probe reaches what MLflow reaches.
        answer = requests.get(url, timeout=_TIMEOUT, verify=_trust())
    except requests.RequestException as error:
        raise HomeportError(
            "TRACKING_UNREACHABLE",
            f"the tracking server at {without_password(uri)} does not answer",
            evidence=(("probe", f"GET {without_password(url)} -> {reason(error)}"),),
            why="it is not running, or MLFLOW_TRACKING_URI names another place",
            fix="homeport up, then try again; homeport status says what is running",
        ) from error
    if answer.status_code >= _SERVER_ERROR:
        raise HomeportError(
            "TRACKING_NOT_READY",
            f"the tracking server at {without_password(uri)} is not ready",
            evidence=(("probe", f"GET {without_password(url)} -> {answer.status_code} {answer.reason}"),),
            fix="homeport wait tracking, then try again; homeport doctor says what is wrong",
        )


def refused(error: MlflowException) -> HomeportError:
    """A failure that MLflow raised, as one of ours: who was asked, what was answered, what to do."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    evidence = (("server", without_password(os.environ.get("MLFLOW_TRACKING_URI", ""))), ("answer", lines[0]))
    if any(sign in lines[0] for sign in ("error code 401", "error code 403", "PERMISSION_DENIED", "UNAUTHENTICATED")):
        return HomeportError(
            "TRACKING_DENIED",
            "the tracking server denied the request",
            evidence=evidence,
            why="MLFLOW_TRACKING_USERNAME or MLFLOW_TRACKING_PASSWORD is missing or wrong, or the user may not do this",
            fix=_RUN_IT.replace("sets it", "sets them"),
        )
    if "API request to" in lines[0] and "failed with exception" in lines[0]:
        return HomeportError(
            "TRACKING_LOST",
            "the tracking server stopped answering",
            evidence=(*evidence[:1], ("answer", reason(error))),
            fix="homeport status, then homeport logs tracking; train again when it is back",
        )
    return HomeportError(
        "TRACKING_FAILED", "the tracking server refused a request", evidence=evidence, fix="homeport logs tracking"
    )


def reason(error: BaseException) -> str:
    """The shortest true reason in a chain of exceptions, such as ``Connection refused``."""
    for link in _chain(error):
        if isinstance(link, requests.Timeout):
            return "no answer in time"
        if isinstance(link, IncompleteRead):
            return f"{link.partial:,} bytes arrived and {link.expected or 0:,} more were announced"
        if isinstance(link, OSError) and link.strerror and not isinstance(link, requests.RequestException):
            return link.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def without_password(uri: str) -> str:
    """The address without the user and the password it may carry."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _chain(error: BaseException) -> Iterator[BaseException]:
    # requests keeps urllib3's error among its arguments and urllib3 the socket's as its reason or its context.
    pending, seen = [error], set()
    while pending:
        link = pending.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        inner = (*link.args, getattr(link, "reason", None), link.__cause__, link.__context__)
        pending.extend(part for part in inner if isinstance(part, BaseException))


def _trust() -> bool | str:
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"true", "1"}:
        return False
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
