"""The platform that values are made of: its settings as they have effect there, and where it keeps its secrets.

In Compose that is more than its settings: overlays decide which of them count, and secrets are files. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from homeport import layers
from homeport.errors import HomeportError
from homeport.model.service import Target
from homeport.render import older
from homeport.render.dotenv import OF_COMPOSE
from homeport.render.site import ENV, secrets_directory, variants_of
from homeport.render.variants import EXTERNAL, MARIADB, PREDICTIONS, SHARED
from homeport.settings import Settings, knobs
from homeport.supervisor.layout import Home


@dataclass(frozen=True)
class Origin:
    """Where a platform comes from.

    Args:
        settings: those that have effect.
        target: plain processes or containers.
        secrets: the directory of its secret files.
        image: HOMEPORT_IMAGE, where a site of Compose sets it.
    """

    settings: Settings
    target: Target
    secrets: Path
    image: str = ""

    def secret(self, name: str) -> str:
        """What this platform knows of a secret: what was set, or is kept in its file; empty: nothing.

        Containers read files, so there the file wins.

        Raises:
            HomeportError: SECRET_UNREADABLE.
        """
        item = next((item for item in knobs() if older.TAKEN.get(item.env) == name), None)
        given = str(getattr(self.settings, item.name)) if item else ""
        kept = read(self.secrets / name)
        return kept or given if self.target is Target.CONTAINERS else given or kept


def of_home(settings: Settings) -> Origin:
    """A platform of plain processes."""
    return Origin(settings, Target.EMBEDDED, Home(settings.home).secrets)


def of_site(settings: Settings, directory: Path, environ: Mapping[str, str]) -> Origin:
    """A platform in Compose, in its directory.

    Raises:
        HomeportError: RENDER_COMBINATION or SECRET_UNREADABLE.
    """
    directory = directory.absolute()
    said = layers.dotenv(directory / ENV) | {name: environ[name] for name in OF_COMPOSE if environ.get(name)}
    given = older.given(said)
    variants = variants_of(given, settings)
    found = Origin(settings, Target.CONTAINERS, secrets_directory(directory, given), given.get("HOMEPORT_IMAGE", ""))
    there: dict[str, Any] = {"database_engine": "mariadb" if MARIADB in variants else "postgresql"}
    if EXTERNAL in variants:
        there["backend_store_uri"] = found.secret("backend-store-uri")
        there["aws_access_key_id"] = found.secret("aws-access-key-id")
        there["aws_secret_access_key"] = found.secret("aws-secret-access-key")
        there["artifacts_destination"] = settings.artifacts_destination or EXTERNAL.settings["artifacts_destination"]
    else:
        there |= {"backend_store_uri": "", "s3_endpoint_url": "", "artifacts_destination": ""}
    if SHARED not in variants:
        there["shared_artifacts"] = None
    if PREDICTIONS not in variants:
        there["prediction_log"] = 0.0
    elif not settings.prediction_log:
        there["prediction_log"] = PREDICTIONS.settings["prediction_log"]
    return replace(found, settings=replace(settings, **there))


def read(file: Path) -> str:
    """A secret file's content without its last line break; empty where there is none.

    Raises:
        HomeportError: SECRET_UNREADABLE.
    """
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise HomeportError(
            code="SECRET_UNREADABLE",
            what=f'secret "{file.name}" cannot be read',
            evidence=(("file", f"{file}: {reason}"),),
            why="the cluster is to get the same one",
            fix="run it as the user who owns the platform",
        ) from error
