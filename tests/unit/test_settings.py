from __future__ import annotations

import json
from pathlib import Path

import pytest

from homeport.errors import HomeportError
from homeport.settings import dumps, knobs, load, loads


def read(tmp_path: Path, environ: dict[str, str] | None = None, **flags: object):  # type: ignore[no-untyped-def]  # noqa: ANN201 - Settings, named by its use below
    return load(flags, environ={"HOMEPORT_HOME": str(tmp_path / "home"), **(environ or {})}, directory=tmp_path)


def test_every_setting_has_a_default_that_its_own_parser_takes(tmp_path: Path) -> None:
    found = read(tmp_path)
    for knob in knobs():
        value = getattr(found, knob.name)
        if value != "":
            assert knob.read(knob.written(value), "test") == value


def test_flag_beats_environment_beats_dotenv_beats_toml_beats_default(tmp_path: Path) -> None:
    (tmp_path / "homeport.toml").write_text("tracking_port = 6001\nworkers = 2\nbucket = 'from-toml'\n")
    (tmp_path / ".env").write_text("HOMEPORT_TRACKING_PORT=6002\nHOMEPORT_WORKERS=3\n")
    found = read(tmp_path, {"HOMEPORT_TRACKING_PORT": "6003"}, tracking_port=6004)
    assert (found.tracking_port, found.workers, found.bucket) == (6004, 3, "from-toml")
    sources = [found.source(name) for name in ("tracking_port", "workers", "bucket", "postgres_db")]
    assert sources == ["flag", ".env", "homeport.toml", "default"]


def test_a_homeport_toml_in_the_home_is_read_last(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "homeport.toml").write_text("tracking_port = 0\nworkers = 5\n")
    (tmp_path / "homeport.toml").write_text("workers = 4\n")
    found = read(tmp_path)
    assert (found.tracking_port, found.workers) == (0, 4)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HOMEPORT_TRACKING_PORT", "http", "from 0 to 65535"),
        ("HOMEPORT_TRACKING_PORT", "70000", "from 0 to 65535"),
        ("HOMEPORT_TRACKING_PORT", "-1", "from 0 to 65535"),
        ("HOMEPORT_WORKERS", "2.5", "from 0 to 64"),
        ("HOMEPORT_BUCKET", "My_Bucket", "3 to 63"),
        ("HOMEPORT_BUCKET", "a..b", "3 to 63"),
        ("MLFLOW_S3_IGNORE_TLS", "maybe", "true or false"),
        ("MLFLOW_BACKEND_STORE_URI", "oracle://x/y", "postgresql://"),
        ("MLFLOW_BACKEND_STORE_URI", "mlflow.db", "postgresql://"),
        ("MLFLOW_BACKEND_STORE_URI", "postgresql://u:secretword@h:port/db", "not a valid URI"),
        ("MLFLOW_ARTIFACTS_DESTINATION", "ftp://host/dir", "s3://"),
        ("MLFLOW_ARTIFACTS_DESTINATION", "s3://", "names no place"),
        ("MLFLOW_S3_ENDPOINT_URL", "localhost:9000", "http://"),
    ],
)
def test_a_wrong_value_is_refused_naming_setting_source_and_what_is_right(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    with pytest.raises(HomeportError) as caught:
        read(tmp_path, {name: value})
    error = caught.value
    assert error.code == "SETTING_INVALID"
    assert error.exit_code == 2
    assert name in error.what
    assert said in error.what
    assert ("source", "environment") in error.evidence
    assert "secretword" not in error.block()


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(" spaced word \n")
    assert read(tmp_path, {"POSTGRES_PASSWORD_FILE": str(tmp_path / "pw")}).postgres_password == " spaced word "


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_secret_file_that_is_missing_or_empty_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "pw"
    if content is not None:
        file.write_text(content)
    with pytest.raises(HomeportError, match="POSTGRES_PASSWORD_FILE"):
        read(tmp_path, {"POSTGRES_PASSWORD_FILE": str(file)})


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("a")
    with pytest.raises(HomeportError, match="both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE"):
        read(tmp_path, {"POSTGRES_PASSWORD": "b", "POSTGRES_PASSWORD_FILE": str(tmp_path / "pw")})


def test_no_secret_is_in_a_repr_or_in_what_config_shows(tmp_path: Path) -> None:
    found = read(
        tmp_path, {"POSTGRES_PASSWORD": "hunter22", "MLFLOW_BACKEND_STORE_URI": "postgresql://me:hunter22@db/mlflow"}
    )
    shown = [knob.masked(getattr(found, knob.name)) for knob in knobs()]
    assert not [text for text in shown if "hunter22" in text]
    assert "postgresql://me:********@db/mlflow" in shown


def test_an_unknown_variable_in_our_name_space_warns_with_a_did_you_mean(tmp_path: Path) -> None:
    found = read(tmp_path, {"HOMEPORT_TRAKING_PORT": "1"})
    assert len(found.warnings) == 1
    assert "HOMEPORT_TRAKING_PORT" in found.warnings[0]
    assert "Did you mean HOMEPORT_TRACKING_PORT?" in found.warnings[0]


def test_an_unknown_key_in_homeport_toml_is_refused_with_a_did_you_mean(tmp_path: Path) -> None:
    (tmp_path / "homeport.toml").write_text("traking_port = 1\n")
    with pytest.raises(HomeportError) as caught:
        read(tmp_path)
    assert caught.value.code == "SETTING_UNKNOWN"
    assert "tracking_port" in caught.value.fix


def test_a_broken_homeport_toml_is_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "homeport.toml").write_text("tracking_port = \n")
    with pytest.raises(HomeportError) as caught:
        read(tmp_path)
    assert caught.value.code == "CONFIG_UNREADABLE"
    assert "line 1" in caught.value.block()


def test_what_homeport_env_exported_is_not_taken_as_configuration(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "MLFLOW_BACKEND_STORE_URI": "postgresql://mlflow:x@127.0.0.1:1/mlflow",
            "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:2",
            "HOMEPORT_EXPORTED": "MLFLOW_BACKEND_STORE_URI,MLFLOW_S3_ENDPOINT_URL",
        },
    )
    assert found.embedded_database
    assert found.embedded_objectstore


def test_mlflow_variables_that_are_no_settings_reach_the_server_but_client_ones_do_not(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"MLFLOW_SQLALCHEMYSTORE_POOL_RECYCLE": "300", "MLFLOW_TRACKING_URI": "http://elsewhere", "MLFLOW_RUN_ID": "x"},
    )
    assert dict(found.extra) == {"MLFLOW_SQLALCHEMYSTORE_POOL_RECYCLE": "300"}


def test_settings_that_were_set_can_be_handed_to_another_process(tmp_path: Path) -> None:
    found = read(tmp_path, {"POSTGRES_PASSWORD": "pw", "MLFLOW_S3_IGNORE_TLS": "yes"}, tracking_port=0)
    again = loads(json.loads(json.dumps(dumps(found))))
    assert [getattr(again, k.name) for k in knobs()] == [getattr(found, k.name) for k in knobs()]
    assert again.source("tracking_port") == "flag"


def test_minios_names_in_an_older_dotenv_are_read_as_ours_and_said(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MINIO_ROOT_USER=olduser\nMINIO_ROOT_PASSWORD=oldsecret\nMINIO_BUCKET_NAME=models\n")
    found = load({}, environ={}, directory=tmp_path)
    assert (found.aws_access_key_id, found.aws_secret_access_key, found.bucket) == ("olduser", "oldsecret", "models")
    assert [line.split()[0] for line in found.warnings] == [
        "MINIO_ROOT_USER",
        "MINIO_ROOT_PASSWORD",
        "MINIO_BUCKET_NAME",
    ]
    assert "oldsecret" not in "".join(found.warnings)


def test_our_own_name_wins_over_minios(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MINIO_BUCKET_NAME=old\nHOMEPORT_BUCKET=new-one\n")
    found = load({}, environ={}, directory=tmp_path)
    assert found.bucket == "new-one"
    assert not found.warnings


@pytest.mark.parametrize("given", ["https://example.org", "example.org/x", "example.org:8443", "a b", "-a.org", "a..b"])
def test_a_domain_that_is_none_is_refused_by_name(tmp_path: Path, given: str) -> None:
    with pytest.raises(HomeportError) as refused:
        load({}, environ={"DOMAIN": given}, directory=tmp_path)
    assert "DOMAIN must be a domain name" in refused.value.what


def test_an_optional_directory_may_be_left_out_and_is_made_absolute(tmp_path: Path) -> None:
    assert load({}, environ={}, directory=tmp_path).shared_artifacts is None
    found = load({}, environ={"HOMEPORT_SHARED_ARTIFACTS": "/srv/a"}, directory=tmp_path)
    assert str(found.shared_artifacts) == "/srv/a"
    assert not found.embedded_objectstore
    assert loads(dumps(found)).shared_artifacts == found.shared_artifacts
