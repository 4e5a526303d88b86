"""`homeport render values`: what it prints and writes, the one Secret's keys, and `--check`."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from cryptography.fernet import Fernet

from homeport.cli.main import main
from homeport.render.chart.keys import generated
from homeport.render.files import every as compose_files
from homeport.render.site import make
from tests.documents import ROOT

CHART = str(ROOT / "charts" / "homeport")
STORES = {
    "MLFLOW_BACKEND_STORE_URI": "postgresql://u:p%40ss@db.example.org/db",
    "MLFLOW_ARTIFACTS_DESTINATION": "s3://b",
    "AWS_ACCESS_KEY_ID": "ak",
    "AWS_SECRET_ACCESS_KEY": "sk",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of a user, whose home is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOMEPORT_HOME", str(tmp_path / "home"))
    return tmp_path


class Called:
    """What a command said, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["render", "values", *arguments])
        self.code = ended.value.code
        self.out, self.err = capsys.readouterr()


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def site(place: Path, **environ: str) -> Path:
    for name, text in compose_files().items():
        (place / name).write_text(text)
    (place / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in environ.items()))
    make(place)
    return place


def dotenv(place: Path, values: Mapping[str, str]) -> None:
    (place / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))


def render(values: dict[str, Any]) -> dict[str, str]:
    with helm_python.Chart.load(CHART) as chart:
        return dict(chart.render(values, name="homeport", namespace="mlflow"))


def mounted(values: dict[str, Any], secret: str) -> set[str]:
    """The keys of a Secret that some pod of the rendered chart mounts."""
    found: set[str] = set()

    def look(content: Any) -> None:
        if isinstance(content, dict):
            if content.get("name") == secret and "items" in content:
                found.update(item["key"] for item in content["items"])
            for each in content.values():
                look(each)
        elif isinstance(content, list):
            for each in content:
                look(each)

    for name, text in render(values).items():
        if name.endswith(".yaml"):
            look(list(yaml.safe_load_all(text)))
    return found


def test_values_are_printed_and_nothing_is_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dotenv(place, {"DOMAIN": "ml.example.org"})
    called = Called(capsys)
    assert called.code == 0
    assert yaml.safe_load(called.out) == {"domain": "ml.example.org"}
    assert render(yaml.safe_load(called.out))
    assert [path.name for path in place.iterdir()] == [".env"]


def test_json_has_the_values_and_everything_around_them(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dotenv(place, STORES | {"HOMEPORT_TRACKING_PORT": "5010"})
    found = json.loads(Called(capsys, "--json").out)
    assert found["values"]["database"]["existingSecret"] == "homeport-database"
    assert any("homeport-database" in step for step in found["first"])
    assert {"HOMEPORT_TRACKING_PORT", "HOMEPORT_AUTH"} <= {each["name"] for each in found["left"]}


def test_no_password_is_ever_printed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dotenv(place, STORES | {"MLFLOW_AUTH_ADMIN_PASSWORD": "topsecret", "HOMEPORT_SERVING_KEY": "keykeykey"})
    for options in ((), ("--json",), ("--secrets", "keys"), ("--output", "values.yaml")):
        called = Called(capsys, *options)
        said = called.out + called.err
        assert not [secret for secret in ("p@ss", "p%40ss", "topsecret", "keykeykey") if secret in said]
    assert "p@ss" not in (place / "values.yaml").read_text()


def test_a_file_is_written_checked_and_told_when_stale(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dotenv(place, {"DOMAIN": "ml.example.org"})
    missing = Called(capsys, "--output", "values.yaml", "--check")
    assert (missing.code, (place / "values.yaml").exists()) == (1, False)
    assert Called(capsys, "--output", "values.yaml").out.startswith("wrote  values.yaml  +")
    before = (place / "values.yaml").read_text()
    assert Called(capsys, "--output", "values.yaml", "--check").code == 0
    dotenv(place, {"DOMAIN": "other.example.org"})
    stale = Called(capsys, "--output", "values.yaml", "--check", "--secrets", "keys")
    assert stale.code == 1
    assert "+domain: other.example.org" in stale.out
    assert "fix: homeport render values --output values.yaml" in stale.out
    assert (place / "values.yaml").read_text() == before
    assert not (place / "keys").exists()


def test_check_needs_a_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    called = Called(capsys, "--check")
    assert (called.code, called.out) == (2, "")
    assert "--output" in called.err


def test_a_file_that_cannot_be_written_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    called = Called(capsys, "--output", "missing/values.yaml")
    assert called.code == 1
    assert "VALUES_NOT_WRITABLE" in called.err


def test_the_charts_own_secret_has_the_keys_of_a_secrets_directory(place: Path) -> None:
    made = [
        document
        for name, text in render({}).items()
        if name.endswith("secret.yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]
    assert len(made) == 1
    assert set(made[0]["data"]) == set(generated())
    assert set(generated()) <= {path.name for path in (site(place) / "secrets").iterdir()}


def test_the_secrets_of_a_site_are_the_clusters(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site(place, DOMAIN="ml.example.org")
    called = Called(capsys, "--directory", ".", "--secrets", "cluster-secrets")
    assert (called.code, called.err) == (0, "")
    kept = contents(place / "secrets")
    assert contents(place / "cluster-secrets") == {name: kept[name] for name in generated()}
    assert "from-file=cluster-secrets && rm -r cluster-secrets" in called.out
    assert stat.S_IMODE((place / "cluster-secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place / "cluster-secrets").iterdir()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place / "secrets").iterdir()} == {0o444}


def test_a_home_gives_what_it_has_and_the_rest_is_made(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "home" / "secrets").mkdir(parents=True)
    (place / "home" / "secrets" / "webhook-secret").write_text("kept in the home")
    (place / "home" / "secrets" / "admin-password").write_text("no longer")
    dotenv(place, {"MLFLOW_AUTH_ADMIN_PASSWORD": "what was set"})
    called = Called(capsys, "--secrets", "keys")
    found = contents(place / "keys")
    assert found.keys() == generated().keys()
    assert (found["webhook-secret"], found["admin-password"]) == ("kept in the home", "what was set")
    assert Fernet(found["webhook-encryption-key"])
    made = re.search(r"made +\S+: (.*)", called.err)
    assert made
    assert set(made[1].split(", ")) == generated().keys() - {"webhook-secret", "admin-password"}
    assert contents(place / "home" / "secrets").keys() == {"webhook-secret", "admin-password"}
    again = Called(capsys, "--secrets", "keys")
    assert contents(place / "keys") == found
    assert "made" not in again.err


def test_the_one_secret_has_every_key_that_a_pod_mounts(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prediction = {
        "HOMEPORT_PREDICTION_LOG": "0.5",
        "HOMEPORT_PREDICTION_DATABASE_URI": "postgresql://u:p@db.example.org/pred",
    }
    dotenv(place, STORES | prediction)
    called = Called(capsys, "--secrets", "keys")
    found = contents(place / "keys")
    wanted = mounted(yaml.safe_load(called.out), "homeport-secrets")
    assert {"database-password", "aws-access-key-id", "prediction-database-uri", "admin-password"} <= wanted
    assert wanted <= found.keys()
    assert found["database-password"] == "p@ss"
    assert (found["aws-access-key-id"], found["aws-secret-access-key"]) == ("ak", "sk")
    assert found["prediction-database-uri"] == prediction["HOMEPORT_PREDICTION_DATABASE_URI"]


def test_a_platforms_own_secrets_directory_is_not_written_into(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site(place)
    before = contents(place / "secrets")
    called = Called(capsys, "--directory", ".", "--secrets", "secrets")
    assert called.code == 2
    assert "SECRETS_IN_PLACE" in called.err
    assert contents(place / "secrets") == before


def test_a_secret_that_cannot_be_read_is_told_by_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site(place)
    (place / "secrets" / "serving-key").chmod(0o644)
    (place / "secrets" / "serving-key").write_bytes(b"\xff\xfe")
    called = Called(capsys, "--directory", ".", "--secrets", "keys")
    assert called.code == 1
    assert "SECRET_UNREADABLE" in called.err
    assert "serving-key" in called.err


def test_the_environment_of_the_caller_counts_too(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site(place, DOMAIN="ml.example.org")
    monkeypatch.setenv("HOMEPORT_IMAGE", "registry.example.org/ours@sha256:" + "0" * 64)
    monkeypatch.setenv("DOMAIN", "shell.example.org")
    assert "DOMAIN" in os.environ
    values = yaml.safe_load(Called(capsys, "--target", "compose").out)
    assert values == {
        "domain": "shell.example.org",
        "image": {"repository": "registry.example.org/ours", "digest": "sha256:" + "0" * 64},
    }
