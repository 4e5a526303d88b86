from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.cluster.platform import ROW, Platform
from tests.cluster.release import Release


@pytest.fixture(scope="module")
def installed(release: Release) -> Iterator[Release]:
    seconds = release.install()
    print(f"helm install --wait: {seconds:.0f} s")  # noqa: T201 - what the README of this folder quotes
    yield release
    release.uninstall()


def test_a_release_without_a_value_becomes_ready_among_restricted_pods_and_nothing_is_started_twice(
    installed: Release,
) -> None:
    for component in ("database", "objectstore", "tracking", "serving"):
        installed.ready(component)
    jobs = installed.objects("jobs")
    assert {job["metadata"]["labels"]["app.kubernetes.io/component"] for job in jobs} >= {
        "tracking-migrate",
        "objectstore-init",
    }
    assert [job["status"].get("succeeded") for job in jobs] == [1] * len(jobs)
    restarts = {name: count for name, count in installed.restarts().items() if count}
    assert restarts == {}


def test_its_namespace_refuses_a_pod_that_is_not_restricted(installed: Release) -> None:
    """The enforcement is real: what the chart's pods passed is not passed by any pod."""
    with pytest.raises(AssertionError, match='violates PodSecurity "restricted'):
        installed.kubectl("run", "loose", "--image=homeport.test/pause:1")


def test_a_user_reaches_it_by_the_port_forward_of_its_notes_and_nobody_without_the_password(
    installed: Release,
) -> None:
    with installed.forwarded("tracking", 5000) as url:
        assert requests.get(f"{url}/health", timeout=30).status_code == 200
        search = f"{url}/api/2.0/mlflow/experiments/search?max_results=1"
        assert requests.get(search, timeout=30).status_code == 401
        assert requests.get(search, auth=("admin", "password1234"), timeout=30).status_code == 401
        login = ("admin", installed.secret("admin-password"))
        assert requests.get(search, auth=login, timeout=30).status_code == 200
    with installed.forwarded("serving", 5002) as url:
        assert requests.get(f"{url}/status", timeout=30).status_code == 401


def test_a_run_its_artifact_and_its_model_go_through_mlflows_client_and_the_model_is_served(
    installed: Release, tmp_path: Path
) -> None:
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    platform = Platform(installed)
    with platform.environment():
        client = MlflowClient(platform.tracking_uri)
        run = client.create_run("0")
        client.log_metric(run.info.run_id, "loss", 0.25, step=3)
        whole = tmp_path / "whole.bin"
        whole.write_bytes(bytes(range(256)) * 8192)
        client.log_artifact(run.info.run_id, str(whole))
        assert client.get_run(run.info.run_id).data.metrics == {"loss": 0.25}
        uri = f"{run.info.artifact_uri}/whole.bin"
        back = download_artifacts(artifact_uri=uri, dst_path=str(tmp_path / "back"), tracking_uri=platform.tracking_uri)
    assert Path(back).read_bytes() == whole.read_bytes()
    assert platform.constant("first", 4.5, tmp_path) == "1"
    assert platform.constant("first", 7.5, tmp_path) == "2"
    refused = requests.post(f"{platform.serving_url}/models/first/invocations", json=ROW, timeout=30)
    assert refused.status_code == 401


def test_pods_reach_each_other_by_name_and_hold_no_key_of_the_cluster(installed: Release) -> None:
    look = "import os, socket; print(socket.gethostbyname('homeport-tracking'), os.path.exists('/var/run/secrets'))"
    (pod,) = installed.pods("serving")
    said = installed.kubectl("exec", pod["metadata"]["name"], "--", "python", "-c", look).split()
    addresses = {each["metadata"]["name"]: each["spec"]["clusterIP"] for each in installed.objects("services")}
    assert said == [addresses["homeport-tracking"], "False"]


def test_helm_test_passes(installed: Release) -> None:
    installed.test()


def test_every_object_of_the_release_says_which_part_it_is(installed: Release) -> None:
    text = installed.kubectl("get", "all", "--output=json")
    for each in json.loads(text)["items"]:
        assert each["metadata"]["labels"]["app.kubernetes.io/component"], each["metadata"]["name"]
