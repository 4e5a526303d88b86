from __future__ import annotations

from tests.cluster.platform import Platform
from tests.cluster.release import Release
from tests.e2e.harness import eventually

KINDS = (
    "pods", "deployments", "statefulsets", "replicasets", "jobs", "cronjobs", "services", "serviceaccounts",
    "configmaps", "poddisruptionbudgets", "horizontalpodautoscalers", "networkpolicies", "ingresses", "roles",
    "rolebindings",
)  # fmt: skip


def test_secrets_and_data_stay_when_it_goes_and_are_taken_over_when_it_comes_back(release: Release) -> None:
    from mlflow import MlflowClient

    release.install()
    platform = Platform(release)
    with platform.environment():
        client = MlflowClient(platform.tracking_uri)
        run_id = client.create_run("0").info.run_id
        client.log_metric(run_id, "kept", 1.5)
        client.log_text(run_id, "still here", "note.txt")
    secrets = release.secrets()

    release.uninstall()
    eventually(lambda: not release.objects("pods"), 120, "its pods gone")
    assert {kind: release.objects(kind) for kind in KINDS} == {kind: [] for kind in KINDS}
    assert release.names("secrets") == {"homeport"}
    assert len(release.names("persistentvolumeclaims")) == 2

    release.install()
    assert release.secrets() == secrets
    platform = Platform(release)
    with platform.environment():
        client = MlflowClient(platform.tracking_uri)
        assert client.get_run(run_id).data.metrics == {"kept": 1.5}
        assert [each.path for each in client.list_artifacts(run_id)] == ["note.txt"]
    release.uninstall()
