"""Where settings are read: the environment, `.env`, `homeport.toml`; and names that older or other stacks use.

Knows the forms and their order of precedence; which settings there are it is told.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from homeport.errors import ExitCode, HomeportError
from homeport.knobs import Knob, did_you_mean

Layers = list[tuple[str, Mapping[str, Any]]]

# Variables in our name space that are no settings: set by `homeport env`, by the supervisor, by Compose, or by tests.
INTERNAL = frozenset(
    {
        "HOMEPORT_EXPORTED", "HOMEPORT_REASON_FILE", "HOMEPORT_NO_SKIP", "HOMEPORT_SERVING_URL", "HOMEPORT_IMAGE",
        "HOMEPORT_LOADTEST_IMAGE", "HOMEPORT_SECRETS", "HOMEPORT_MAX_CONNECTIONS", "HOMEPORT_PRESIGNED_URLS",
        "HOMEPORT_GATEWAY_ENTRYPOINT", "HOMEPORT_GATEWAY_RESOLVER", "HOMEPORT_UID", "HOMEPORT_GID",
        "HOMEPORT_SERVING_REPLICAS", "HOMEPORT_SECRETS_DIRECTORY",
    }
)  # fmt: skip
_OTHERS = ("HOMEPORT_TEST_", "HOMEPORT_LOAD_")  # of the tests and of the load test

# MinIO's names, from stacks of the time when it was the usual object store -> ours.
MINIO = {
    "MINIO_ROOT_USER": "AWS_ACCESS_KEY_ID",
    "MINIO_ACCESS_KEY": "AWS_ACCESS_KEY_ID",
    "MINIO_ROOT_PASSWORD": "AWS_SECRET_ACCESS_KEY",
    "MINIO_SECRET_KEY": "AWS_SECRET_ACCESS_KEY",
    "MINIO_BUCKET_NAME": "HOMEPORT_BUCKET",
    "MINIO_BUCKET": "HOMEPORT_BUCKET",
}


def first(item: Knob, layers: Layers) -> tuple[Any, str] | None:
    """A setting's raw value and where it came from, by precedence; None: nowhere."""
    for source, layer in layers:
        file_name = layer.get(f"{item.env}_FILE") if item.is_secret else None
        # An empty variable counts as not set: `.env` files list names without values.
        if layer.get(item.env) not in {None, ""}:
            if file_name:
                raise item.refused("", source, f"both {item.env} and {item.env}_FILE are set", "keep one of the two")
            return layer[item.env], source
        if file_name:
            return item.from_file(Path(str(file_name)).expanduser(), source), source
    return None


def without_exported(environ: dict[str, str]) -> dict[str, str]:
    """The environment less what `homeport env` exported: clients' variables are not this platform's configuration."""
    exported = {name for name in environ.get("HOMEPORT_EXPORTED", "").split(",") if name}
    return {name: value for name, value in environ.items() if name not in exported}


def understood(dotenv: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """A `.env` file's variables with MinIO's names read as ours, and a note for each that was; ours win."""
    found = {name: value for name, value in dotenv.items() if name not in MINIO}
    notes = []
    for name, ours in MINIO.items():
        if dotenv.get(name) and not found.get(ours):
            found[ours] = dotenv[name]
            notes.append(
                f"{name} (.env) is read as {ours}: MinIO's images are gone; docs/how-to/compose.md moves a bucket"
            )
    return found, tuple(notes)


def dotenv(file: Path) -> dict[str, str]:
    """The variables of a `.env` file; none when it is not there."""
    if not file.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return {name: value for name, value in dotenv_values(file).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, error, "make it readable, one NAME=value a line, in UTF-8") from error


def toml(file: Path, known: Iterable[Knob]) -> dict[str, Any]:
    """The file's keys as environment names, so that every layer speaks one language."""
    try:
        if not file.is_file():
            return {}
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _unreadable(file, error, "mend the line named above, or remove the file") from error
    names = {item.name: item.env for item in known}
    for key in content:
        if key not in names:
            raise HomeportError(
                code="SETTING_UNKNOWN",
                what=f'homeport.toml has a key that is no setting: "{key}"',
                evidence=(("file", str(file)),),
                why="a setting that is silently ignored is worse than an error",
                fix=did_you_mean(key, names) or "homeport config show lists all settings",
                exit_code=ExitCode.USAGE,
            )
    return {names[key]: value for key, value in content.items()}


def _unreadable(file: Path, error: Exception, fix: str) -> HomeportError:
    return HomeportError(
        code="CONFIG_UNREADABLE",
        what=f"{file.name} cannot be read",
        evidence=(("file", str(file)), ("error", str(error))),
        fix=fix,
        exit_code=ExitCode.USAGE,
    )


def unknown(layer: Mapping[str, str], source: str, knobs: Iterable[Knob]) -> tuple[str, ...]:
    """A warning for every variable that looks like ours and is none."""
    items = tuple(knobs)
    known = {item.env for item in items} | {f"{item.env}_FILE" for item in items if item.is_secret} | INTERNAL
    return tuple(
        f"{name} ({source}) is no setting of Homeport and is ignored. {did_you_mean(name, known)}".rstrip()
        for name in sorted(layer)
        if name.startswith("HOMEPORT_") and name not in known and not name.startswith(_OTHERS)
    )


# What a client sets for itself; a server that saw them would talk to itself or to somebody else's server.
_CLIENT_ONLY = ("MLFLOW_TRACKING_", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_", "MLFLOW_EXPERIMENT_", "MLFLOW_ACTIVE_")


def mlflow_extra(layer: Mapping[str, str], knobs: Iterable[Knob]) -> dict[str, str]:
    """MLflow's own variables that are no settings of ours: passed to the tracking server as they are."""
    known = {item.env for item in knobs}
    return {
        name: value
        for name, value in sorted(layer.items())
        if name.startswith("MLFLOW_") and name not in known and not name.startswith(_CLIENT_ONLY)
    }
