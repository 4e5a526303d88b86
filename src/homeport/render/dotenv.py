"""`.env.example`: every variable that the Compose files read, by what it is about, with its help and its default.

Which variables there are is read from the rendered documents; nothing is listed that has no effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from textwrap import wrap
from typing import Any

from homeport.render.compose import VERSION
from homeport.render.text import Tagged
from homeport.render.variants import EXTERNAL, EXTERNAL_GATEWAY, PREDICTIONS, REQUIRED, SHARED, VARIANTS, rendered
from homeport.settings import knobs

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Z][A-Z0-9_]*)(?::?-(?P<default>[^}]*))?\}")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=*^-]*")
_WIDTH = 112


@dataclass(frozen=True)
class Variable:
    """One line of `.env`.

    Args:
        name: the variable.
        help: what it is, for people.
        default: what holds where it is not set.
    """

    name: str
    help: str
    default: str = ""


# Variables of Compose and of the files themselves, which are no settings of Homeport.
OF_COMPOSE = {
    "HOMEPORT_IMAGE": "Our image; a site's own, with more packages, for example.",
    "HOMEPORT_LOADTEST_IMAGE": "The load test's image, made on top of ours.",
    "HOMEPORT_SECRETS": "Directory of the secret files, 0700; the files 0444, as containers read them as other users.",
    "COMPOSE_FILE": "The Compose files of this site, joined by colons: compose.yaml, overlays (shared-artifacts or "
    "external before others), compose.override.yaml last; empty: the first and the last of these.",
    "COMPOSE_PROFILES": "What runs besides, joined by commas: admin (a page for the database), observability "
    "(Prometheus and Grafana).",
    "HOMEPORT_MAX_CONNECTIONS": "Most connections to the database.",
    "HOMEPORT_UID": "Number of the user who owns that directory; tracking, serving and training run as this user.",
    "HOMEPORT_GID": "Number of the group that owns it.",
    "HOMEPORT_GATEWAY_ENTRYPOINT": "Its entry point for HTTPS.",
    "HOMEPORT_GATEWAY_RESOLVER": "Its certificate resolver.",
}
# What is different in containers from what the setting's own help says.
_HELP = {
    "HOMEPORT_AUTH": "Whether clients must log in: `basic`, or `off`: whoever reaches it may do everything.",
    "HOMEPORT_BUCKET": "Bucket for artifacts in the store here.",
    "HOMEPORT_SERVE": "What is served: `name@alias`, `name/version`, `*@alias` (every model with the alias), joined by "
    "commas.",
    "MLFLOW_ARTIFACTS_DESTINATION": "The bucket there, with a prefix if you like.",
    "HOMEPORT_WORKERS": "MLflow processes behind the tracking server's front, 1 to 64, 400 MiB each; with MariaDB or "
    "the fast lane off about one for each core.",
    "HOMEPORT_SERVING_WORKERS": "Serving processes, 1 to 64.",
    "HOMEPORT_PREDICTION_LOG": "Fraction of the predictions that are kept for training.",
    "HOMEPORT_SHARED_ARTIFACTS": "The directory: an absolute path that exists here and, the same, on every client.",
    "MLFLOW_S3_ENDPOINT_URL": "The S3 API elsewhere; its keys are files: secrets/aws-access-key-id, "
    "secrets/aws-secret-access-key; the database's URI is secrets/backend-store-uri.",
    "POSTGRES_USER": "Database user that owns MLflow's tables (letters, digits, . _ ~ -); fixed once there is data.",
    "POSTGRES_DB": "Database that holds MLflow's tables (letters, digits, . _ ~ -); fixed once there is data.",
}
GROUPS: dict[str, tuple[str, ...]] = {
    "Where it is reached": (
        "DOMAIN", "HOMEPORT_LISTEN", "HOMEPORT_HTTP_PORT", "HOMEPORT_HTTPS_PORT", "HOMEPORT_TLS", "HOMEPORT_ACME_EMAIL",
    ),
    "Who gets in": ("HOMEPORT_AUTH", "MLFLOW_AUTH_ADMIN_USERNAME"),
    "What runs": ("COMPOSE_PROFILES", "COMPOSE_FILE", "HOMEPORT_IMAGE", "HOMEPORT_LOADTEST_IMAGE", "HOMEPORT_SECRETS"),
    "Tracking server": (
        "HOMEPORT_FASTLANE", "HOMEPORT_SLOW_SECONDS", "HOMEPORT_WORKERS",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "MLFLOW_ENABLE_AI_GATEWAY", "POSTGRES_USER",
        "POSTGRES_DB", "HOMEPORT_MAX_CONNECTIONS", "HOMEPORT_BUCKET", "AWS_DEFAULT_REGION",
        "HOMEPORT_S3_PUBLIC_ENDPOINT",
    ),
    "Serving API": (
        "HOMEPORT_SERVE", "HOMEPORT_SERVE_TRAFFIC", "HOMEPORT_SERVING_WORKERS", "HOMEPORT_SERVING_CONCURRENCY",
        "HOMEPORT_SERVING_QUEUE", "HOMEPORT_SERVING_TIMEOUT", "HOMEPORT_SERVING_MAX_BODY_MIB", "HOMEPORT_SERVING_POLL",
        "HOMEPORT_SERVING_CACHE_MIB", "HOMEPORT_SERVING_STRICT", "HOMEPORT_SERVING_ACCESS_LOG", "HOMEPORT_SERVING_ENVS",
    ),
    f"With {SHARED.file}": ("HOMEPORT_SHARED_ARTIFACTS", "HOMEPORT_UID", "HOMEPORT_GID"),
    f"With {EXTERNAL.file}": ("MLFLOW_S3_ENDPOINT_URL", "MLFLOW_S3_IGNORE_TLS", "MLFLOW_ARTIFACTS_DESTINATION"),
    f"With {EXTERNAL_GATEWAY.file}": (
        "HOMEPORT_GATEWAY_NETWORK", "HOMEPORT_GATEWAY_ENTRYPOINT", "HOMEPORT_GATEWAY_RESOLVER",
    ),
    f"With {PREDICTIONS.file}": ("HOMEPORT_PREDICTION_LOG", "HOMEPORT_PREDICTION_KEEP_DAYS"),
}  # fmt: skip


@cache
def variables() -> dict[str, Variable]:
    """Every variable that some Compose file reads, and Compose's own two, by name."""
    defaults = {"COMPOSE_FILE": "", "COMPOSE_PROFILES": ""}
    for document in (rendered(), *(rendered(variant) for variant in VARIANTS)):
        for name, default in read_by(document):
            # The file that changes a default is named at its group.
            defaults[name] = default
    helps = {item.env: item.help for item in knobs()} | OF_COMPOSE | _HELP
    return {name: Variable(name, helps[name], default) for name, default in defaults.items()}


def read_by(content: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any part of a document
    """(name, default) of every variable that a document reads."""
    if isinstance(content, str):
        for found in _VARIABLE.finditer(content):
            if found["name"]:
                yield found["name"], (found["default"] or "").replace("$$", "$")
    elif isinstance(content, Tagged):
        yield from read_by(content.value)
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from read_by(value)
    elif isinstance(content, Iterable):
        for value in content:
            yield from read_by(value)


def example(values: Mapping[str, str] | None = None) -> str:
    """The text of `.env`: what is required or given stands, everything else is a comment with its default.

    Args:
        values: variable -> value; without them: `.env.example`.
    """
    values = {"DOMAIN": "localhost"} | dict(values or {})
    known = variables()
    lines = [
        "# Settings of Homeport in Compose. `homeport render env` makes .env from this and the secrets beside it.",
        "# A commented line shows what holds without it. No password or key stands here: they are files in secrets/.",
    ]
    for title, names in GROUPS.items():
        lines += ["", f"# --- {title}"]
        for name in names:
            lines += described(known[name], values.get(name))
    return "\n".join(lines) + "\n"


def described(variable: Variable, value: str | None = None) -> list[str]:
    """A variable's help and its line, commented unless a value is given."""
    comment = [f"# {line}" for line in wrap(variable.help, _WIDTH - 2, break_on_hyphens=False)]
    line = assignment(variable.name, variable.default if value is None else value)
    return [*comment, f"#{line}" if value is None else line]


def missing_from(text: str) -> list[Variable]:
    """Variables that a `.env` file's text does not name, not even in a comment."""
    named = set(re.findall(r"^[ \t#]*(?:export[ \t]+)?([A-Z][A-Z0-9_]*)[ \t]*=", text, re.MULTILINE))
    known = variables()
    return [known[name] for names in GROUPS.values() for name in names if name not in named]


def appended(text: str, missing: Iterable[Variable], values: Mapping[str, str]) -> str:
    """The text with what is missing, and with values that it does not set yet, at its end."""
    lines = [] if not text or text.endswith("\n") else [""]
    more: list[str] = []
    listed = {variable.name: variable for variable in missing}
    known = variables()
    for name in [*listed, *(name for name in values if name not in listed)]:
        value = values.get(name)
        more += described(known[name], "localhost" if value is None and name in REQUIRED else value)
    if not more:
        return text
    return text + "\n".join([*lines, "", f"# --- Added by homeport render env {VERSION}", *more]) + "\n"


def assignment(name: str, value: str) -> str:
    """NAME=value as Compose and python-dotenv read it alike.

    Raises:
        ValueError: when no way of quoting says the same to both.
    """
    if _PLAIN.fullmatch(value):
        return f"{name}={value}"
    if "'" in value or "\\" in value or "$" in value or "\n" in value:
        raise ValueError("a value for .env has no ' \\ $ and no line break")
    return f"{name}='{value}'"
