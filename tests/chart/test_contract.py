"""The chart runs the same platform as every other target: what differs from the graph stands here, with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from homeport.model.graph import Graph, Node
from homeport.model.service import ExecProbe, HttpProbe, Job, Service, Target
from homeport.services import images
from homeport.settings import load
from homeport.stack import build
from tests.chart.cases import CASES
from tests.chart.expected import ChartValues, bytes_of, same
from tests.chart.rendering import RELEASE, Container, Objects, Values, at, render

NOT_ON_KUBERNETES = {
    "gateway": "an Ingress or a Gateway of the cluster",
    "gateway-init": "cert-manager, or a certificate of the site's",
    "dbadmin": "kubectl port-forward to the database and any client",
    "prometheus": "the cluster's own, by a ServiceMonitor",
    "grafana": "the cluster's own, by the dashboard's ConfigMap",
}
OF_OTHERS = ("database", "objectstore")
ON_DEMAND = {name: {name: {"enabled": True}} for name in ("training", "loadtest")}
_OPTION = "a Job is told by values what elsewhere its command line says"
# variable -> why only the chart has it, on every container of ours
MORE_EVERYWHERE = {
    "HOMEPORT_SECRETS_DIRECTORY": "clouds mount tokens of their own below /var/run/secrets, which is /run/secrets",
}
# (node, variable) -> why only the chart has it
MORE = {
    ("tracking", "HOMEPORT_DRAIN_SECONDS"): "what its grace period leaves; elsewhere the graph's time to stop is fixed",
    (
        "serving",
        "HOMEPORT_SERVING_ONE_OF_MANY",
    ): "a rollout must not replace a pod that serves by one that does not yet",
    ("objectstore-init", "MLFLOW_DISABLE_TELEMETRY"): "one block for every container of ours",
    ("objectstore-init", "DO_NOT_TRACK"): "as MLFLOW_DISABLE_TELEMETRY",
    ("serving-migrate", "MLFLOW_DISABLE_TELEMETRY"): "as above",
    ("serving-migrate", "DO_NOT_TRACK"): "as above",
    ("tracking", "GOOGLE_APPLICATION_CREDENTIALS"): "a mounted file; plain processes inherit the caller's variable",
    ("tracking", "AWS_CONFIG_FILE"): "the keys are all there is in a pod, so artifacts can be streamed past MLflow",
    ("tracking", "AWS_SHARED_CREDENTIALS_FILE"): "as AWS_CONFIG_FILE",
    ("objectstore-init", "AWS_CONFIG_FILE"): "as AWS_CONFIG_FILE of tracking",
    ("objectstore-init", "AWS_SHARED_CREDENTIALS_FILE"): "as AWS_CONFIG_FILE of tracking",
    **{("loadtest", f"LOCUST_{name}"): _OPTION for name in ("USERS", "SPAWN_RATE", "RUN_TIME")},
    **{
        ("loadtest", f"HOMEPORT_LOAD_{name}"): _OPTION
        for name in ("PROCESSES", "SHARES", "PAUSE", "MODEL", "PROMETHEUS", "REPORT")
    },
}
# (node, variable) -> why its value is another
OTHER_VALUES = {
    ("tracking", "MLFLOW_SERVER_ALLOWED_HOSTS"): "a Service has longer names than a container; see the test of its own",
    (
        "tracking",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    ): "without a domain there is a port-forward, not mlflow.localhost",
}
# variable of a setting -> what the chart has by itself, and why
OTHER_DEFAULTS = {"HOMEPORT_MAX_CONNECTIONS": ("300", "two replicas during a rollout; the graph counts one")}
# (who, needs whom) -> how that is said in the chart
ORDER = {
    ("tracking-migrate", "database"): "asks",
    ("objectstore-init", "objectstore"): "asks",
    ("tracking", "tracking-migrate"): "waits",
    ("tracking", "objectstore"): "waits",
    ("tracking", "objectstore-init"): "waits",
    # Serving must survive tracking's absence: it is ready with what it has, and looks again.
    ("serving", "tracking"): "not at all",
    # The log of predictions buffers and tries again; a prediction is never late because its log is.
    ("serving", "serving-migrate"): "not at all",
    # It runs on a schedule, long after; a run that meets no server fails and is seen.
    ("training", "tracking"): "not at all",
    # It is asked for once the platform is there, and says at once when it is not.
    ("loadtest", "tracking"): "not at all",
    ("loadtest", "serving"): "not at all",
}
PATIENCE = {"tracking-migrate": "HOMEPORT_DATABASE_TIMEOUT", "objectstore-init": "HOMEPORT_BUCKET_TIMEOUT"}


@cache
def graph(case: str) -> Graph:
    """The platform by its settings, as containers."""
    return build(load({}, environ=CASES[case].environ, directory=Path("/nonexistent")), target=Target.CONTAINERS)


def rendered(case: str, more: Values | None = None) -> Objects:
    """The platform by the chart's values."""
    return render({**CASES[case].values, **(more or {})})


def nodes() -> Iterator[tuple[str, Node, Container]]:
    """Each service and job of each case, and its container in the chart."""
    for case in CASES:
        for node in graph(case):
            if node.name not in NOT_ON_KUBERNETES:
                yield case, node, rendered(case, ON_DEMAND.get(node.name)).pod(node.name).main


def values(case: str) -> ChartValues:
    """What the graph's values come to."""
    chosen = {name: value for name, (value, _) in OTHER_DEFAULTS.items()}
    return ChartValues(graph(case), RELEASE, chosen | dict(CASES[case].environ))


@pytest.mark.parametrize("case", CASES)
def test_every_part_of_the_graph_is_in_the_chart_and_nothing_else_is(case: str) -> None:
    wanted = {node.name for node in graph(case) if node.name not in (*NOT_ON_KUBERNETES, *ON_DEMAND)}
    assert {pod.component for pod in rendered(case).pods if "helm.sh/hook" not in pod.owner.annotations} == wanted


def test_what_is_on_demand_is_there_when_it_is_asked_for() -> None:
    kinds = {name: render(more).pod(name).owner.kind for name, more in ON_DEMAND.items()}
    assert kinds == {"training": "CronJob", "loadtest": "Job"}


def test_services_go_on_and_jobs_end() -> None:
    for case, node, container in nodes():
        kinds = ("Job", "CronJob") if isinstance(node, Job) else ("Deployment", "StatefulSet")
        assert container.pod.owner.kind in kinds, f"{case}: {node.name}"
        if isinstance(node, Job):
            assert container.pod.spec["restartPolicy"] == "Never", f"{case}: {node.name}"


def test_the_same_command_is_run() -> None:
    for case, node, container in nodes():
        assert container.argv == values(case).command(node), f"{case}: {node.name}"


def test_our_image_starts_by_its_own_entry_point_and_the_store_by_a_shell() -> None:
    for case, node, container in nodes():
        # `command` takes the place of the entry point, which fills in the secrets.
        assert ("command" in container.content) == bool(node.container.entrypoint), f"{case}: {node.name}"
        own = "-".join(filter(None, ("homeport", node.container.variant)))
        image = node.container.image or f"ghcr.io/homeport/{own}:{_app_version()}"
        assert container.content["image"] == image, f"{case}: {node.name}"


def _app_version() -> str:
    from homeport import __version__

    return __version__


def test_every_variable_has_the_same_name_and_the_same_value() -> None:
    for case, node, container in nodes():
        wanted, there = values(case).environment(node), container.env
        missing = wanted.keys() - there.keys()
        assert not missing, f"{case}: {node.name} lacks {missing}"
        other = {name for name in wanted if not same(there[name], wanted[name])}
        assert {(node.name, name) for name in other} <= OTHER_VALUES.keys(), (
            f"{case}: {[(name, there[name], wanted[name]) for name in sorted(other)]}"
        )


def test_the_chart_gives_no_variable_that_the_graph_does_not_know() -> None:
    for case, node, container in nodes():
        more = {(node.name, name) for name in container.env.keys() - values(case).environment(node).keys()}
        ours = set() if node.name in OF_OTHERS else {(node.name, name) for name in MORE_EVERYWHERE}
        assert more - ours <= MORE.keys(), f"{case}: {more - ours - MORE.keys()}"
        assert ours <= more, f"{case}: {node.name}"


def test_the_same_secrets_are_mounted_and_no_others() -> None:
    for case, node, container in nodes():
        there = {path for _, _, path in container.pod.secret_files}
        assert there - {"google-key.json"} == values(case).secrets(node), f"{case}: {node.name}"


def test_what_waits_is_told_what_tracking_is_told() -> None:
    for case in CASES:
        pod = rendered(case).pod("tracking")
        (wait,) = (each for each in pod.containers if each.starts)
        assert wait.argv == ("python", "-m", "homeport.tracking.waiting"), case
        own = {"HOMEPORT_WAIT_SECONDS"}
        assert wait.env.keys() - own <= pod.main.env.keys(), case
        assert {name: pod.main.env[name] for name in wait.env.keys() - own} == {
            name: wait.env[name] for name in wait.env.keys() - own
        }, case
        wanted = {name for name in pod.main.env if name.startswith(("AWS_", "MLFLOW_S3_", "MLFLOW_BACKEND_STORE_URI"))}
        assert wanted <= wait.env.keys(), case


def test_the_order_of_the_graph_is_kept_in_the_way_that_is_written_here() -> None:
    met = set()
    for case, node, container in nodes():
        for need in node.needs:
            how = ORDER[node.name, need]
            met.add((node.name, need))
            starts = [each.argv[-1] for each in container.pod.containers if each.starts]
            assert starts == (["homeport.tracking.waiting"] if how == "waits" else []), f"{case}: {node.name}"
            if how == "asks":
                assert int(container.env[PATIENCE[node.name]]) >= 30, f"{case}: {node.name}"
                assert container.pod.owner.content["spec"]["backoffLimit"] >= 5, f"{case}: {node.name}"
    assert met == ORDER.keys()


def test_the_same_ports_are_open_and_reached_through_a_service() -> None:
    for case, node, container in nodes():
        if isinstance(node, Service):
            assert sorted(container.ports.values()) == sorted(port.number for port in node.ports), (
                f"{case}: {node.name}"
            )
            service = rendered(case).one("Service", node.name)
            assert service.name == f"{RELEASE}-{node.name}"
            assert [port["port"] for port in service.content["spec"]["ports"]] == [port.number for port in node.ports]


def test_the_same_page_says_that_it_is_ready_and_as_much_patience_is_had() -> None:
    for case, node, container in nodes():
        if not isinstance(node, Service) or node.probe is None:
            continue
        ready, start = container.content["readinessProbe"], container.content["startupProbe"]
        if isinstance(node.probe.check, HttpProbe):
            assert at(ready, "httpGet", "path") == node.probe.check.path, f"{case}: {node.name}"
        elif node.name == "database":
            assert isinstance(node.probe.check, ExecProbe)
            asked = [values(case).text(part, node.name) for part in node.probe.check.command]
            assert at(ready, "exec", "command") == asked, case
        else:
            # The kubelet asks by itself what the container's wget asks in Compose.
            assert isinstance(node.probe.check, ExecProbe)
            assert str(node.probe.check.command[-1]).endswith(at(ready, "httpGet", "path")), case
        patience = start.get("periodSeconds", 10) * start.get("failureThreshold", 3)
        assert patience >= node.probe.start_timeout, f"{case}: {node.name}"


def test_what_is_alive_is_not_what_is_ready() -> None:
    alive = {
        name: render().pod(name).main.content["livenessProbe"]["httpGet"]["path"] for name in ("tracking", "serving")
    }
    assert alive == {"tracking": "/health", "serving": "/live"}


def test_each_has_the_time_to_stop_that_the_graph_gives_it_after_its_drain() -> None:
    for case, node, container in nodes():
        drain = at(container.content, "lifecycle", "preStop", "sleep", "seconds") or 0
        grace = container.pod.spec.get("terminationGracePeriodSeconds", 30)
        assert grace - drain >= node.stop_timeout, f"{case}: {node.name}"


def test_each_has_the_memory_that_the_graph_gives_it_and_runs_as_the_same_user() -> None:
    for case, node, container in nodes():
        limit = container.content["resources"]["limits"]["memory"]
        assert bytes_of(limit) >= bytes_of(node.container.memory), f"{case}: {node.name}"
        security = container.pod.spec["securityContext"]
        user = node.container.user or images.USER
        assert "{runAsUser}:{runAsGroup}".format(**security) == user, f"{case}: {node.name}"


def test_each_may_write_where_the_graph_lets_it_and_keeps_what_the_graph_keeps() -> None:
    for case, node, container in nodes():
        kept = {volume.mount for volume in node.volumes}
        assert kept | set(node.container.tmpfs) <= container.mounts.keys(), f"{case}: {node.name}"
        if container.pod.owner.kind == "StatefulSet":
            claims = {
                at(each, "metadata", "name") for each in container.pod.owner.content["spec"]["volumeClaimTemplates"]
            }
            assert {container.mounts[mount] for mount in kept} == claims, f"{case}: {node.name}"


def test_tracking_may_be_called_by_every_name_that_leads_to_it() -> None:
    for case, domain in (("trial", ""), ("production", "mlflow.ml.example.org")):
        objects = rendered(case)
        hosts = set(objects.pod("tracking").main.env["MLFLOW_SERVER_ALLOWED_HOSTS"].split(","))
        service = objects.one("Service", "tracking").name
        names = {
            service,
            f"{service}.mlflow",
            f"{service}.mlflow.svc",
            f"{service}.mlflow.svc.cluster.local",
            "localhost",
        }
        names |= {domain} if domain else set()
        assert hosts >= names | {f"{name}:*" for name in names}, case
        origins = objects.pod("tracking").main.env["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"]
        assert origins == (
            f"https://{domain},https://{domain}:*" if domain else "http://localhost:*,http://127.0.0.1:*"
        )


@pytest.mark.parametrize("table", [MORE, OTHER_VALUES], ids=["more", "other"])
def test_every_exception_named_here_is_still_one(table: Mapping[tuple[str, str], str]) -> None:
    met: set[tuple[str, Any]] = set()
    for case, node, container in nodes():
        wanted, there = values(case).environment(node), container.env
        met |= {(node.name, name) for name in there.keys() - wanted.keys()}
        met |= {(node.name, name) for name in wanted if not same(there.get(name, ""), wanted[name])}
    assert table.keys() <= met


def test_every_part_that_is_not_on_kubernetes_is_in_the_graph() -> None:
    assert set(NOT_ON_KUBERNETES) <= {node.name for node in graph("trial")}
