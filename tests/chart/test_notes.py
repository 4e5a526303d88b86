"""What is said after an installation is true: every object, container and key that it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.chart.matrix import every
from tests.chart.rendering import Objects, render

KINDS = {
    "deploy": "Deployment", "svc": "Service", "ingress": "Ingress", "secret": "Secret", "httproute": "HTTPRoute",
    "cronjob": "CronJob", "statefulset": "StatefulSet",
}  # fmt: skip
_OBJECT = re.compile(r"\b(" + "|".join(KINDS) + r")[/ ]([a-z0-9][-a-z0-9]*)")
_KEY = re.compile(r"get secret (\S+) -o jsonpath='\{\.data\.([^}]+)\}'")
COMMAND = re.compile(r"^ +((?:kubectl|helm) .*)$", re.MULTILINE)


def commands() -> Iterator[tuple[str, Objects, str]]:
    """Every command of every render's notes."""
    for name, objects in every().items():
        yield from ((name, objects, line) for line in COMMAND.findall(objects.notes))


def test_every_object_that_is_named_is_there() -> None:
    met = set()
    for name, objects, line in commands():
        for word, named in _OBJECT.findall(line):
            kind = KINDS[word]
            met.add(kind)
            there = {each.name for each in objects.all(kind)}
            # A Secret of the site's, or the one that cert-manager makes.
            there |= (
                {named} if kind == "Secret" and (f'"{named}"' in objects.values or named.endswith("-tls")) else set()
            )
            assert named in there, f"{name}: {line}"
    assert met >= {"Deployment", "Secret", "Ingress"}


def test_every_key_that_is_shown_is_in_its_secret() -> None:
    for name, objects, line in commands():
        for secret, key in _KEY.findall(line):
            made = {each.name: each.content.get("data", {}) for each in objects.all("Secret")}
            assert key in made.get(secret, {key}), f"{name}: {line}"


def test_every_component_and_container_that_is_named_is_there() -> None:
    for name, objects, line in commands():
        for component in re.findall(r"app.kubernetes.io/component=([-a-z]+)", line):
            assert component in {pod.component for pod in objects.pods}, f"{name}: {line}"
        for deployment, container in re.findall(r"deploy/(\S+) -c (\S+)", line):
            pod = objects.one("Deployment", name=deployment).pod
            assert pod, f"{name}: {line}"
            assert container in {each.name for each in pod.containers}, f"{name}: {line}"


def test_every_command_is_of_the_namespace_of_the_release() -> None:
    lines = [line for _, _, line in commands()]
    assert lines
    assert [line for line in lines if " -n mlflow " not in line] == []


@pytest.mark.parametrize("enabled", [True, False])
def test_who_logs_in_is_said_where_somebody_must(enabled: bool) -> None:
    notes = render({"auth": {"enabled": enabled}}).notes
    assert ("admin-password" in notes) == enabled


def test_a_trial_is_told_how_to_reach_it_and_a_domain_how_it_is_called() -> None:
    assert "port-forward" in render().notes
    assert "https://mlflow.ml.example.org" in render({"domain": "ml.example.org"}).notes
