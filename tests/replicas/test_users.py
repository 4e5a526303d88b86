"""What one replica changes about users, passwords and permissions is true at the others within five seconds."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
import requests

from tests.e2e.harness import eventually
from tests.replicas.conftest import MakeCluster
from tests.replicas.hosts import ADMIN, PASSWORDS, Cluster, Replica

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]

_SEEN = 5.0  # seconds, docs/adr/0013
_AS_ADMIN = (ADMIN, PASSWORDS[ADMIN])
_ANN = ("ann", "password-of-ann-1")
_API, _GRANTS = "/api/2.0/mlflow", "/api/3.0/mlflow"


def _admin(replica: Replica, method: str, path: str, *, api: str = _API, **body: object) -> requests.Response:
    answer = requests.request(method, f"{replica.url}{api}{path}", json=body, auth=_AS_ADMIN, timeout=30)
    assert answer.ok, answer.text
    return answer


def _passed(replica: Replica, auth: tuple[str, str]) -> int:
    """A request that MLflow itself answers."""
    asked = f"{replica.url}{_API}/registered-models/search?max_results=1&filter=name+LIKE+'x%25'"
    return requests.get(asked, auth=auth, timeout=30).status_code


def _fast(replica: Replica, auth: tuple[str, str], run: str) -> int:
    """A request that the front answers."""
    return requests.get(f"{replica.url}{_API}/runs/get?run_id={run}", auth=auth, timeout=30).status_code


def _run(cluster: Cluster) -> tuple[str, str]:
    """(experiment, run) of the administrator's."""
    first = cluster.tracking[0]
    experiment = str(_admin(first, "POST", "/experiments/create", name="private").json()["experiment_id"])
    made = _admin(first, "POST", "/runs/create", experiment_id=experiment, start_time=1).json()
    return experiment, str(made["run"]["info"]["run_id"])


def _soon(cluster: Cluster, check: Callable[[Replica], bool], what: str) -> None:
    """It holds at every replica within the stated time, and stays so."""
    begun = time.monotonic()
    for replica in cluster.tracking:
        eventually(lambda replica=replica: check(replica), _SEEN, f"{what} at {replica.name}")  # type: ignore[misc]  # a default argument
    assert time.monotonic() - begun < _SEEN
    assert all(check(replica) for replica in cluster.tracking for _ in range(3))


@pytest.mark.parametrize("lane", ["auto", "off"])
def test_users_made_changed_and_deleted_at_one_replica_are_so_at_the_others(replicas: MakeCluster, lane: str) -> None:
    cluster = replicas(tracking=3, auth=True, environ={"tracking": {"HOMEPORT_FASTLANE": lane}})
    first, second, third = cluster.tracking
    _, run = _run(cluster)
    _admin(first, "POST", "/users/create", username=_ANN[0], password=_ANN[1])
    _soon(cluster, lambda r: _passed(r, _ANN) == 200 and _fast(r, _ANN, run) == 200, "ann known")
    _admin(second, "PATCH", "/users/update-password", username=_ANN[0], password="another-password-2")
    _soon(cluster, lambda r: _passed(r, _ANN) == 401 and _fast(r, _ANN, run) == 401, "the old password refused")
    new = (_ANN[0], "another-password-2")
    _soon(cluster, lambda r: _passed(r, new) == 200 and _fast(r, new, run) == 200, "the new password taken")
    _admin(third, "DELETE", "/users/delete", username=_ANN[0])
    _soon(cluster, lambda r: _passed(r, new) == 401 and _fast(r, new, run) == 401, "ann unknown")


def test_a_permission_revoked_at_one_replica_is_gone_at_the_others(replicas: MakeCluster) -> None:
    cluster = replicas(tracking=3, auth=True)
    first, second, third = cluster.tracking
    experiment, run = _run(cluster)
    _admin(first, "POST", "/users/create", username=_ANN[0], password=_ANN[1])
    who = {"username": _ANN[0], "resource_type": "experiment", "resource_id": experiment}
    _admin(second, "POST", "/users/permissions/grant", api=_GRANTS, **who, permission="EDIT")
    _soon(cluster, lambda r: _writes(r, run) == 200, "ann may write")
    _admin(first, "POST", "/users/permissions/revoke", api=_GRANTS, **who)
    _soon(cluster, lambda r: _writes(r, run) == 403 and _fast(r, _ANN, run) == 200, "ann may read only")
    _admin(third, "POST", "/users/permissions/grant", api=_GRANTS, **who, permission="DENY")
    _soon(cluster, lambda r: _fast(r, _ANN, run) == 403, "ann may nothing")


def test_a_form_that_one_replica_gave_out_is_taken_by_another(replicas: MakeCluster) -> None:
    cluster = replicas(tracking=2, auth=True)
    first, second = cluster.tracking
    with requests.Session() as browser:
        browser.auth = _AS_ADMIN
        form = browser.get(f"{first.url}/signup", timeout=30)
        assert form.ok, form.text
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"|value="([^"]+)"[^>]*name="csrf_token"', form.text)
        assert token, form.text[:2000]
        cookies = {cookie.name: str(cookie.value) for cookie in browser.cookies}
        fields = {"username": "ben", "password": "password-of-ben-1", "csrf_token": token[1] or token[2]}
        sent = requests.post(
            f"{second.url}/api/2.0/mlflow/users/create-ui", data=fields, cookies=cookies, auth=_AS_ADMIN, timeout=30
        )
        assert sent.ok, sent.text
    assert _passed(first, ("ben", "password-of-ben-1")) == 200


def _writes(replica: Replica, run: str) -> int:
    body = {"run_id": run, "key": "m", "value": 1.0, "timestamp": 1, "step": 1}
    return requests.post(f"{replica.url}{_API}/runs/log-metric", json=body, auth=_ANN, timeout=30).status_code
