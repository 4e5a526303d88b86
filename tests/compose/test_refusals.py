"""Wrong or missing settings and secrets: Compose alone, or the program in the container, names the variable or file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.compose.project import Stack
from tests.e2e.harness import eventually


@pytest.fixture
def stack(new_stack: Callable[..., Stack]) -> Stack:
    made = new_stack()
    made.write()
    return made


def _refused(stack: Stack, *services: str) -> str:
    done = stack.compose("up", "--wait", "--wait-timeout", "60", "--no-build", *services)
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_without_env_compose_names_the_variable_and_what_to_do(stack: Stack) -> None:
    (stack.home / ".env").unlink()
    said = _refused(stack)
    assert "DOMAIN" in said
    assert "compose.yaml" in said
    assert stack.ids() == []


def test_an_empty_domain_is_refused_by_name(stack: Stack) -> None:
    (stack.home / ".env").write_text("DOMAIN=\n")
    assert "DOMAIN" in _refused(stack)


def test_a_domain_with_a_scheme_is_refused_by_the_job_that_reads_it(stack: Stack) -> None:
    (stack.home / ".env").write_text("DOMAIN=https://example.org\n")
    _refused(stack, "gateway-init")
    said = stack.composed("logs", "--no-color", "gateway-init")
    assert "DOMAIN" in said
    assert "https://" in said


def test_a_missing_secret_file_is_named(stack: Stack) -> None:
    (stack.home / "secrets" / "admin-password").unlink()
    assert "secrets/admin-password" in _refused(stack, "tracking-migrate")


@pytest.mark.parametrize("secret", ["database-password", "admin-password"])
def test_an_empty_secret_file_is_refused_by_the_program_that_reads_it(stack: Stack, secret: str) -> None:
    file = stack.home / "secrets" / secret
    file.chmod(0o644)
    file.write_text("")
    service = "tracking-migrate"
    _refused(stack, service)
    said = stack.composed("logs", "--no-color", service)
    if secret == "database-password":  # PostgreSQL is asked first, and refuses to be without one
        said += stack.composed("logs", "--no-color", "database")
    assert secret in said or "superuser password is not specified" in said
    found = stack.refused("up", exit_code=1)
    assert found["code"] == "SECRET_EMPTY"
    assert f"secrets/{secret}" in found["text"]


def test_another_password_than_the_volume_was_made_with_is_explained(stack: Stack) -> None:
    stack.bring_up("tracking-migrate", "database")
    stack.composed("down")
    file = stack.home / "secrets" / "database-password"
    file.chmod(0o644)
    file.write_text("another-one")
    _refused(stack, "tracking-migrate")
    said = stack.composed("logs", "--no-color", "tracking-migrate")
    assert "password authentication failed" in said
    assert "database-password" in said


def test_a_wrong_number_of_workers_is_refused_by_name(stack: Stack) -> None:
    done = stack.run("up", HOMEPORT_WORKERS="many")
    assert done.returncode == 2
    assert "HOMEPORT_WORKERS" in done.stderr
    assert stack.ids() == []


def test_authentication_is_off_only_by_its_name_and_status_keeps_saying_so(stack: Stack) -> None:
    with (stack.home / ".env").open("a") as file:
        file.write("HOMEPORT_AUTH=off\n")
    said = stack.run("up")
    assert said.returncode == 0, said.stderr
    assert "HOMEPORT_AUTH=off" in said.stderr
    assert "HOMEPORT_AUTH=off" in stack.run("status").stderr
    assert "MLFLOW_TRACKING_PASSWORD" not in stack.env()
    answer = stack.call(f"{stack.tracking_uri}/api/2.0/mlflow/experiments/get?experiment_id=0")
    assert answer.status == 200
    eventually(lambda: stack.serving("/v2", key="").status == 200, 20)
