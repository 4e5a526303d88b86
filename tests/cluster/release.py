"""The chart as a release on the node: Helm's own engine, and the platform it makes as a client sees it."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import helm_python as helm
import requests

from tests.cluster.node import Node
from tests.e2e.harness import eventually

CHART = Path(__file__).resolve().parents[2] / "charts" / "homeport"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
_WAIT = 300  # seconds


class Release:
    """A release called `name` in a namespace of its own, in which Pod Security `restricted` is enforced."""

    def __init__(self, node: Node, namespace: str, name: str = "homeport") -> None:
        self.node, self.namespace, self.name = node, namespace, name
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": RESTRICTED}}
        node.apply([space])
        self._helm = helm.Config(kubeconfig_path=node.kubeconfig, namespace=namespace)

    # ── Helm ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def install(self, values: Mapping[str, Any] | None = None) -> float:
        """`helm install --wait`; how long it took, in seconds."""
        return self._timed("install", values)

    def upgrade(self, values: Mapping[str, Any] | None = None) -> float:
        """`helm upgrade --wait` with these values and no other; how long it took, in seconds."""
        return self._timed("upgrade", values)

    def rollback(self) -> None:
        """`helm rollback --wait` to the revision before."""
        self._helm.rollback(self.name, wait="watcher", timeout=_WAIT)

    def uninstall(self) -> None:
        """`helm uninstall --wait`."""
        self._helm.uninstall(self.name, wait="watcher", timeout=_WAIT)

    def test(self) -> str:
        """`helm test --logs`: what its pods wrote."""
        try:
            return str(self._helm.test(self.name, timeout=_WAIT, logs=True)["logs"])
        except helm.HelmError as error:
            raise AssertionError(f"helm test: {error}\n{self.kubectl('logs', f'{self.name}-round-trip')}") from error

    def _timed(self, action: str, values: Mapping[str, Any] | None) -> float:
        begin = time.monotonic()
        try:
            with helm.Chart.load(CHART) as chart:
                run = self._helm.install if action == "install" else self._helm.upgrade
                run(chart, self.name, dict(values or {}), namespace=self.namespace, wait="watcher", timeout=_WAIT)
        except helm.HelmError as error:
            raise AssertionError(f"helm {action}: {error}\n{self.described()}") from error
        return time.monotonic() - begin

    # ── its objects ──────────────────────────────────────────────────────────────────────────────────────────────

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Its objects of a kind."""
        selector = f"--selector=app.kubernetes.io/instance={self.name}"
        return self.node.objects(kind, f"--namespace={self.namespace}", selector)

    def names(self, kind: str) -> set[str]:
        """The names of everything of a kind in its namespace."""
        return {each["metadata"]["name"] for each in self.node.objects(kind, f"--namespace={self.namespace}")}

    def pods(self, component: str) -> list[dict[str, Any]]:
        """The pods of a component that are not on their way out."""
        return [
            pod
            for pod in self.objects("pods")
            if pod["metadata"]["labels"]["app.kubernetes.io/component"] == component
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def restarts(self) -> dict[str, int]:
        """How often each container was started again."""
        return {
            f"{pod['metadata']['name']}/{each['name']}": each["restartCount"]
            for pod in self.objects("pods")
            for kind in ("initContainerStatuses", "containerStatuses")
            for each in pod["status"].get(kind, [])
        }

    def kubectl(self, *words: str, timeout: float = 120) -> str:
        """kubectl in its namespace, which must succeed."""
        return self.node.kubectl(f"--namespace={self.namespace}", *words, timeout=timeout)

    def secret(self, key: str) -> str:
        """What a key of its generated Secret holds, as its notes tell a user to read it."""
        data = json.loads(self.kubectl("get", "secret", self.name, "--output=json"))["data"]
        return base64.b64decode(data[key]).decode()

    def secrets(self) -> dict[str, str]:
        """Every key of its generated Secret."""
        found = json.loads(self.kubectl("get", "secret", self.name, "--output=json"))["data"]
        assert isinstance(found, dict)
        return found

    def ready(self, component: str, count: int = 1) -> None:
        """Wait until so many pods of a component, and no other, are there and ready."""

        def all_ready() -> bool:
            pods = self.pods(component)
            states = [each["ready"] for pod in pods for each in pod["status"].get("containerStatuses", [])]
            return len(pods) == count and len(states) == count and all(states)

        eventually(all_ready, 240, f"{count} pods of {component} ready")

    def described(self) -> str:
        """What a person would look at: pods, events, the last lines of each container that is not well."""
        words = [["get", "pods", "--output=wide"], ["get", "events", "--sort-by=.lastTimestamp"]]
        words += [["logs", pod["metadata"]["name"], "--all-containers", "--tail=30"] for pod in self.objects("pods")]
        argv = [self.node.kubectl_command(f"--namespace={self.namespace}", *each) for each in words]
        said = [subprocess.run(each, capture_output=True, text=True, timeout=60, check=False) for each in argv]
        return "\n".join(each.stdout + each.stderr for each in said)[-12000:]

    # ── as a client sees it ──────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def forwarded(self, component: str, port: int) -> Iterator[str]:
        """`kubectl port-forward` to a component's Service, as the notes say: a URL on loopback."""
        command = self.node.kubectl_command(
            f"--namespace={self.namespace}", "port-forward", f"service/{self.name}-{component}", f":{port}"
        )
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        try:
            assert process.stdout is not None
            said = process.stdout.readline()  # Forwarding from 127.0.0.1:40123 -> 5000
            assert said.startswith("Forwarding from 127.0.0.1:"), said
            yield f"http://{said.split()[2]}"
        finally:
            process.kill()
            process.communicate()

    @contextmanager
    def client(self) -> Iterator[dict[str, str]]:
        """The environment of MLflow's own client, logged in as the administrator."""
        with self.forwarded("tracking", 5000) as url:
            yield {
                "MLFLOW_TRACKING_URI": url,
                "MLFLOW_TRACKING_USERNAME": "admin",
                "MLFLOW_TRACKING_PASSWORD": self.secret("admin-password"),
                "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            }

    def service(self, component: str, port: int) -> str:
        """The URL of a component's Service, for clients inside of the node."""
        return f"http://{self.name}-{component}.{self.namespace}.svc.cluster.local:{port}"


def served(url: str, key: str, model: str, version: str) -> None:
    """Wait until a serving pod serves this version of a model."""

    def there() -> bool:
        answer = requests.get(f"{url}/status", headers={"authorization": f"Bearer {key}"}, timeout=10)
        rows = {row["name"]: row for row in answer.json()["models"]} if answer.status_code == 200 else {}
        return version in json.dumps(rows.get(model, {}))

    eventually(there, 90, f"{model}/{version} served")
