"""The S3 client every part of the platform uses: path style, signature v4, checksums only where they are required.

Made once here because each of the three matters to some store. Refuses to know what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from homeport.errors import ExitCode, HomeportError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class Destination:
    """A bucket and the prefix below it, without slashes at its ends; empty for the bucket itself."""

    bucket: str
    prefix: str = ""

    def key(self, name: str) -> str:
        """The key of an object called `name` below the prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def __str__(self) -> str:
        """As a URI."""
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"


def destination(uri: str) -> Destination:
    """The bucket and prefix of `s3://bucket[/prefix]`.

    Raises:
        HomeportError: DESTINATION_INVALID when it is not such a URI.
    """
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc:
        raise HomeportError(
            code="DESTINATION_INVALID",
            what="MLFLOW_ARTIFACTS_DESTINATION is not an S3 address",
            evidence=(("needed", "s3://bucket or s3://bucket/prefix"), ("found", uri)),
            why="only S3 buckets are made and checked here",
            fix="set MLFLOW_ARTIFACTS_DESTINATION=s3://BUCKET",
            exit_code=ExitCode.USAGE,
        )
    return Destination(parts.netloc, parts.path.strip("/"))


def client(
    *,
    endpoint: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    region: str | None = None,
    verify: bool = True,
    connect_timeout: float = 5.0,
    read_timeout: float = 60.0,
) -> S3Client:
    """An S3 client that never retries by itself.

    Args:
        endpoint: URL of the store; None: AWS.
        access_key: None: what botocore's chain of profiles and roles finds.
        secret_key: belongs to `access_key`.
        region: named in every signature; None: what botocore's chain finds, else us-east-1.
        verify: whether the store's TLS certificate must be valid.
        connect_timeout: seconds.
        read_timeout: seconds without a byte.
    """
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session()
    options: dict[str, Any] = {
        "endpoint_url": endpoint,
        "aws_access_key_id": access_key,
        "aws_secret_access_key": secret_key,
        "region_name": region or session.get_config_variable("region") or "us-east-1",
        "verify": None if verify else False,
        "config": Config(
            # Without v4 several stores refuse presigned URLs; without when_required boto3 >= 1.36 sends CRC32
            # trailers that some stores reject or write into the object.
            signature_version="s3v4",
            s3={"addressing_style": "path"} if endpoint else {"addressing_style": "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"max_attempts": 0, "mode": "standard"},
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        ),
    }
    if not verify:
        import urllib3

        urllib3.disable_warnings()  # asked for by MLFLOW_S3_IGNORE_TLS; once a request is noise
    made = cast("S3Client", session.create_client("s3", **options))
    if endpoint:
        # A store of one address has no other region: botocore would follow a proxy's redirect to it in a circle.
        made.meta.events.register("before-call.s3", _forget_regions)
    return made


def _forget_regions(context: dict[str, Any], **_: object) -> None:
    context.setdefault("s3_redirect", {})["redirected"] = True
