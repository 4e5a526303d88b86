"""What compose.yaml is rendered from, and the variants of it that an overlay each turns it into.

A variant is a few settings. Its overlay is the difference between two rendered documents, so it cannot fall behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from homeport.errors import ExitCode, HomeportError
from homeport.model.graph import Graph
from homeport.model.service import Target
from homeport.render.compose import Document, document
from homeport.render.text import Tagged
from homeport.render.values import ComposeValues
from homeport.settings import Settings, knobs
from homeport.stack import build

BASE = "compose.yaml"


@dataclass(frozen=True, eq=False)
class Variant:
    """Settings that change what is rendered.

    Args:
        name: the overlay is `compose.NAME.yaml`.
        title: what it is for, one sentence.
        settings: attributes of Settings; what they say becomes the default in the overlay.
        required: variable -> what Compose says where it is not set; it has no default.
        without: variants it cannot be combined with, and why.
    """

    name: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    required: Mapping[str, str] = field(default_factory=dict)
    without: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The overlay's name."""
        return f"compose.{self.name}.yaml"


REQUIRED = {"DOMAIN": "no .env yet? make it and secrets/ as the top of compose.yaml says"}
_ELSEWHERE = "that database is elsewhere"

MARIADB = Variant(
    "mariadb", "MariaDB instead of PostgreSQL, phpMyAdmin instead of Adminer", {"database_engine": "mariadb"}
)
SHARED = Variant(
    "shared-artifacts",
    "artifacts in a directory that server and clients see at the same path; no object store",
    {"shared_artifacts": Path("/shared")},
    {
        "HOMEPORT_SHARED_ARTIFACTS": "the directory, an absolute path that exists here and on every client",
        "HOMEPORT_UID": "the number of the user who owns that directory (id -u)",
        "HOMEPORT_GID": "the number of the group that owns that directory (id -g)",
    },
)
EXTERNAL = Variant(
    "external",
    "the database and the S3 store are elsewhere",
    {
        "backend_store_uri": "postgresql://elsewhere/mlflow",
        "s3_endpoint_url": "https://elsewhere",
        "artifacts_destination": "s3://mlflow",
        "aws_access_key_id": "elsewhere",
        "aws_secret_access_key": "elsewhere",
    },
    {"MLFLOW_S3_ENDPOINT_URL": "the S3 API, for example https://s3.eu-central-1.amazonaws.com"},
    {"mariadb": _ELSEWHERE, "shared-artifacts": "artifacts go either to a bucket or to a directory"},
)
EXTERNAL_GATEWAY = Variant(
    "external-gateway", "a Traefik of the site leads to the services, by their labels", {"gateway": "external"}
)
PREDICTIONS = Variant(
    "predictions",
    "predictions are kept in PostgreSQL for the next training",
    {"prediction_log": 1.0},
    without={"mariadb": "predictions are kept in PostgreSQL", "external": _ELSEWHERE},
)
# In the order of their files: Compose (2.40) takes single variables away only before another file added some.
VARIANTS = (SHARED, EXTERNAL, MARIADB, EXTERNAL_GATEWAY, PREDICTIONS)


def chosen(settings: Settings) -> tuple[Variant, ...]:
    """The variants that settings ask for, in the order of their files.

    Raises:
        HomeportError: RENDER_EXTERNAL when one store is elsewhere and the other is not.
    """
    elsewhere = {
        "MLFLOW_BACKEND_STORE_URI": bool(settings.backend_store_uri),
        "MLFLOW_S3_ENDPOINT_URL": bool(settings.s3_endpoint_url),
    }
    if any(elsewhere.values()) and not all(elsewhere.values()):
        missing = next(name for name, there in elsewhere.items() if not there)
        raise HomeportError(
            code="RENDER_EXTERNAL",
            what=f"{EXTERNAL.file} needs {missing} too",
            evidence=tuple((name, "set" if there else "not set") for name, there in elsewhere.items()),
            why="in Compose both stores are ours, or both are elsewhere",
            fix=f"set {missing}, or unset the other; plain processes take either: homeport up",
            exit_code=ExitCode.USAGE,
        )
    asked = {
        MARIADB.name: settings.embedded_database and settings.database_engine == "mariadb",
        SHARED.name: settings.shared_artifacts is not None,
        EXTERNAL.name: all(elsewhere.values()),
        EXTERNAL_GATEWAY.name: settings.gateway == "external",
        PREDICTIONS.name: settings.keeps_predictions,
    }
    return tuple(variant for variant in VARIANTS if asked[variant.name])


def files(variants: Iterable[Variant]) -> tuple[str, ...]:
    """The Compose files that together are these variants.

    Raises:
        HomeportError: RENDER_COMBINATION when two of them exclude each other.
    """
    found = tuple(variants)
    names = {variant.name for variant in found}
    for variant in found:
        for other in sorted(names & variant.without.keys()):
            raise HomeportError(
                code="RENDER_COMBINATION",
                what=f"{variant.file} and compose.{other}.yaml do not go together",
                why=variant.without[other],
                fix="choose one of the two",
                exit_code=ExitCode.USAGE,
            )
    return (BASE, *(variant.file for variant in found))


def settings_of(variants: Iterable[Variant] = ()) -> Settings:
    """The settings that a file is rendered from: every default, and what the variants say."""
    given: dict[str, Any] = {}
    for variant in variants:
        given |= variant.settings
    return Settings(**given)


@cache
def graph_of(variants: tuple[Variant, ...] = ()) -> Graph:
    """The graph in containers."""
    return build(settings_of(variants), target=Target.CONTAINERS)


@cache
def rendered(*variants: Variant) -> Document:
    """The whole document of some variants together; of none: compose.yaml's."""
    settings, graph = settings_of(variants), graph_of(variants)
    required = REQUIRED.keys() | {name for variant in variants for name in variant.required}
    return document(settings, graph, ComposeValues(graph, required, _defaults(variants)))


def _defaults(variants: Iterable[Variant]) -> dict[str, str]:
    by_name = {item.name: item for item in knobs()}
    given = {name: value for variant in variants for name, value in variant.settings.items()}
    return {by_name[name].env: by_name[name].written(value) for name, value in given.items()}


# Lists of a service to which a later file adds; any other list it replaces.
_ADDED_TO = {"networks", "secrets", "volumes", "tmpfs"}


def overlay(variant: Variant) -> Document:
    """What turns compose.yaml into a variant, with Compose's tags where something goes away."""
    return difference(rendered(), rendered(variant))


def difference(base: Mapping[str, Any], other: Mapping[str, Any]) -> Document:
    """What a later file must say so that Compose's merge of `base` and it is `other`."""
    found: Document = {key: Tagged("reset", None) for key in base if key not in other}
    for key, value in other.items():
        if key not in base:
            found[key] = value
        elif value != base[key]:
            found[key] = _changed(key, base[key], value)
    return found


def _changed(key: str, before: Any, after: Any) -> Any:  # noqa: ANN401 - any value of a document
    if isinstance(before, Mapping) and (isinstance(after, Mapping) or after is None):
        after = after or {}
        if not any(before.get(name) == value for name, value in after.items()) and before.keys() - after.keys():
            kept = before.keys() & after.keys()
            if not kept and after:
                return Tagged("override", after)
        return difference(before, after)
    if isinstance(before, list) and isinstance(after, list):
        more = [item for item in after if item not in before]
        if key in _ADDED_TO and len(more) == len(after) - len(before):
            return more
        return Tagged("override", after)
    return after
