"""A platform's settings as values of the chart: what differs from its defaults, what to make first, what stays behind.

No password ever stands in the values: each is named as a key of a Secret. Reads nothing but what it is given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from homeport.knobs import Knob, mask_uri
from homeport.model.service import Target
from homeport.render.chart import stores_elsewhere as elsewhere
from homeport.render.chart.tree import every
from homeport.render.chart.value import Keys
from homeport.render.variants import graph_of
from homeport.services import tracking
from homeport.settings import Settings, knobs

SECRET = "homeport-secrets"  # noqa: S105 - a name
_HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"
_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|_KEY\b")
_IMAGE = re.compile(r"(?P<repository>.+?)(:(?P<tag>[^:/@]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?")

_GATEWAY = "the cluster's ingress controller is the gateway: ingress.className"
_CERTIFICATE = "who signs is up to the cluster: ingress.tls.clusterIssuer names an issuer of cert-manager"
_PORTS = "a Service in the cluster has a port of its own"
# Settings without a counterpart -> why.
LEFT = {
    "home": "nothing is kept on a node: database.persistence and artifacts.persistence are the volumes",
    "cache": "the training's pod has a directory of its own",
    "tracking_port": "a Service has its own: tracking.service.port",
    "serving_port": "a Service has its own: serving.service.port",
    "database_port": _PORTS,
    "objectstore_port": _PORTS,
    "start_timeout": "the pods' probes have their own patience",
    "postgres_bin": "the database's image has its own: database.image",
    "tls": _CERTIFICATE,
    "acme_email": "it stands in cert-manager's issuer: ingress.tls.clusterIssuer",
    "gateway": _GATEWAY,
    "gateway_network": _GATEWAY,
    "listen": _GATEWAY,
    "http_port": _GATEWAY,
    "https_port": _GATEWAY,
    "shared_artifacts": "pods share no directory with clients: artifacts go to a bucket (artifacts.destination), and "
    "what is in the directory has to be copied there",
    "database_engine": "the chart's own database is PostgreSQL; a MariaDB is named by database.url",
    "mysql_root_password": "the chart has no MariaDB of its own",
    "serving_envs": "a directory of this machine: serving.envs names one that serving.extraVolumes mounts",
}
# Settings that become something else than a value of their own: by functions below, or a key of a Secret.
OTHERWISE = frozenset({"target", "auth", "postgres_password", "admin_password", "serving_key", "webhook_secret"}) | {
    "aws_access_key_id",
    "aws_secret_access_key",
    "prediction_database_uri",
}


@dataclass
class Carried:
    """What becomes of settings.

    Args:
        values: path -> value, of those that are not the chart's default.
        steps: commands that make what the values name, in the release's namespace.
        left: (variable, why) of what has no counterpart, or needs a look.
    """

    values: dict[Keys, Any] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)

    def put(self, path: str, value: Any) -> None:  # noqa: ANN401 - any value
        """Say what stands at a path such as `database.url`."""
        self.values[tuple(path.split("."))] = value

    def drop(self, *paths: str) -> None:
        """Leave a value at the chart's default."""
        for path in paths:
            self.values.pop(tuple(path.split(".")), None)

    def nested(self) -> dict[str, Any]:
        """The values as Helm reads them, in the order of values.yaml."""
        known = every()
        assert not self.values.keys() - known.keys(), self.values.keys() - known.keys()
        found: dict[str, Any] = {}
        for path, value in known.items():
            if path in self.values and self.values[path] != value.default:
                place = found
                for key in path[:-1]:
                    place = place.setdefault(key, {})
                place[path[-1]] = self.values[path]
        return found


def carried(settings: Settings, target: Target, *, image: str = "", one_secret: bool = False) -> Carried:
    """What of a platform's settings the chart takes.

    Args:
        settings: of the platform, as they have effect there.
        target: where it runs now.
        image: HOMEPORT_IMAGE of a platform in Compose.
        one_secret: every secret is a key of SECRET; else each store has a Secret, and the chart makes its own.
    """
    found = Carried()
    changed = {item.name: item.env for item in knobs() if differs(settings, item)}
    for path, value in every().items():
        if value.setting in changed and value.setting not in LEFT:
            found.values[path] = getattr(settings, value.setting)
    secret = SECRET if one_secret else ""
    if secret:
        found.put("secrets.existingSecret", secret)
    _access(settings, target, found)
    elsewhere.database(settings, found, secret)
    elsewhere.artifacts(settings, found, secret)
    elsewhere.predictions(settings, found, secret)
    _serving(settings, found)
    if target is Target.EMBEDDED:
        _of_mlflow(settings, found)
    _image(image, found)
    found.left += [(env, LEFT[name]) for name, env in changed.items() if name in LEFT]
    return found


def differs(settings: Settings, item: Knob) -> bool:
    """Whether a setting is not its default."""
    default: Any = item.default() if callable(item.default) else item.default
    return bool(getattr(settings, item.name) != default)


def _access(settings: Settings, target: Target, found: Carried) -> None:
    """Who gets in, and by which name."""
    if settings.auth == "off":
        found.put("auth.enabled", False)
    elif settings.auth == "auto" and target is Target.EMBEDDED:
        found.left.append(("HOMEPORT_AUTH", "in the cluster clients must log in (auth.enabled); here they need not"))
    if settings.domain == "localhost" or settings.domain.endswith(".localhost"):
        found.drop("domain")
        found.left.append(("DOMAIN", f"{settings.domain} is this machine; without `domain`: kubectl port-forward"))


def _serving(settings: Settings, found: Carried) -> None:
    """What is served, and the room for it."""
    if not settings.serves:
        found.put("serving.enabled", False)
        found.drop("serving.models")
    if ("serving", "cacheMib") in found.values:
        # What is being downloaded stands beside what is kept.
        found.put("serving.cache.size", f"{settings.serving_cache_mib + 2048}Mi")


def _of_mlflow(settings: Settings, found: Carried) -> None:
    """MLflow's own variables, which reach the tracking server as they are."""
    ours = graph_of()[tracking.NAME].env
    variables = []
    for name, value in settings.extra.items():
        if name == _HOSTS:
            found.put("tracking.allowedHosts", [host for host in re.split(r"[,\s]+", value) if host])
        elif name in ours or name.removesuffix("_FILE") in ours:
            found.left.append((name, "the chart sets it itself"))
        elif _SECRET_NAME.search(name) or mask_uri(value) != value:
            found.left.append((name, "it may be a secret: tracking.extraEnv with a valueFrom.secretKeyRef"))
        else:
            variables.append({"name": name, "value": value})
    if variables:
        found.put("tracking.extraEnv", variables)


def _image(image: str, found: Carried) -> None:
    """An image of the site's own, where a cluster can pull it."""
    if not image:
        return
    parts = _IMAGE.fullmatch(image)
    if not parts or "/" not in parts["repository"]:
        found.left.append(("HOMEPORT_IMAGE", f"{image} is on this machine only: push it to a registry and set image"))
        return
    for name in ("repository", "tag", "digest"):
        if parts[name]:
            found.put(f"image.{name}", parts[name])
