from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from dotenv import dotenv_values

from homeport.errors import HomeportError
from homeport.render.dotenv import example
from homeport.render.files import every
from homeport.render.older import SYNONYMS, TAKEN
from homeport.render.site import make, missing
from homeport.render.variants import VARIANTS, graph_of
from homeport.settings import Settings, knobs


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in every().items():
        (tmp_path / name).write_text(text)
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_a_site_gets_settings_and_every_secret_that_can_be_generated(place: Path) -> None:
    outcome = make(place)
    assert (place / ".env").read_text() == example()
    wanted = {
        name
        for variants in ((), *((variant,) for variant in VARIANTS))
        for name, secret in graph_of(variants).secrets().items()
        if secret.given is None
    }
    assert {path.name for path in (place / "secrets").iterdir()} == wanted
    assert sorted(outcome.made) == sorted([".env", *(f"secrets/{name}" for name in wanted)])
    assert (outcome.needed, outcome.taken) == ([], [])
    assert missing(place) is None


def test_each_secret_is_of_its_kind_and_none_is_like_another(place: Path) -> None:
    make(place)
    values = {path.name: path.read_text() for path in (place / "secrets").iterdir()}
    assert len(set(values.values())) == len(values)
    assert Fernet(values["webhook-encryption-key"])
    assert values["objectstore-access-key"].isalnum()
    assert all(len(value) >= 40 for name, value in values.items() if name != "objectstore-access-key")


def test_only_the_owner_enters_the_directory_and_every_container_reads_its_file(place: Path) -> None:
    before = os.umask(0)
    try:
        make(place)
    finally:
        os.umask(before)
    assert mode(place / ".env") == 0o600
    assert mode(place / "secrets") == 0o700
    assert {mode(path) for path in (place / "secrets").iterdir()} == {0o444}


def test_a_second_time_nothing_is_touched(place: Path) -> None:
    make(place)
    before = contents(place)
    outcome = make(place)
    assert contents(place) == before
    assert not outcome.changed


def test_only_what_is_missing_is_made_again_and_modes_are_mended(place: Path) -> None:
    make(place)
    (place / "secrets/grafana-password").unlink()
    (place / "secrets/admin-password").chmod(0o600)
    (place / "secrets").chmod(0o755)
    before = contents(place)
    assert make(place).made == ["secrets/grafana-password"]
    after = contents(place)
    assert {name: after[name] for name in before} == before
    assert mode(place / "secrets") == 0o700
    assert mode(place / "secrets/admin-password") == 0o444


def test_check_writes_nothing_and_names_what_is_missing(place: Path) -> None:
    before = contents(place)
    outcome = make(place, check=True)
    assert contents(place) == before
    assert ".env" in outcome.made
    assert "secrets/admin-password" in outcome.made
    error = missing(place)
    assert error is not None
    assert "secrets/admin-password" in error.block()
    assert "homeport render env" in error.fix


def test_an_older_env_file_keeps_every_line_and_gets_the_new_ones(place: Path) -> None:
    text = "# ours\nDOMAIN=example.org\nHOMEPORT_SERVE='a@b'\n"
    (place / ".env").write_text(text)
    outcome = make(place)
    after = (place / ".env").read_text()
    assert after.startswith(text)
    assert dotenv_values(place / ".env") == {"DOMAIN": "example.org", "HOMEPORT_SERVE": "a@b"}
    assert "HOMEPORT_LISTEN" in outcome.added
    assert "DOMAIN" not in outcome.added


@pytest.mark.parametrize(
    ("line", "file", "value"),
    [
        ("POSTGRES_PASSWORD=old secret", "database-password", "old secret"),
        ("MLFLOW_AUTH_ADMIN_PASSWORD=long enough it is", "admin-password", "long enough it is"),
        ("MYSQL_ROOT_PASSWORD=r", "database-root-password", "r"),
        ("MYSQL_PASSWORD=m", "database-password", "m"),
        ("MARIADB_PASSWORD=m", "database-password", "m"),
        ("AWS_ACCESS_KEY_ID=AKIA", "aws-access-key-id", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY=abc/def", "aws-secret-access-key", "abc/def"),
        ("MINIO_ROOT_USER=minio", "objectstore-access-key", "minio"),
        ("MINIO_SECRET_KEY=minio123", "objectstore-secret-key", "minio123"),
        ("MLFLOW_BACKEND_STORE_URI=postgres://u:p@h/db", "backend-store-uri", "postgresql+psycopg2://u:p@h/db"),
    ],
)
def test_a_secret_of_an_older_env_becomes_a_file_and_the_line_may_go(
    line: str, file: str, value: str, place: Path
) -> None:
    (place / ".env").write_text(f"DOMAIN=localhost\n{line}\n")
    outcome = make(place)
    assert (place / "secrets" / file).read_text() == value
    assert (line.split("=", maxsplit=1)[0], f"secrets/{file}") in outcome.taken
    assert line in (place / ".env").read_text()


def test_a_secret_that_is_there_wins_over_an_older_env(place: Path) -> None:
    make(place)
    kept = (place / "secrets/database-password").read_bytes()
    with (place / ".env").open("a") as file:
        file.write("POSTGRES_PASSWORD=another\n")
    outcome = make(place)
    assert (place / "secrets/database-password").read_bytes() == kept
    assert any("POSTGRES_PASSWORD" in note and "another value" in note for note in outcome.notes)


def test_names_of_other_stacks_are_settings_of_ours(place: Path) -> None:
    (place / ".env").write_text("MYSQL_USER=ml\nMYSQL_DATABASE=runs\nMINIO_BUCKET_NAME=models\n")
    outcome = make(place)
    values = dotenv_values(place / ".env")
    assert (values["POSTGRES_USER"], values["POSTGRES_DB"], values["HOMEPORT_BUCKET"]) == ("ml", "runs", "models")
    assert any("MinIO's images are gone" in note for note in outcome.notes)


def test_a_store_of_an_older_stack_is_not_taken_for_one_elsewhere(place: Path) -> None:
    (place / ".env").write_text("MLFLOW_S3_ENDPOINT_URL=http://minio:9000\n")
    outcome = make(place)
    assert "COMPOSE_FILE" not in (dotenv_values(place / ".env"))
    assert any(note.startswith("MLFLOW_S3_ENDPOINT_URL has no effect") for note in outcome.notes)


def test_every_secret_setting_has_a_file(place: Path) -> None:
    secret = {item.env for item in knobs() if item.is_secret}
    assert secret <= TAKEN.keys()
    assert set(SYNONYMS.values()) <= {item.env for item in knobs()} | TAKEN.keys()
    every_file = {
        name for variants in ((), *((variant,) for variant in VARIANTS)) for name in graph_of(variants).secrets()
    }
    assert set(TAKEN.values()) <= every_file | {"prediction-database-uri"}


def test_each_secret_setting_is_the_secret_that_the_services_know() -> None:
    from homeport.services import accounts, database, serving

    settings = Settings(postgres_password="a", admin_password="b", serving_key="c", webhook_secret="d")
    assert {
        secret.name: secret.given
        for secret in (
            database.password(settings),
            accounts.admin_password(settings),
            accounts.serving_key(settings),
            serving.webhook_secret(settings),
        )
    } == {
        TAKEN["POSTGRES_PASSWORD"]: "a",
        TAKEN["MLFLOW_AUTH_ADMIN_PASSWORD"]: "b",
        TAKEN["HOMEPORT_SERVING_KEY"]: "c",
        TAKEN["HOMEPORT_WEBHOOK_SECRET"]: "d",
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("DOMAIN=https://example.org", "DOMAIN must be a domain name"),
        ("DOMAIN=Example.org", "write DOMAIN=example.org"),
        ("HOMEPORT_HTTP_PORT=eighty", "HOMEPORT_HTTP_PORT must be a whole number"),
        ("HOMEPORT_AUTH=maybe", "HOMEPORT_AUTH must be one of"),
        ("HOMEPORT_AUTH=auto", "HOMEPORT_AUTH=auto is for plain processes"),
        ("HOMEPORT_WORKERS=0", "HOMEPORT_WORKERS=0 is for plain processes"),
        ("MLFLOW_ENABLE_AI_GATEWAY=yes", "write MLFLOW_ENABLE_AI_GATEWAY=true"),
        ("POSTGRES_USER=a@b", "POSTGRES_USER must be letters"),
    ],
)
def test_a_value_that_containers_would_stumble_over_is_refused_by_its_name(line: str, told: str, place: Path) -> None:
    (place / ".env").write_text(line + "\n")
    before = contents(place)
    with pytest.raises(HomeportError, match="SETTING_INVALID") as caught:
        make(place)
    assert told in caught.value.block()
    assert contents(place) == before


def test_a_misspelt_name_is_told(place: Path) -> None:
    (place / ".env").write_text("HOMEPORT_SERV=a\nHOMEPORT_IMAGE=ours:1\n")
    notes = make(place).notes
    assert len([note for note in notes if "is no setting" in note]) == 1
    assert "Did you mean HOMEPORT_SERVE?" in "".join(notes)


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("HOMEPORT_DATABASE=mariadb", "compose.yaml:compose.mariadb.yaml"),
        ("HOMEPORT_GATEWAY=external", "compose.yaml:compose.external-gateway.yaml"),
        ("HOMEPORT_PREDICTION_LOG=0.5", "compose.yaml:compose.predictions.yaml"),
    ],
)
def test_settings_that_need_an_overlay_name_it_for_compose(line: str, files: str, place: Path) -> None:
    (place / ".env").write_text(line + "\n")
    make(place)
    assert dotenv_values(place / ".env")["COMPOSE_FILE"] == files
    (place / ".env").write_text(line + "\n")
    (place / "compose.override.yaml").write_text("services: {}\n")
    make(place)
    assert dotenv_values(place / ".env")["COMPOSE_FILE"] == f"{files}:compose.override.yaml"


def test_the_owner_of_a_shared_directory_is_found_out(place: Path) -> None:
    shared = place / "shared"
    shared.mkdir()
    os.chown(shared, 1234, 4321) if os.getuid() == 0 else None
    (place / ".env").write_text(f"HOMEPORT_SHARED_ARTIFACTS={shared}\n")
    make(place)
    values = dotenv_values(place / ".env")
    owner = shared.stat()
    assert (values["HOMEPORT_UID"], values["HOMEPORT_GID"]) == (str(owner.st_uid), str(owner.st_gid))


def test_root_is_no_owner_to_run_as(place: Path) -> None:
    (place / ".env").write_text("HOMEPORT_SHARED_ARTIFACTS=/\n")
    outcome = make(place)
    assert [name for name, _ in outcome.needed] == ["HOMEPORT_UID", "HOMEPORT_GID"]


def test_what_only_the_user_can_give_is_named_until_it_is_there(place: Path) -> None:
    (place / ".env").write_text("COMPOSE_FILE=compose.yaml:compose.external.yaml\n")
    assert {name for name, _ in make(place).needed} == {
        "MLFLOW_S3_ENDPOINT_URL",
        "secrets/backend-store-uri",
        "secrets/aws-access-key-id",
        "secrets/aws-secret-access-key",
    }
    with (place / ".env").open("a") as file:
        file.write(
            "MLFLOW_S3_ENDPOINT_URL=https://s3.example.org\nMLFLOW_BACKEND_STORE_URI=postgresql://u:p@h/db\n"
            "AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n"
        )
    assert make(place).needed == []


def test_files_in_an_order_that_compose_merges_wrongly_are_told(place: Path) -> None:
    (place / ".env").write_text(
        "COMPOSE_FILE=compose.yaml:compose.mariadb.yaml:compose.shared-artifacts.yaml\n"
        "HOMEPORT_SHARED_ARTIFACTS=/shared\nHOMEPORT_UID=1\nHOMEPORT_GID=1\n"
    )
    assert make(place).needed == [
        ("COMPOSE_FILE", "in this order: compose.yaml:compose.shared-artifacts.yaml:compose.mariadb.yaml")
    ]


def test_secrets_may_be_kept_elsewhere(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "keys"
    (place / ".env").write_text(f"HOMEPORT_SECRETS={other}\n")
    make(place)
    assert (other / "admin-password").is_file()
    assert not (place / "secrets").exists()
