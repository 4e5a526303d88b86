"""What every pod of every render keeps to: restricted rights, limits, probes, images with a tag, no secret in sight."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.matrix import every
from tests.chart.rendering import GENERATED, Container, Objects, Pod, at, render

SERVERS = {"Deployment", "StatefulSet"}
STORES = {"database", "objectstore"}  # images of others, with users of their own
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_EXPONENT = re.compile(r"(?<![\w.])\d(\.\d+)?e\+\d+(?!\w)")


def pods() -> Iterator[tuple[str, Pod]]:
    """Every pod of the matrix, with where it is."""
    for name, objects in every().items():
        yield from ((f"{name}: {pod}", pod) for pod in objects.pods)


def containers() -> Iterator[tuple[str, Container]]:
    """Every container of the matrix, with where it is."""
    for name, objects in every().items():
        yield from ((f"{name}: {each}", each) for each in objects.containers)


def test_every_pod_is_of_the_restricted_kind() -> None:
    for where, pod in pods():
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True, where
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not any(pod.spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")), where
        assert not any("hostPath" in volume for volume in pod.volumes.values()), where


def test_every_pod_runs_as_a_number_that_is_not_root_or_as_whom_the_cluster_says() -> None:
    for where, objects in every().items():
        left = {name for name, value in (json.loads(objects.values).get("security") or {}).items() if value is None}
        for pod in objects.pods:
            security = pod.spec["securityContext"]
            for name in ("runAsUser", "runAsGroup", "fsGroup"):
                if name in left and pod.component not in STORES:
                    assert name not in security, f"{where}: {pod}"
                else:
                    assert isinstance(security[name], int), f"{where}: {pod}: {name} {security[name]!r}"
                    assert security[name] > 0, f"{where}: {pod}"


def test_a_cluster_that_gives_out_users_itself_may_do_so() -> None:
    objects = render({"security": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}})
    for pod in objects.pods:
        if pod.component not in STORES:
            assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod.spec["securityContext"].keys(), pod
            assert pod.spec["securityContext"]["runAsNonRoot"] is True, pod


def test_no_pod_has_a_token_of_the_cluster_or_the_addresses_of_others() -> None:
    for where, pod in pods():
        assert pod.spec["automountServiceAccountToken"] is False, where
        assert pod.spec["enableServiceLinks"] is False, where


def test_every_container_has_no_right_that_it_does_not_need() -> None:
    for where, container in containers():
        security = container.content["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, where
        assert security["readOnlyRootFilesystem"] is True, where
        assert security["capabilities"] == {"drop": ["ALL"]}, where
        assert not security.get("privileged"), where


def test_every_container_says_what_it_takes_and_how_much_memory_at_most() -> None:
    for where, container in containers():
        resources = container.content["resources"]
        assert resources["requests"].keys() >= {"cpu", "memory"}, where
        assert "memory" in resources["limits"], where


def test_every_server_is_asked_whether_it_started_lives_and_is_ready() -> None:
    for where, container in containers():
        if container.pod.owner.kind in SERVERS and not container.starts:
            assert container.content.keys() >= set(PROBES), where


def test_a_server_that_is_slow_to_answer_is_taken_out_before_it_is_killed() -> None:
    for where, container in containers():
        if container.pod.owner.kind in SERVERS and not container.starts:
            patience = {name: _patience(container.content[name]) for name in PROBES}
            assert patience["readinessProbe"] < patience["livenessProbe"], where
            assert patience["startupProbe"] >= 60, where


def _patience(probe: dict[str, Any]) -> float:
    """Seconds of failures until the probe counts as failed."""
    return float(probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3))


def test_what_a_server_may_take_to_leave_includes_its_drain() -> None:
    for where, container in containers():
        drain = at(container.content, "lifecycle", "preStop", "sleep", "seconds")
        if drain is not None:
            assert container.pod.spec["terminationGracePeriodSeconds"] >= drain + 10, where


def test_every_image_says_which_one() -> None:
    for where, container in containers():
        image = container.content["image"]
        assert re.fullmatch(r"[a-z0-9./-]+(:[0-9]+)?[a-z0-9./-]*(:[\w][\w.-]*|@sha256:[0-9a-f]{64})", image), image
        assert not image.endswith(":latest"), where


def test_every_job_ends_and_is_not_started_again_for_ever() -> None:
    jobs = [(name, job) for name, objects in every().items() for job in objects.all("Job")]
    assert jobs
    for name, job in jobs:
        spec = job.content["spec"]
        # A load test lasts as long as its values say, and is not tried again.
        assert spec["activeDeadlineSeconds"] > 0 if job.component != "loadtest" else spec["backoffLimit"] == 0, job
        assert 0 <= spec["backoffLimit"] <= 10, f"{name}: {job}"
        # An object that a controller deletes is one that GitOps makes again, for ever.
        assert "ttlSecondsAfterFinished" not in job.content["spec"], f"{name}: {job}"


def test_no_object_but_the_test_is_a_hook() -> None:
    hooks = {
        (each.component, each.annotations["helm.sh/hook"])
        for objects in every().values()
        for each in objects.ours
        if "helm.sh/hook" in each.annotations
    }
    assert {hook for _, hook in hooks} <= {"test"}, hooks


def test_nothing_is_left_empty_by_a_template() -> None:
    empty = [f"{name}: {each}: {path}" for name, objects in every().items()
             for each in objects.ours for path in _nothing(each.content)]  # fmt: skip
    assert empty == []


def _nothing(content: Any, path: str = "") -> Iterator[str]:
    if content is None:
        yield path
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in inner:
        yield from _nothing(value, f"{path}.{name}")


def test_no_variable_stands_twice_and_every_one_is_a_text() -> None:
    for where, container in containers():
        names = [each["name"] for each in container.content.get("env", [])]
        assert len(names) == len(set(names)), f"{where}: {names}"
        assert all(isinstance(value, str) for value in container.env.values()), f"{where}: {container.env}"


def test_no_number_is_written_with_an_exponent() -> None:
    for where, container in containers():
        texts = [*container.env.values(), *container.argv]
        assert not [text for text in texts if _EXPONENT.search(text)], where


def secrets(objects: Objects) -> set[str]:
    """Every value of the secrets that a render makes, and passwords inside them, in clear and in base64.

    Short ones are words that stand elsewhere, too.
    """
    found = set()
    for secret in objects.all("Secret"):
        plain = dict(secret.content.get("stringData", {}))
        plain |= {name: base64.b64decode(value).decode() for name, value in secret.content.get("data", {}).items()}
        for name, value in plain.items():
            if not name.endswith("username"):
                inner = re.findall(r"://[^:@/]+:([^@]+)@", value)
                long = [each for each in (value, *inner) if len(each) >= 8]
                found |= {text for each in long for text in (each, base64.b64encode(each.encode()).decode())}
    return found


def test_no_secret_stands_anywhere_but_in_a_secret() -> None:
    for name, objects in every().items():
        text = json.dumps([each.content for each in objects if each.kind != "Secret"]) + objects.notes
        shown = [secret for secret in secrets(objects) if secret in text]
        assert not shown, f"{name}: {len(shown)} secrets are shown"


def test_the_password_of_a_url_is_among_the_secrets_that_are_looked_for() -> None:
    assert "spoken-only-to-the-database" in secrets(every()["database.url"])
    assert len(secrets(every()["defaults"])) >= 20


# An image of the site's has no start of ours, which would read the file.
VARIABLES = {("training", "MLFLOW_TRACKING_PASSWORD")}


def test_secrets_are_files_and_no_variables() -> None:
    met = set()
    for where, container in containers():
        for each in container.content.get("env", []):
            if at(each, "valueFrom"):
                met.add((container.name, each["name"]))
                assert (container.name, each["name"]) in VARIABLES, where
    assert met == VARIABLES


@pytest.mark.parametrize("values", [{}, {"auth": {"enabled": False}}])
def test_what_is_generated_is_new_in_each_render_and_long_enough(values: dict[str, Any]) -> None:
    first, second = (render(values, upgrade=upgrade).one("Secret").content["data"] for upgrade in (False, True))
    assert first.keys() == second.keys()
    random = {name for name in first if first[name] != second[name]}
    assert {name for name in first if not name.endswith("username")} == random
    assert all(len(base64.b64decode(first[name])) >= 20 for name in random)
    assert GENERATED not in first.values()
