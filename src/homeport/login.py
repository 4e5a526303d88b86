"""What clients of a running platform log in with. The keeper notes what is asked for; whoever is a client reads it.

The note holds names and no secret: those are where they were, in `secrets/` or in a setting. Prints nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from homeport.errors import HomeportError
from homeport.settings import Settings
from homeport.supervisor.files import read_json, write_json
from homeport.supervisor.layout import Home

_NOTE = "login.json"
_PASSWORD, _KEY = ("admin-password", "admin_password"), ("serving-key", "serving_key")  # file, setting


@dataclass(frozen=True)
class Login:
    """Who logs in, and with what.

    Args:
        user: MLflow's administrator.
        serving: whether there is a serving API, which asks for its key.
        given: names of the secrets that were given as settings and so are in no file.
        secrets: where the others are.
    """

    user: str
    serving: bool
    given: frozenset[str]
    secrets: Path

    def told(self, secret: str) -> str:
        """Where a secret is, for people."""
        variable = {"admin-password": "MLFLOW_AUTH_ADMIN_PASSWORD", "serving-key": "HOMEPORT_SERVING_KEY"}[secret]
        return f"as set in {variable}" if secret in self.given else f"in {self.secrets / secret}"


def note(settings: Settings, home: Home) -> None:
    """Write down what the platform that starts now asks its clients for."""
    given = [name for name, attribute in (_PASSWORD, _KEY) if getattr(settings, attribute)]
    user = settings.admin_username if settings.basic_auth else ""
    write_json(home.run / _NOTE, {"user": user, "serving": settings.serves, "given": given})


def of(home: Home) -> Login | None:
    """What the platform that runs in this home asks for; None when it asks nobody."""
    found = read_json(home.run / _NOTE) or {}
    if not found.get("user"):
        return None
    return Login(str(found["user"]), bool(found.get("serving")), frozenset(found.get("given", ())), home.secrets)


def environ(login: Login, settings: Settings, ambient: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a client, with their secrets; who has an account of their own in the environment keeps it.

    Raises:
        HomeportError: CREDENTIALS_UNKNOWN when a secret was given to the platform and is not known here.
    """
    ambient = os.environ if ambient is None else ambient
    exported = ambient.get("HOMEPORT_EXPORTED", "").split(",")
    own = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN"} & {name for name in ambient if ambient[name]}
    found = {}
    if login.serving:  # the first of several keys: the one that stays while another is taken out
        found["HOMEPORT_SERVING_KEY"] = _secret(login, settings, *_KEY).split(",")[0].strip()
    if own <= set(exported):
        password = _secret(login, settings, *_PASSWORD)
        found |= {"MLFLOW_TRACKING_USERNAME": login.user, "MLFLOW_TRACKING_PASSWORD": password}
    return found


def _secret(login: Login, settings: Settings, name: str, attribute: str) -> str:
    value = str(getattr(settings, attribute))
    if value or name not in login.given:
        from homeport.supervisor import secret

        return value or secret.read(login.secrets / name)
    raise HomeportError(
        code="CREDENTIALS_UNKNOWN",
        what=f"the {name.replace('-', ' ')} of the running platform is not known here",
        evidence=(("setting", attribute),),
        why="it was given to `homeport up` as a setting, which this command does not see",
        fix="set it here, too; in .env or homeport.toml every command sees it",
    )
