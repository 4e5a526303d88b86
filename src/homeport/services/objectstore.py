"""`objectstore` and its job `objectstore-init`: the S3 API for artifacts, or one elsewhere. Only says what runs."""

from __future__ import annotations

from collections.abc import Mapping

from homeport.model.service import (
    HEALTHY,
    Condition,
    Container,
    ExecProbe,
    Job,
    Port,
    Probe,
    Service,
    Target,
    TcpProbe,
    Volume,
)
from homeport.model.values import Bind, Part, Path, Ref, Secret, SecretFile, SecretKind, Template, Value
from homeport.services import images
from homeport.settings import Settings

NAME = "objectstore"
INIT = "objectstore-init"
ACCESS_KEY = Secret("objectstore-access-key", SecretKind.ACCESS_KEY)
SECRET_KEY = Secret("objectstore-secret-key")


def is_s3(settings: Settings) -> bool:
    """Whether artifacts go to an S3 API at all (else Google, Azure or a directory)."""
    return settings.destination.startswith("s3://")


def destination(settings: Settings) -> Value:
    """Where artifacts go: the bucket of our own store, or what the user named."""
    if settings.shared_artifacts:
        return settings.value("shared_artifacts")
    if settings.artifacts_destination:
        return settings.value("artifacts_destination")
    return Template("s3://{bucket}", bucket=settings.value("bucket"))


def client_env(settings: Settings) -> dict[str, Value]:
    """What an S3 client of the platform's bucket needs."""
    if not is_s3(settings):
        return {}
    env: dict[str, Value] = {
        "AWS_DEFAULT_REGION": settings.value("aws_region"),
        # Newer boto3 adds CRC32 trailers that several stores reject or write into the file (boto3 >= 1.36).
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
    if settings.embedded_objectstore:
        return env | {
            "MLFLOW_S3_ENDPOINT_URL": Template("http://{address}", address=Ref(NAME)),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            # The user's own profile must not be looked up for a store that is ours.
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }
    if settings.s3_endpoint_url:
        env["MLFLOW_S3_ENDPOINT_URL"] = settings.value("s3_endpoint_url")
        env["MLFLOW_S3_IGNORE_TLS"] = settings.value("s3_ignore_tls")
    if settings.aws_access_key_id:
        env["AWS_ACCESS_KEY_ID"] = Secret("aws-access-key-id", given=settings.aws_access_key_id)
        env["AWS_SECRET_ACCESS_KEY"] = Secret("aws-secret-access-key", given=settings.aws_secret_access_key)
    return env


def admin_env(settings: Settings) -> dict[str, Value]:
    """What a person needs to reach the bucket itself; of a store elsewhere, what the settings say of it."""
    wanted = ("MLFLOW_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    checksums = ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION")
    env = client_env(settings)
    return {name: env[name] for name in (*wanted, *checksums) if name in env}


def inherit(settings: Settings) -> tuple[str, ...]:
    """Prefixes of the caller's variables that a cloud's client needs: profiles, roles, key files; none for our own."""
    if settings.embedded_objectstore:
        return ()
    return ("AWS_", "GOOGLE_", "AZURE_")


def objectstore(settings: Settings, target: Target) -> Service:
    """The platform's own S3 server, which answers signed requests only."""
    return _seaweedfs(settings) if target is Target.CONTAINERS else _embedded(settings)


def _seaweedfs(settings: Settings) -> Service:
    """SeaweedFS, all of it in one process. Only its S3 port asks for a signature: hence the network of its own."""
    del settings
    start = (
        'AWS_ACCESS_KEY_ID="$(cat "$ACCESS_KEY_FILE")" AWS_SECRET_ACCESS_KEY="$(cat "$SECRET_KEY_FILE")" '
        "exec weed mini -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 -s3.port=8333 -s3.port.iceberg=0 -s3.port.lance=0 "
        "-s3.autoCreateBucket=false -webdav=false -admin.ui=false -master.telemetry=false"
    )
    return Service(
        name=NAME,
        title="S3 artifact store",
        # The program takes its keys from the environment only; a shell reads them from the files there.
        command=("sh", "-c", start),
        env={"ACCESS_KEY_FILE": SecretFile(ACCESS_KEY), "SECRET_KEY_FILE": SecretFile(SECRET_KEY)},
        probe=Probe(ExecProbe(("wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8333/healthz"))),
        ports=(Port("main", 8333),),
        volumes=(Volume("objectstore", "/data"),),
        stop_timeout=30.0,
        container=Container(
            image=images.SEAWEEDFS, entrypoint=("",), user="1000:1000", networks=("data",), memory="1g", pids=1024
        ),
    )


def _embedded(settings: Settings) -> Service:
    """An S3 server over a directory: loopback only."""
    return Service(
        name=NAME,
        title="S3 artifact store",
        command=("python", "-m", "homeport.objectstore.server"),
        env={
            "HOMEPORT_DATA": Path("objectstore"),
            "HOMEPORT_LISTEN_HOST": Bind(part=Part.HOST),
            "HOMEPORT_LISTEN_PORT": Bind(part=Part.PORT),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        },
        probe=Probe(TcpProbe(), start_interval=0.05),
        ports=(Port("main", 8333, settings.objectstore_port or None, "HOMEPORT_OBJECTSTORE_PORT"),),
        volumes=(Volume("objectstore", "/data"),),
    )


def objectstore_init(settings: Settings) -> Job:
    """The job that makes the bucket when it is missing and proves put, get and delete."""
    needs: Mapping[str, Condition] = {NAME: HEALTHY} if settings.embedded_objectstore else {}
    return Job(
        name=INIT,
        title="bucket",
        command=("python", "-m", "homeport.objectstore.bucket"),
        owner=NAME if settings.embedded_objectstore else "tracking",
        env={
            **client_env(settings),
            "MLFLOW_ARTIFACTS_DESTINATION": destination(settings),
            "HOMEPORT_BUCKET_TIMEOUT": str(settings.patience),
        },
        needs=needs,
        timeout=120.0,
        inherit=inherit(settings),
        container=Container(networks=("data",), memory="256m", pids=64),
    )
