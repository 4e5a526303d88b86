"""What an object store answered, as an error a person can act on. Knows S3's codes; refuses to know who asked."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from http import HTTPStatus

from botocore import exceptions as boto

from homeport.errors import HomeportError
from homeport.objectstore.client import Destination

_FULL_CODES = frozenset({"InsufficientStorage", "XMinioStorageFull", "InsufficientCapacity", "QuotaExceeded"})
_FULL_TEXT = re.compile(r"no space left|disk (is )?full|quota exceeded|insufficient storage", re.IGNORECASE)
_BUSY_CODES = frozenset({"OperationAborted", "SlowDown", "ServiceUnavailable", "XMinioServerNotInitialized"})


@dataclass(frozen=True)
class _Row:
    """What a code of the store means."""

    code: str
    what: str
    why: str
    fix: str


_KEYS = _Row(
    "OBJECTSTORE_KEYS_REFUSED",
    "the object store refuses the access key",
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not the ones the store was given",
    "set both to the store's keys; for the embedded store restore secrets/, or: homeport restart objectstore",
)
_FORBIDDEN = _Row(
    "BUCKET_FORBIDDEN",
    "the object store does not let this access key use {place}",
    "the bucket belongs to another account, or the key's policy does not cover it",
    "choose another bucket: HOMEPORT_BUCKET, or grant the key list, get, put and delete on it",
)
_REGION = _Row(
    "BUCKET_REGION",
    "{place} is in another region than the requests name",
    "AWS_DEFAULT_REGION is not the bucket's region",
    "set AWS_DEFAULT_REGION to the bucket's region",
)
_MISSING = _Row(
    "BUCKET_MISSING",
    'there is no bucket "{bucket}"',
    "it was deleted, or never made",
    "homeport restart makes it again, empty; put back what was in it from a backup",
)
_BY_CODE = {
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "InvalidToken": _KEYS,
    "ExpiredToken": _Row(
        "OBJECTSTORE_KEYS_EXPIRED",
        "the object store says the session token has expired",
        "temporary keys end after some hours",
        "get new keys and start again",
    ),
    "RequestTimeTooSkewed": _Row(
        "OBJECTSTORE_CLOCK_SKEW",
        "the clocks of this machine and of the object store differ too much",
        "a signature is valid for 15 minutes around its time",
        "set this machine's clock (timedatectl set-ntp true) and the store's",
    ),
    "InvalidBucketName": _Row(
        "BUCKET_NAME_INVALID",
        'the object store does not take "{bucket}" as a bucket name',
        "3 to 63 lower-case letters, digits and hyphens are taken everywhere",
        "choose another name: HOMEPORT_BUCKET or MLFLOW_ARTIFACTS_DESTINATION=s3://NAME",
    ),
    "404": _MISSING,
    "NotFound": _MISSING,
    "NoSuchBucket": _MISSING,
    "BucketAlreadyExists": _FORBIDDEN,
    "AccessDenied": _FORBIDDEN,
    "AllAccessDisabled": _FORBIDDEN,
    "403": _FORBIDDEN,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "301": _REGION,
}
_FULL = _Row(
    "OBJECTSTORE_FULL",
    "the object store has no space left",
    "its disk or its quota is full",
    "free space where the store keeps its data",
)
_NAME = _Row(
    "OBJECTSTORE_UNKNOWN_HOST",
    "the object store's host name is not known: {endpoint}",
    "MLFLOW_S3_ENDPOINT_URL names a host that this machine cannot look up",
    "correct MLFLOW_S3_ENDPOINT_URL",
)
_TLS = _Row(
    "OBJECTSTORE_TLS",
    "the object store's TLS certificate is not accepted: {endpoint}",
    "it is self-signed or made for another name, or the store speaks plain http",
    "set AWS_CA_BUNDLE to the authority's file, MLFLOW_S3_IGNORE_TLS=true, or an http:// endpoint",
)
_NO_KEYS = _Row(
    "OBJECTSTORE_KEYS_MISSING",
    "there are no keys for the object store",
    "no AWS_ACCESS_KEY_ID is set and no profile or role was found",
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_SECRET_ACCESS_KEY_FILE)",
)
_ENDPOINT = _Row(
    "OBJECTSTORE_ENDPOINT_INVALID",
    "the object store's address is not usable: {endpoint}",
    "MLFLOW_S3_ENDPOINT_URL is not a URL",
    "set MLFLOW_S3_ENDPOINT_URL=http://HOST:PORT",
)
_REDIRECTS = _Row(
    "OBJECTSTORE_REDIRECTS",
    "the object store's address sends every request elsewhere: {endpoint}",
    "a proxy there answers with redirects, for example from http to https, which S3 clients follow in a circle",
    "set MLFLOW_S3_ENDPOINT_URL to the address it redirects to",
)
_UNREACHABLE = _Row(
    "OBJECTSTORE_UNREACHABLE",
    "the object store did not answer within {timeout:.0f} s: {endpoint}",
    "it is not running, still starting, or its address is wrong",
    "look at its log (homeport logs objectstore), or correct MLFLOW_S3_ENDPOINT_URL",
)
_FAILED = _Row(
    "OBJECTSTORE_FAILED",
    "the object store could not do what {place} needs",
    "its answer is the evidence above",
    "look at the store's log: homeport logs objectstore",
)
_REDIRECTING = {301, 302, 307, 308}
_NO_ANSWER = (boto.ConnectionError, boto.HTTPClientError)
_BY_TYPE: tuple[tuple[type[Exception], _Row], ...] = (
    (boto.ParamValidationError, _BY_CODE["InvalidBucketName"]),
    (boto.NoCredentialsError, _NO_KEYS),
    (boto.PartialCredentialsError, _NO_KEYS),
    (boto.SSLError, _TLS),
    (ValueError, _ENDPOINT),
)
_WRITE_FAILED = _Row(
    "OBJECTSTORE_WRITE_FAILED",
    "the object store could not write into {place}",
    "its disk is full or read-only (stores tell that to their log only), or it is broken",
    "look at the store's log (homeport logs objectstore), and free space where it keeps its data",
)


def is_missing(error: boto.ClientError) -> bool:
    """Whether the answer says that there is no such bucket."""
    return _code(error) in {"404", "NoSuchBucket", "NotFound"}


def is_warming_up(error: Exception) -> bool:
    """Whether the store may answer better in a moment: nobody listens yet, or it says that it is not ready."""
    if isinstance(error, boto.ClientError):
        return (_status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR or _code(error) in _BUSY_CODES) and not _is_full(
            error
        )
    if isinstance(error, boto.SSLError | boto.ProxyConnectionError):
        return False
    return isinstance(error, _NO_ANSWER) and not _is_unknown_host(error)


def refusal(error: Exception, place: Destination, endpoint: str | None, timeout: float = 0.0) -> HomeportError:
    """The error a person reads for what botocore raised.

    Args:
        error: a botocore error, or the ValueError it raises for a bad endpoint.
        place: which bucket it was about.
        endpoint: URL of the store; None: AWS.
        timeout: seconds that were waited.
    """
    row = _row(error)
    where = endpoint or "AWS S3"
    texts = {"place": str(place), "bucket": place.bucket, "endpoint": where, "timeout": timeout}
    return HomeportError(
        code=row.code,
        what=row.what.format_map(texts),
        evidence=(("store", where), ("last answer", _answer(error))),
        why=row.why,
        fix=row.fix,
    )


def _row(error: Exception) -> _Row:
    if isinstance(error, boto.ClientError):
        if _is_full(error):
            return _FULL
        if _status(error) in _REDIRECTING and not _region(error):
            return _REDIRECTS
        failed = _status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR and error.operation_name == "PutObject"
        return _BY_CODE.get(_code(error), _WRITE_FAILED if failed else _FAILED)
    for kinds, row in _BY_TYPE:
        if isinstance(error, kinds):
            return row
    if isinstance(error, _NO_ANSWER):
        return _NAME if _is_unknown_host(error) else _UNREACHABLE
    return _FAILED


def _answer(error: Exception) -> str:
    if isinstance(error, boto.ClientError):
        return f"{error.operation_name} -> {_status(error)} {_code(error)}: {_message(error)}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _is_full(error: boto.ClientError) -> bool:
    told = _status(error) == HTTPStatus.INSUFFICIENT_STORAGE or _code(error) in _FULL_CODES
    return told or _FULL_TEXT.search(_message(error)) is not None


def _is_unknown_host(error: Exception) -> bool:
    """Whether the name does not exist (a look-up that failed for now is something else)."""
    cause: BaseException | None = error.kwargs.get("error") if isinstance(error, boto.BotoCoreError) else None
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return cause.errno != socket.EAI_AGAIN
        cause = cause.__cause__ or cause.__context__
    return False


def _region(error: boto.ClientError) -> str:
    """The region that AWS names when a bucket is in another one."""
    return str(error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region", ""))


def _message(error: boto.ClientError) -> str:
    return error.response.get("Error", {}).get("Message") or ""


def _code(error: boto.ClientError) -> str:
    return error.response.get("Error", {}).get("Code") or ""


def _status(error: boto.ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
