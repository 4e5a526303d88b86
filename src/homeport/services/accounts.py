"""Who logs in where clients must: MLflow's administrator, the platform's own accounts, the key of the serving API.

Only says which secrets there are and which variables carry them.
"""

from __future__ import annotations

from homeport.model.service import Target
from homeport.model.values import Secret, Setting, Template, Value
from homeport.settings import Settings

SERVING, TRAINING = "homeport-serving", "homeport-training"
SERVING_PASSWORD = Secret("serving-password")
TRAINING_PASSWORD = Secret("training-password")


def required(settings: Settings, target: Target) -> bool:
    """Whether clients must log in. In containers the site may still switch it off, by the variable itself."""
    return settings.basic_auth or (target is Target.CONTAINERS and settings.auth != "off")


def admin_password(settings: Settings) -> Secret:
    """The administrator's password: the one that was set, or one made and kept."""
    return Secret("admin-password", given=settings.admin_password or None)


def serving_key(settings: Settings) -> Secret:
    """The key of the serving API: the one that was set, or one made and kept."""
    return Secret("serving-key", given=settings.serving_key or None)


def mode(settings: Settings, target: Target) -> Value:
    """HOMEPORT_AUTH as the programs take it: basic or off."""
    on = required(settings, target)
    return Setting("HOMEPORT_AUTH", "basic" if on else "off", "basic" if target is Target.CONTAINERS else "off")


def administrator(settings: Settings, target: Target) -> dict[str, Value]:
    """What the migration needs to make the administrator; the server itself never needs the password."""
    if not required(settings, target):
        return {}
    return {
        "MLFLOW_AUTH_ADMIN_USERNAME": settings.value("admin_username"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": admin_password(settings),
    }


def client_env(settings: Settings, target: Target, name: str, password: Secret) -> dict[str, Value]:
    """What a client of the tracking server logs in with."""
    if not required(settings, target):
        return {}
    return {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}


def hosts(settings: Settings, target: Target) -> dict[str, Value]:
    """By which names the tracking server may be called, and which pages may call it (mlflow 3.17, server/security)."""
    if target is not Target.CONTAINERS:
        return {}
    domain = settings.value("domain")
    names = "mlflow.{domain},mlflow.{domain}:*,tracking,tracking:*,localhost,localhost:*,127.0.0.1,127.0.0.1:*"
    return {
        "MLFLOW_SERVER_ALLOWED_HOSTS": Template(names, domain=domain),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": Template(
            "https://mlflow.{domain},https://mlflow.{domain}:*", domain=domain
        ),
    }
