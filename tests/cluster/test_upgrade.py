from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.platform import ROW, Platform
from tests.cluster.release import Release
from tests.cluster.traffic import Request, Traffic

# So that three of each, and one more while they roll, fit on a node of two cores.
SMALL = {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}}}
TRIAL = {"tracking": SMALL, "serving": SMALL}
THREE = {"tracking": {**SMALL, "replicas": 3}, "serving": {**SMALL, "replicas": 3}}
RATE = 20.0  # requests a second to each


@pytest.fixture(scope="module")
def platform(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    release.install(TRIAL)
    made = Platform(release)
    made.constant("steady", 2.5, tmp_path_factory.mktemp("model"))
    yield made
    release.uninstall()


def traffic(platform: Platform, directory: Path, *, keep: bool) -> tuple[Traffic, Traffic]:
    inside, release = platform.release.node.inside(), platform.release
    tracking = Request(
        f"{release.service('tracking', 5000)}/api/2.0/mlflow/experiments/search?max_results=5",
        {"authorization": _basic(*platform.login)},
        keep=keep,
    )
    serving = Request(f"{release.service('serving', 5002)}/models/steady/invocations", platform.key, ROW, keep=keep)
    return Traffic(inside, tracking, directory, RATE), Traffic(inside, serving, directory, RATE)


def _basic(user: str, password: str) -> str:
    from requests.auth import _basic_auth_str

    return _basic_auth_str(user, password)


def uids(release: Release, kind: str) -> dict[str, str]:
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in release.objects(kind)}


def test_the_same_values_again_change_no_secret_and_run_and_start_nothing(platform: Platform) -> None:
    release = platform.release
    before = release.secrets(), uids(release, "jobs"), uids(release, "pods")
    release.upgrade(TRIAL)
    assert (release.secrets(), uids(release, "jobs"), uids(release, "pods")) == before


def test_another_image_runs_its_migration_and_rolls_without_a_failed_request(
    platform: Platform, tmp_path: Path
) -> None:
    release = platform.release
    jobs, secrets = uids(release, "jobs"), release.secrets()
    to_tracking, to_serving = traffic(platform, tmp_path, keep=False)
    with to_tracking, to_serving:
        release.upgrade({**TRIAL, "image": {"tag": "next"}})
        release.ready("tracking")
        release.ready("serving")
    assert (to_tracking.failed(), to_serving.failed()) == ([], [])
    assert len(to_tracking.answers()) > 100
    assert not set(uids(release, "jobs")) & set(jobs)
    assert release.secrets() == secrets
    (pod,) = release.pods("tracking")
    assert pod["spec"]["containers"][0]["image"].endswith(":next")


@pytest.mark.parametrize("keep", [False, True], ids=["a connection a request", "connections kept"])
def test_three_replicas_of_each_roll_without_a_failed_request(platform: Platform, tmp_path: Path, keep: bool) -> None:
    release = platform.release
    release.upgrade(THREE)
    release.ready("tracking", 3)
    release.ready("serving", 3)
    before = uids(release, "pods")
    to_tracking, to_serving = traffic(platform, tmp_path, keep=keep)
    with to_tracking, to_serving:
        for component in ("tracking", "serving"):
            release.kubectl("rollout", "restart", f"deployment/{release.name}-{component}")
            release.kubectl(
                "rollout", "status", f"deployment/{release.name}-{component}", "--timeout=300s", timeout=310
            )
        release.ready("tracking", 3)
        release.ready("serving", 3)
    pods = {pod["metadata"]["uid"] for component in ("tracking", "serving") for pod in release.pods(component)}
    assert not pods & set(before.values())
    assert (to_tracking.failed(), to_serving.failed()) == ([], [])


def test_a_rollback_goes_back_to_the_image_before(platform: Platform) -> None:
    release = platform.release
    release.upgrade({**TRIAL, "image": {"tag": "next"}})
    release.upgrade(TRIAL)
    release.rollback()
    release.ready("tracking")
    (pod,) = release.pods("tracking")
    assert pod["spec"]["containers"][0]["image"].endswith(":next")
    assert platform.predict("steady") == ("1", 2.5)
