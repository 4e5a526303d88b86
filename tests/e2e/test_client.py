"""What a client sees: MLflow as it is, artifacts through the server, no credentials needed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from urllib.request import urlopen

from tests.e2e.harness import Homeport

Python = Callable[..., subprocess.CompletedProcess[str]]

ROUND_TRIP = """
import json, mlflow
mlflow.set_experiment("round trip")
with mlflow.start_run() as run:
    mlflow.log_param("p", "ü")
    mlflow.log_metrics({"m": 1.5}, step=3)
    mlflow.log_text("hello", "dir/note.txt")
client = mlflow.MlflowClient()
found = client.get_run(run.info.run_id)
print(json.dumps({
    "param": found.data.params["p"], "metric": found.data.metrics["m"], "artifact_uri": found.info.artifact_uri,
    "text": mlflow.artifacts.load_text(found.info.artifact_uri + "/dir/note.txt"),
    "listed": [f.path for f in client.list_artifacts(run.info.run_id, "dir")],
}))
"""


def test_a_client_with_only_the_uri_logs_and_reads_back_params_metrics_and_artifacts(
    platform: Homeport, python: Python
) -> None:
    environ = platform.env()
    assert not [name for name in environ if name.startswith("AWS_") or "BACKEND" in name]
    done = python(ROUND_TRIP, environ)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["param"], found["metric"], found["text"], found["listed"]) == ("ü", 1.5, "hello", ["dir/note.txt"])
    # Never a path or a bucket: an artifact location is frozen into its experiment for ever.
    assert found["artifact_uri"].startswith("mlflow-artifacts:/")


def test_artifacts_are_in_the_bucket_and_the_admin_environment_reaches_it(platform: Homeport, python: Python) -> None:
    python(ROUND_TRIP, platform.env())
    done = python(
        "import os, boto3\n"
        "s3 = boto3.client('s3', endpoint_url=os.environ['MLFLOW_S3_ENDPOINT_URL'])\n"
        "print([o['Key'] for o in s3.list_objects_v2(Bucket='mlflow')['Contents'] if o['Key'].endswith('note.txt')])",
        platform.env("--admin"),
    )
    assert "dir/note.txt" in done.stdout, done.stderr


def test_the_admin_environment_reaches_the_database(platform: Homeport, python: Python) -> None:
    done = python(
        "import os, sqlalchemy\n"
        "e = sqlalchemy.create_engine(os.environ['MLFLOW_BACKEND_STORE_URI'])\n"
        "print(e.connect().execute(sqlalchemy.text('select count(*) from alembic_version')).scalar())",
        platform.env("--admin"),
    )
    assert done.stdout.strip() == "1", done.stderr


def test_an_up_in_a_shell_with_the_admin_environment_still_finds_its_own_platform(platform: Homeport) -> None:
    admin = json.loads(platform.ok("env", "--admin", "--json"))
    assert json.loads(platform.ok("status", "--json", **admin))["ready"]
    shown = json.loads(platform.ok("config", "show", "--json", **admin))["settings"]
    assert next(row for row in shown if row["name"] == "MLFLOW_BACKEND_STORE_URI")["source"] == "default"


def test_env_is_shell_that_evals(platform: Homeport) -> None:
    script = platform.ok("env", "--admin")
    done = subprocess.run(
        ["sh", "-c", f"{script}\necho $MLFLOW_TRACKING_URI"], capture_output=True, text=True, check=True, env={}
    )
    assert done.stdout.strip() == platform.tracking_uri


def test_run_passes_the_environment_arguments_and_exit_code_through(platform: Homeport) -> None:
    done = platform.run("run", "--", "sh", "-c", 'echo "$MLFLOW_TRACKING_URI $1"; exit 7', "sh", "--json")
    assert done.returncode == 7
    assert done.stdout.strip() == f"{platform.tracking_uri} --json"


def test_run_of_a_program_that_is_not_there_says_so(platform: Homeport) -> None:
    assert platform.refused("run", "--", "no-such-program", exit_code=127)["code"] == "PROGRAM_NOT_FOUND"


def test_readiness_is_honest_and_health_is_upstreams(platform: Homeport) -> None:
    with urlopen(f"{platform.tracking_uri}/ready", timeout=10) as answer:
        assert json.load(answer) == {
            "ready": True,
            "problems": [],
            "fast_lane": {"on": True, "why": ""},
            "artifacts": {"streamed": True, "why": ""},
        }
    with urlopen(f"{platform.tracking_uri}/health", timeout=10) as answer:
        assert answer.read() == b"OK"


def test_nothing_listens_beyond_loopback(platform: Homeport) -> None:
    import psutil

    keeper = psutil.Process(platform.keeper_pid)
    processes = [keeper, *keeper.children(recursive=True)]
    listening = [c.laddr.ip for p in processes for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening
    assert set(listening) == {"127.0.0.1"}


def test_no_secret_is_in_any_command_line(platform: Homeport) -> None:
    import psutil

    secrets = [file.read_text().strip() for file in (platform.home / "secrets").iterdir()]
    assert len(secrets) >= 5
    keeper = psutil.Process(platform.keeper_pid)
    commands = " ".join(" ".join(p.cmdline()) for p in (keeper, *keeper.children(recursive=True)))
    assert not [secret for secret in secrets if secret in commands]


def test_secrets_are_private_and_none_is_the_same(platform: Homeport) -> None:
    directory = platform.home / "secrets"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in directory.iterdir()} == {0o600}
    contents = [file.read_text() for file in directory.iterdir()]
    assert len(set(contents)) == len(contents)
