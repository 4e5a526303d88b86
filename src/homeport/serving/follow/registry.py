"""The model registry over HTTP: the few cheap calls that following an alias needs, and nothing of MLflow's client.

It asks once and says what came of it; when to ask again it refuses to know.
"""

from __future__ import annotations

import base64
import ipaddress
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.utils import get_environ_proxies
from urllib3 import disable_warnings
from urllib3.exceptions import InsecureRequestWarning

from homeport.serving.follow.errors import NotInRegistry, RegistryAway, RegistryRefused
from homeport.serving.follow.versions import READY, RegisteredModel, RegisteredVersion

__all__ = ["RegisteredModel", "RegisteredVersion", "Registry"]

_API = "/api/2.0/mlflow"
_TIMEOUT = (2.0, 5.0)  # s to connect, s to answer
_PAGE = 1000  # the most that mlflow 3.17.2 gives
_MOST_PAGES = 1000
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 400, 401, 403, 404, 429, 500
_MISSING = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})


class Registry:
    """The registry of one tracking server. Any thread may ask.

    Args:
        uri: the tracking server, ``http://`` or ``https://``.
        environ: MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN; MLFLOW_TRACKING_INSECURE_TLS, _SERVER_CERT_PATH,
            _CLIENT_CERT_PATH.
    """

    def __init__(self, uri: str, environ: Mapping[str, str]) -> None:
        self._uri = uri.rstrip("/")
        self._environ = environ
        self._local = threading.local()  # requests does not promise that a session may be shared
        self._trust_proxies = not _is_loopback(uri)

    @property
    def uri(self) -> str:
        """The tracking server's address as given."""
        return self._uri

    @property
    def shown(self) -> str:
        """The address without a user and a password."""
        parts = urlsplit(self._uri)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def by_alias(self, name: str, alias: str) -> RegisteredVersion:
        """The version that has this alias now.

        Raises:
            RegistryAway, NotInRegistry, RegistryRefused.
        """
        answer = self._get("registered-models/alias", {"name": name, "alias": alias}, f"{name}@{alias}")
        return _version(answer, name)

    def by_version(self, name: str, version: str) -> RegisteredVersion:
        """This version; raises as `by_alias`."""
        return _version(self._get("model-versions/get", {"name": name, "version": version}, f"{name}/{version}"), name)

    def search(self) -> Iterator[RegisteredModel]:
        """Every registered model with its aliases, a thousand a request; raises as `by_alias`."""
        token = ""
        for _ in range(_MOST_PAGES):
            query = {"max_results": str(_PAGE)} | ({"page_token": token} if token else {})
            answer = self._get("registered-models/search", query, "the list of registered models")
            for row in answer.get("registered_models", []):
                aliases = {str(a["alias"]): str(a["version"]) for a in row.get("aliases", [])}
                yield RegisteredModel(str(row["name"]), aliases, int(row.get("creation_timestamp", 0)))
            token = answer.get("next_page_token", "")
            if not token:
                return

    def artifacts_of(self, version: RegisteredVersion) -> str:
        """The URI of its files, for example ``mlflow-artifacts:/1/models/m-…/artifacts``; raises as `by_alias`."""
        label = f"{version.name}/{version.version}"
        query = {"name": version.name, "version": version.version}
        uri = str(self._get("model-versions/get-download-uri", query, label).get("artifact_uri", ""))
        if uri.startswith("models:/m-"):
            answer = self._get(f"logged-models/{uri.removeprefix('models:/')}", {}, label)
            uri = str(answer.get("model", {}).get("info", {}).get("artifact_uri", ""))
        return uri

    def _get(self, call: str, query: Mapping[str, str], subject: str) -> dict[str, Any]:
        try:
            answer = self._session().get(f"{self._uri}{_API}/{call}", params=query, timeout=_TIMEOUT)
        except requests.Timeout as error:
            raise RegistryAway(f"the registry at {self.shown} did not answer in time") from error
        except requests.RequestException as error:
            raise RegistryAway(f"the registry at {self.shown} cannot be reached: {_reason(error)}") from error
        status = answer.status_code
        if status >= _SERVER_ERROR or status == _TOO_MANY:
            raise RegistryAway(f"the registry at {self.shown} answers {status} {answer.reason}")
        if status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise RegistryRefused(_refused(status, subject), status)
        body = _json(answer)
        if status in {_NOT_FOUND, _BAD_REQUEST} and body.get("error_code") in _MISSING:
            raise NotInRegistry(f"{subject} is not in the registry")
        if not answer.ok or (not body and answer.content.strip() != b"{}"):
            # A login page, or something else than MLflow on this address.
            raise RegistryAway(f"the address {self.shown} does not answer as a registry ({status} {answer.reason})")
        return body

    def _session(self) -> requests.Session:
        found: requests.Session | None = getattr(self._local, "session", None)
        if found is None:
            found = self._local.session = self._new_session()
        return found

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        environ = self._environ
        # Proxies are for the world outside; a proxy cannot reach this machine's loopback interface. And ~/.netrc must
        # not replace the credentials that MLflow's own client would send, so its reading is off in both cases.
        session.trust_env = False
        if self._trust_proxies:
            session.proxies.update(get_environ_proxies(self._uri))
        session.verify = _trust(environ)
        if session.verify is False:
            disable_warnings(InsecureRequestWarning)  # whoever set MLFLOW_TRACKING_INSECURE_TLS knows
        if environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
            session.cert = environ["MLFLOW_TRACKING_CLIENT_CERT_PATH"]
        user, password = environ.get("MLFLOW_TRACKING_USERNAME", ""), environ.get("MLFLOW_TRACKING_PASSWORD", "")
        if user and password:
            basic = base64.b64encode(f"{user}:{password}".encode()).decode()
            session.headers["Authorization"] = f"Basic {basic}"
        elif environ.get("MLFLOW_TRACKING_TOKEN"):
            session.headers["Authorization"] = f"Bearer {environ['MLFLOW_TRACKING_TOKEN']}"
        return session


def _version(answer: Mapping[str, Any], name: str) -> RegisteredVersion:
    row = answer.get("model_version", {})
    source = str(row.get("source", ""))
    # mlflow 3.17.2 leaves model_id out of its answer (entities/model_registry/model_version.py, to_proto); for a model
    # that was logged as one, the source is its id.
    model_id = str(row.get("model_id", "")) or (source[8:] if source.startswith("models:/m-") else "")
    return RegisteredVersion(
        name=str(row.get("name", name)),
        version=str(row.get("version", "")),
        source=source,
        run_id=str(row.get("run_id", "")),
        model_id=model_id,
        status=str(row.get("status", READY)),
    )


def _trust(environ: Mapping[str, str]) -> bool | str:
    if environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"true", "1"}:
        return False
    own = (environ.get(name) for name in ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
    return next((path for path in own if path), True)


def _is_loopback(uri: str) -> bool:
    host = urlsplit(uri).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refused(status: int, subject: str) -> str:
    if status == _UNAUTHORIZED:
        return "the registry wants another user or password: MLFLOW_TRACKING_USERNAME or _PASSWORD is missing or wrong"
    return f"the registry does not let this user see {subject}"


def _reason(error: BaseException) -> str:
    """The shortest true reason in a chain of exceptions, such as ``Connection refused``."""
    pending, seen = [error], set()
    while pending:
        link = pending.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        if isinstance(link, OSError) and link.strerror and not isinstance(link, requests.RequestException):
            return link.strerror
        inner = (*link.args, getattr(link, "reason", None), link.__cause__, link.__context__)
        pending.extend(part for part in inner if isinstance(part, BaseException))
    return type(error).__name__
