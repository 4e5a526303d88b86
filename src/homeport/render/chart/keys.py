"""The keys of the Secret that the chart needs, as files in one directory, which is what `kubectl create secret` takes.

This platform's own secrets where it has them, new ones where it has none. No secret is shown, and none is changed.
"""

from __future__ import annotations

from pathlib import Path

from homeport.errors import ExitCode, HomeportError
from homeport.model.values import SecretKind
from homeport.render.chart.carried import Carried
from homeport.render.chart.origin import Origin
from homeport.render.chart.stores_elsewhere import password_of
from homeport.render.variants import graph_of
from homeport.supervisor import secret
from homeport.supervisor.files import disk_error

# Of services that Compose runs and the chart does not.
_NOT_IN_CHART = {"grafana-password"}
_DIRECTORY_MODE = 0o700


def generated() -> dict[str, SecretKind]:
    """The keys of the chart's own Secret, and how each is made where there is none."""
    return {name: each.kind for name, each in graph_of().secrets().items() if name not in _NOT_IN_CHART}


def wanted(origin: Origin, found: Carried) -> dict[str, str]:
    """Every key of the one Secret, with what this platform knows of it; empty: nothing."""
    keys = {name: origin.secret(name) for name in generated()}
    settings = origin.settings
    if ("database", "existingSecret") in found.values:
        keys["database-password"] = password_of(settings.backend_store_uri)
    if ("artifacts", "existingSecret") in found.values:
        keys["aws-access-key-id"] = settings.aws_access_key_id
        keys["aws-secret-access-key"] = settings.aws_secret_access_key
    if ("serving", "predictions", "existingSecret") in found.values:
        keys["prediction-database-uri"] = settings.prediction_database_uri
    return keys


def write(origin: Origin, found: Carried, directory: Path) -> list[str]:
    """Write every key into a directory that only its owner enters.

    Args:
        origin: the platform.
        found: its settings as values.
        directory: is made where it is missing; a key that is new to the platform stays what it was there.

    Returns:
        The keys that were made because the platform has none.

    Raises:
        HomeportError: SECRETS_IN_PLACE, SECRET_UNREADABLE, DISK_FULL or HOME_NOT_WRITABLE.
    """
    if directory.absolute().resolve() == origin.secrets.resolve():
        raise HomeportError(
            code="SECRETS_IN_PLACE",
            what=f"{directory} holds this platform's own secrets",
            why="a copy is to go into the cluster and then away",
            fix="name another directory: --secrets cluster-secrets",
            exit_code=ExitCode.USAGE,
        )
    try:
        directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        directory.chmod(_DIRECTORY_MODE)
    except OSError as error:
        raise disk_error(error, f"{directory} cannot hold the secrets") from error
    kinds = generated()
    made = []
    for name, value in wanted(origin, found).items():
        file = directory / name
        if value:
            secret.given(file, value)
            continue
        if not file.exists():
            made.append(name)
        secret.kept(file, kinds[name])
    return made
