"""What one object says of another is true: selectors, ports, volumes, keys of secrets, names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.chart.matrix import changed, every, known, sites
from tests.chart.rendering import Object, Objects, Pod, at, merged, render

# Services that select other pods than those of their own component: the end of the name -> components.
OTHER_PODS = {
    "nobody": [],  # what is not answered from outside leads there
    "serving-replicas": ["serving"],  # every replica by its own address
}
# A controller makes names and labels from these (Kubernetes, ValidateCronJob; a StatefulSet's revision is a label).
LONGEST = {"StatefulSet": 52, "CronJob": 52}
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
RELEASES = ["a", "x" * 53, "x" * 39 + "-" + "y" * 13, "a.b", "1st", "123", "homeport-homeport", "on"]


def renders() -> Iterator[tuple[str, Objects]]:
    """The matrix."""
    yield from every().items()


def selected(objects: Objects, selector: Mapping[str, Any]) -> list[Pod]:
    """The pods that a label selector, or a Service's plain one, selects."""
    wanted = selector.get("matchLabels", {}) if {"matchLabels", "matchExpressions"} & selector.keys() else selector
    found = [pod for pod in objects.pods if wanted.items() <= pod.labels.items()]
    for each in selector.get("matchExpressions", []):
        found = [pod for pod in found if _matches(pod.labels.get(each["key"]), each)]
    return found


def _matches(value: str | None, expression: Mapping[str, Any]) -> bool:
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None


def test_every_workload_selects_its_own_pods_and_no_others() -> None:
    for name, objects in renders():
        for pod in objects.pods:
            if selector := at(pod.owner.content, "spec", "selector"):
                assert [str(each) for each in selected(objects, selector)] == [str(pod)], f"{name}: {pod}"


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
def test_services_and_budgets_select_the_pods_of_their_component(kind: str) -> None:
    found = 0
    for name, objects in renders():
        for each in objects.all(kind):
            pods = [pod.component for pod in selected(objects, each.content["spec"]["selector"])]
            wanted = OTHER_PODS.get(each.name.removeprefix(f"{objects.fullname}-"), [each.component])
            assert pods == wanted, f"{name}: {each}"
            found += 1
    assert found


def test_every_port_of_a_service_is_one_of_the_pods_behind_it() -> None:
    for name, objects in renders():
        for service in objects.all("Service"):
            for pod in selected(objects, service.content["spec"]["selector"]):
                for port in service.content["spec"]["ports"]:
                    assert port["targetPort"] in pod.main.ports, f"{name}: {service}: {port}"


def test_every_probe_asks_a_port_of_its_container() -> None:
    for name, objects in renders():
        for container in objects.containers:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                port = at(container.content, probe, "httpGet", "port")
                assert port is None or port in container.ports, f"{name}: {container}: {probe}"


def test_every_mount_has_a_volume_and_every_volume_a_mount() -> None:
    for name, objects in renders():
        for pod in objects.pods:
            mounted = {volume for container in pod.containers for volume in container.mounts.values()}
            # A volume of the site's own may be for a container that something else puts there.
            assert mounted == pod.volumes.keys() - {"mine"} | mounted & {"mine"}, f"{name}: {pod}"


def test_every_file_of_a_secret_that_a_variable_names_is_mounted() -> None:
    for name, objects in renders():
        for container in objects.containers:
            there = {path for _, _, path in container.pod.secret_files}
            for variable, value in container.env.items():
                named = set(re.findall(r"^/etc/homeport/secrets/(.+)$", value))
                if variable.endswith("_TEMPLATE"):
                    named = set(re.findall(r"\{([a-z0-9-]+)\}", value))
                assert named <= there, f"{name}: {container}: {variable}={value}"


def test_every_mounted_secret_is_read_by_a_container() -> None:
    for name, objects in renders():
        for pod in objects.pods:
            text = " ".join(value for container in pod.containers for value in container.env.values())
            unread = {path for _, _, path in pod.secret_files if path not in text}
            assert not unread, f"{name}: {pod}: nobody reads {unread}"


def test_every_key_that_is_read_is_in_the_secret_that_the_chart_makes() -> None:
    for name, objects in renders():
        made = {each.name: _keys(each) for each in objects.all("Secret")}
        for where, secret, key in (*_mounted(objects), *_scraped(objects)):
            assert secret, f"{name}: {where}: a Secret without a name"
            if secret in made:
                assert key in made[secret], f"{name}: {where}: {secret} has no {key}"
            else:
                assert f'"{secret}"' in objects.values, f"{name}: {where}: nobody makes {secret}, and no value names it"


def _keys(secret: Object) -> set[str]:
    return {*secret.content.get("data", {}), *secret.content.get("stringData", {})}


def _mounted(objects: Objects) -> Iterator[tuple[str, str, str]]:
    for pod in objects.pods:
        yield from ((str(pod), secret, key) for secret, key, _ in pod.secret_files)


def _scraped(objects: Objects) -> Iterator[tuple[str, str, str]]:
    for monitor in objects.all("ServiceMonitor"):
        for endpoint in monitor.content["spec"]["endpoints"]:
            for reference in (
                at(endpoint, "authorization", "credentials"),
                at(endpoint, "basicAuth", "username"),
                at(endpoint, "basicAuth", "password"),
            ):
                if reference:
                    yield str(monitor), reference["name"], reference["key"]


def test_what_asks_for_metrics_finds_the_port_and_may_come_in() -> None:
    for name, objects in renders():
        for monitor in objects.all("ServiceMonitor"):
            wanted = monitor.content["spec"]["selector"]["matchLabels"]
            services = [each for each in objects.all("Service") if wanted.items() <= each.labels.items()]
            assert [each.component for each in services] == [monitor.component], f"{name}: {monitor}"
            (endpoint,) = monitor.content["spec"]["endpoints"]
            assert endpoint["port"] in {port["name"] for port in services[0].content["spec"]["ports"]}, (
                f"{name}: {monitor}"
            )
            asked = at(services[0].content, "spec", "selector")
            auth = selected(objects, asked)[0].main.env["HOMEPORT_AUTH"] == "basic"
            assert bool({"authorization", "basicAuth"} & endpoint.keys()) == auth, f"{name}: {monitor}"


def test_what_scales_scales_a_deployment_that_does_not_say_how_many() -> None:
    found = 0
    for name, objects in renders():
        for scaler in objects.all("HorizontalPodAutoscaler"):
            target = scaler.content["spec"]["scaleTargetRef"]
            deployment = objects.one(target["kind"], name=target["name"])
            assert deployment.component == scaler.component, f"{name}: {scaler}"
            assert "replicas" not in deployment.content["spec"], f"{name}: {scaler}"
            found += 1
    assert found


def test_every_way_in_leads_to_a_port_of_a_service_under_its_own_name() -> None:
    kinds = set()
    for name, objects in renders():
        for host, service, port in _ways_in(objects):
            found = objects.one("Service", name=service)
            if service.endswith("-nobody"):
                continue
            ports = {number for each in found.content["spec"]["ports"] for number in (each["name"], each["port"])}
            assert port in ports, f"{name}: {host}"
            assert host.partition(".")[0] == {"tracking": "mlflow", "serving": "models"}[found.component], (
                f"{name}: {host}"
            )
        kinds |= {each.kind for each in objects if each.kind in ("Ingress", "HTTPRoute")}
    assert kinds == {"Ingress", "HTTPRoute"}


def _ways_in(objects: Objects) -> Iterator[tuple[str, str, str | int]]:
    for ingress in objects.all("Ingress"):
        hosts = {host for each in ingress.content["spec"].get("tls", []) for host in each["hosts"]}
        for rule in ingress.content["spec"]["rules"]:
            assert not hosts or rule["host"] in hosts, f"{ingress}: no certificate for {rule['host']}"
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield rule["host"], service["name"], next(iter(service["port"].values()))
    for route in objects.all("HTTPRoute"):
        (host,) = route.content["spec"]["hostnames"]
        for rule in route.content["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                yield host, backend["name"], backend["port"]


def test_without_a_domain_there_is_no_way_in_and_with_one_there_are_two() -> None:
    assert not render().all("Ingress")
    hosts = {host for host, _, _ in _ways_in(render({"domain": "ml.example.org"}))}
    assert hosts == {"mlflow.ml.example.org", "models.ml.example.org"}


def test_every_address_inside_the_cluster_is_a_port_of_a_service() -> None:
    met = set()
    for name, objects in renders():
        ports = {
            f"{each.name}:{port['port']}": each
            for each in objects.all("Service")
            for port in at(each.content, "spec", "ports")
        }
        for container in objects.containers:
            for variable, value in container.env.items():
                # A name without a dot is one of this namespace.
                for address in re.findall(r"(?:://|@)([a-z][-a-z0-9]*:[0-9]+)", value):
                    assert address in ports, f"{name}: {container}: {variable}={value}"
                    met.add(ports[address].component)
    assert met >= {"database", "objectstore", "tracking", "serving"}


def test_every_service_account_is_made_or_named_by_the_site() -> None:
    for name, objects in renders():
        made = {each.name for each in objects.all("ServiceAccount")}
        used = {pod.spec["serviceAccountName"] for pod in objects.pods if "serviceAccountName" in pod.spec}
        assert {each for each in used - made - {"default"} if f'"{each}"' not in objects.values} == set(), name


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("site", ["trial", "everything"])
def test_every_name_and_label_is_valid_whatever_the_release_is_called(release: str, site: str) -> None:
    objects = render(merged(sites()[site], {"nameOverride": "", "fullnameOverride": ""}), name=release)
    for each in objects.ours:
        assert _NAME.fullmatch(each.name), str(each)
        assert len(each.name) <= LONGEST.get(each.kind, 63), str(each)
        for labels in (each.labels, each.pod.labels if each.pod else {}):
            for name, label in labels.items():
                assert isinstance(label, str), f"{each}: {name}: {label!r}"
                assert len(label) <= 63, f"{each}: {name}"
                assert _LABEL.fullmatch(label), f"{each}: {name}: {label}"
    names = [str(each) for each in objects]
    assert len(names) == len(set(names))


def test_no_name_stands_twice_in_any_render() -> None:
    for name, objects in renders():
        names = [str(each) for each in objects]
        assert len(names) == len(set(names)), name


def test_everything_is_in_the_namespace_of_the_release_and_says_what_it_is_of() -> None:
    for name, objects in renders():
        for each in objects.ours:
            assert at(each.content, "metadata", "namespace") == "mlflow", f"{name}: {each}"
            assert each.labels["app.kubernetes.io/part-of"], f"{name}: {each}"
            assert each.component, f"{name}: {each}"


@pytest.mark.parametrize(
    "path", [path for path in ("commonLabels", "tracking.podLabels", "serving.podLabels") if path in known()]
)
def test_a_label_of_the_site_that_is_the_charts_own_breaks_no_selector(path: str) -> None:
    label = {"app.kubernetes.io/part-of": "site", "app.kubernetes.io/component": "site"}
    values = changed(path)
    first, _, second = path.partition(".")
    objects = render(merged(values, {first: {second: label} if second else label}))
    for service in objects.all("Service"):
        assert len(selected(objects, service.content["spec"]["selector"])) == 1, str(service)
