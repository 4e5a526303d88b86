"""Where the artifacts of this server are, if that is S3 reached with a static pair of keys; else why it is left alone.

Decides as boto3 would for upstream's client (mlflow 3.17.2, store/artifact/s3_artifact_repo.py); what boto3 would look
up elsewhere (profiles, roles, other signatures) is left to it. Refuses to talk to anybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

from homeport.tracking.artifacts.signature import Keys

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")  # with dots in it, addresses and certificates get special
_REGION = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d")
# Each changes what boto3 asks, or as whom; here they would be ignored.
_LEFT_TO_BOTO = (
    "MLFLOW_S3_UPLOAD_EXTRA_ARGS", "MLFLOW_S3_EXPECTED_BUCKET_OWNER", "MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION",
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT", "AWS_DATA_PATH", "BOTO_CONFIG",
)  # fmt: skip
_TRUE = ("true", "1")


class LeftToMlflowError(Exception):
    """This server's artifacts are MLflow's to handle; says why."""


@dataclass(frozen=True)
class Destination:
    """A bucket and the keys to it.

    `origin` is scheme, host and port; `host` is the Host header; `root` is percent-encoded, begins and ends with a
    slash and has bucket and prefix where they belong into the path; `certificates` is a file of trusted authorities,
    empty for those everybody trusts.
    """

    origin: str
    host: str
    root: str
    region: str
    keys: Keys
    verify: bool = True
    certificates: str = ""

    @property
    def is_encrypted(self) -> bool:
        """Whether the way to the store is."""
        return self.origin.startswith("https:")

    def path(self, name: str) -> str:
        """The artifact's path at the store, as it is sent."""
        return self.root + quote(name, safe="/~")


def read(environ: Mapping[str, str]) -> Destination:
    """The destination that this environment tells MLflow.

    Raises:
        LeftToMlflowError: when it is none of those understood here.
    """
    if environ.get("HOMEPORT_SHARED_ARTIFACTS"):
        raise LeftToMlflowError("clients write artifacts to a shared directory themselves")
    if plugin := next((one.value for one in entry_points(group="mlflow.artifact_repository") if one.name == "s3"), ""):
        raise LeftToMlflowError(f"a plugin of MLflow's serves s3: {plugin}")
    bucket, prefix = _bucket(environ.get("MLFLOW_ARTIFACTS_DESTINATION", ""))
    for name in _LEFT_TO_BOTO:
        if environ.get(name):
            raise LeftToMlflowError(f"{name} is set")
    if environ.get("AWS_CONFIG_FILE") != "/dev/null":
        raise LeftToMlflowError("AWS_CONFIG_FILE is not /dev/null, so a file may say more than the environment")
    access, secret = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not access or not secret:
        raise LeftToMlflowError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set")
    keys = Keys(access, secret, environ.get("AWS_SESSION_TOKEN", ""))
    region = environ.get("AWS_DEFAULT_REGION", "")
    if environ.get("AWS_REGION", region) != region:
        raise LeftToMlflowError("AWS_REGION and AWS_DEFAULT_REGION differ")
    style = environ.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "auto")
    if style not in {"auto", "path", "virtual"}:
        raise LeftToMlflowError(f"MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE is {style}")
    endpoint = environ.get("MLFLOW_S3_ENDPOINT_URL", "")
    origin, host, beside = _elsewhere(endpoint, bucket, style) if endpoint else _amazon(region, bucket, style)
    _check_proxies(origin)
    return Destination(
        origin,
        host,
        f"/{beside}{quote(prefix, safe='/~')}{'/' if prefix else ''}",
        region or "us-east-1",
        keys,
        verify=environ.get("MLFLOW_S3_IGNORE_TLS", "false").lower() not in _TRUE,
        certificates=environ.get("AWS_CA_BUNDLE", ""),
    )


def _bucket(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    if parts.scheme != "s3":
        raise LeftToMlflowError("artifacts are not in an S3 store")
    prefix = parts.path.strip("/")
    if (
        parts.query
        or parts.fragment
        or not _BUCKET.fullmatch(parts.netloc)
        or parts.path not in {"", "/", f"/{prefix}"}
    ):
        raise LeftToMlflowError("MLFLOW_ARTIFACTS_DESTINATION is not plainly s3://bucket/prefix")
    if prefix and any(segment in {"", ".", ".."} for segment in prefix.split("/")):
        raise LeftToMlflowError("the prefix in MLFLOW_ARTIFACTS_DESTINATION has empty or dotted parts")
    return parts.netloc, prefix


def _elsewhere(endpoint: str, bucket: str, style: str) -> tuple[str, str, str]:
    """Origin, host and the beginning of the path for an endpoint of its own."""
    parts = urlsplit(endpoint)
    try:
        plain = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        plain = False
    if not plain or parts.username or parts.path.strip("/") or parts.query or parts.fragment or style == "virtual":
        raise LeftToMlflowError("MLFLOW_S3_ENDPOINT_URL is not plainly scheme://host:port with the bucket in the path")
    if (parts.hostname or "").endswith(("amazonaws.com", "amazonaws.com.cn")):
        raise LeftToMlflowError("MLFLOW_S3_ENDPOINT_URL is one of Amazon's")
    default = {"http": 80, "https": 443}[parts.scheme]
    named = parts.netloc.removesuffix(f":{default}")  # clients leave the default port out of the Host header
    return f"{parts.scheme}://{named}", named, f"{bucket}/"


def _amazon(region: str, bucket: str, style: str) -> tuple[str, str, str]:
    if not _REGION.fullmatch(region):
        raise LeftToMlflowError("AWS_DEFAULT_REGION is not set to one of the public regions")
    regional = "s3.amazonaws.com" if region == "us-east-1" else f"s3.{region}.amazonaws.com"
    if style == "path":
        return f"https://{regional}", regional, f"{bucket}/"
    return f"https://{bucket}.{regional}", f"{bucket}.{regional}", ""


def _check_proxies(origin: str) -> None:
    parts = urlsplit(origin)
    if getproxies().get(parts.scheme) and not proxy_bypass(parts.netloc):
        raise LeftToMlflowError("the store is reached through a proxy")
