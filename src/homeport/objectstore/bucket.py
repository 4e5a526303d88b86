"""`python -m homeport.objectstore.bucket`: the job that makes the bucket when it is missing and proves it works.

Idempotent: a bucket that exists is left as it is. Waits for a store that is still warming up, and for nothing else.
Refuses to know which store it is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from homeport import program
from homeport.errors import HomeportError
from homeport.objectstore.client import Destination, client, destination
from homeport.objectstore.refusal import is_missing, is_warming_up, refusal

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between two tries
_ALREADY_THERE = frozenset({"BucketAlreadyExists", "BucketAlreadyOwnedByYou"})


@dataclass(frozen=True)
class BucketConfig:
    """What the job needs to know, read from the environment once."""

    destination: Destination
    endpoint: str | None
    access_key: str | None
    secret_key: str | None
    region: str | None
    verify: bool
    timeout: float

    @classmethod
    def from_environ(cls) -> BucketConfig:
        """Read it; raises HomeportError naming the variable that is missing or not usable."""
        access_key = os.environ.get("AWS_ACCESS_KEY_ID") or None
        return cls(
            destination=destination(program.setting("MLFLOW_ARTIFACTS_DESTINATION")),
            endpoint=os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None,
            access_key=access_key,
            # Without a key of its own the job uses a profile or a role, as MLflow itself does.
            secret_key=program.secret("AWS_SECRET_ACCESS_KEY") if access_key else None,
            region=os.environ.get("AWS_DEFAULT_REGION") or None,
            verify=os.environ.get("MLFLOW_S3_IGNORE_TLS", "").lower() not in {"1", "true"},
            timeout=program.number("HOMEPORT_BUCKET_TIMEOUT", 60.0),
        )


def main() -> None:
    """Make the bucket, prove it, say so in one line."""
    began = time.monotonic()
    config = BucketConfig.from_environ()
    created = provide(config, deadline=began + config.timeout)
    done = "created" if created else "found"
    name, seconds = config.destination.bucket, time.monotonic() - began
    sys.stdout.write(f'bucket "{name}" {done}, put/get/delete verified in {seconds:.1f} s\n')


def provide(config: BucketConfig, deadline: float) -> bool:
    """Make sure of the bucket and prove it; whether it was made.

    Args:
        config: which bucket, and how to reach the store.
        deadline: `time.monotonic()` until which a store that is warming up is waited for.

    Raises:
        HomeportError: BUCKET_* or OBJECTSTORE_*, with the store's own answer as evidence.
    """
    try:
        s3 = client(
            endpoint=config.endpoint,
            access_key=config.access_key,
            secret_key=config.secret_key,
            region=config.region,
            verify=config.verify,
        )
    except ValueError as error:  # botocore's word for an endpoint that is no URL
        raise refusal(error, config.destination, config.endpoint) from error
    with contextlib.closing(s3):
        return _provide_patiently(s3, config, deadline)


def _provide_patiently(s3: S3Client, config: BucketConfig, deadline: float) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    created, pause = False, _FIRST_PAUSE
    while True:
        try:
            created = ensure(s3, config.destination.bucket, _location(config)) or created
            prove(s3, config.destination)
        except (BotoCoreError, ClientError) as error:
            if not is_warming_up(error) or time.monotonic() + pause > deadline:
                raise refusal(error, config.destination, config.endpoint, config.timeout) from error
        else:
            return created
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def ensure(s3: S3Client, bucket: str, location: str | None = None) -> bool:
    """Make the bucket unless it exists; whether it was made."""
    from botocore.exceptions import ClientError

    if exists(s3, bucket):
        return False
    try:
        if location:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": location})  # type: ignore[typeddict-item]  # a region by name
        else:
            s3.create_bucket(Bucket=bucket)
    except ClientError as error:
        # Another start made it meanwhile, or it belongs to somebody else: only asking again tells.
        if error.response["Error"].get("Code") in _ALREADY_THERE and exists(s3, bucket):
            return False
        raise
    return True


def exists(s3: S3Client, bucket: str) -> bool:
    """Whether the bucket exists and these keys may use it."""
    from botocore.exceptions import ClientError

    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if is_missing(error):
            return False
        if is_warming_up(error):
            raise
        # The answer to HEAD has no body, so the reason for the refusal is asked for by a GET.
        s3.list_objects_v2(Bucket=bucket, MaxKeys=1)
    return True


def prove(s3: S3Client, place: Destination) -> None:
    """Put, get, compare and delete one small object.

    Raises:
        HomeportError: OBJECTSTORE_CORRUPTS when other bytes come back.
    """
    key, body = place.key(f".homeport-probe-{secrets.token_hex(8)}"), secrets.token_bytes(256)
    try:
        s3.put_object(Bucket=place.bucket, Key=key, Body=body)
        found = s3.get_object(Bucket=place.bucket, Key=key)["Body"].read()
    except BaseException:
        with contextlib.suppress(Exception):  # the first failure is the one to tell
            s3.delete_object(Bucket=place.bucket, Key=key)
        raise
    s3.delete_object(Bucket=place.bucket, Key=key)
    if found != body:
        raise HomeportError(
            code="OBJECTSTORE_CORRUPTS",
            what=f"the object store gave back other bytes than were put into {place}",
            evidence=(("needed", f"{len(body)} bytes as sent"), ("found", f"{len(found)} other bytes")),
            why="a proxy in front of the store changes bodies, or the store writes checksum trailers into objects",
            fix="point MLFLOW_S3_ENDPOINT_URL at the store itself, or update the store",
        )


def _location(config: BucketConfig) -> str | None:
    """What AWS wants to be told about a region other than its first; other stores often refuse to be told."""
    return config.region if config.endpoint is None and config.region != "us-east-1" else None


if __name__ == "__main__":
    program.run(main)
