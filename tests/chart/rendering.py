"""The chart as the real Helm engine renders it, offline: its objects, pods and containers, to be asked and compared.

What is rendered is what a cluster would be sent: a key that stands twice is an error, and so is whatever the chart
refuses. No cluster is there, so `lookup` finds nothing and every generated secret is new in each render.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "homeport"
RELEASE, NAMESPACE = "homeport", "mlflow"
GENERATED = "(generated)"
EXTRA = "extra-objects.yaml"
Values = Mapping[str, Any]

# Only Go's own words tell an error of ours from a template that broke.
_BROKEN = ("nil pointer", "wrong type", "error calling include: template: no template", "parse error", "unexpected")
_POD_AT = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


class _Loader(yaml.CSafeLoader):
    """YAML as Helm reads it: a key that stands twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{sorted(twice)} twice in one mapping, {node.start_mark}"
        return super().construct_mapping(node, deep)


def at(content: Any, *path: str) -> Any:
    """What stands at a path of keys; None where there is nothing."""
    for key in path:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


@dataclass(frozen=True)
class Container:
    """One container of a pod."""

    pod: Pod
    content: Mapping[str, Any]
    starts: bool
    """Whether it is an init container."""

    @property
    def name(self) -> str:
        """Its name in the pod."""
        return str(self.content["name"])

    @cached_property
    def env(self) -> dict[str, Any]:
        """Its variables with literal values."""
        return {each["name"]: each["value"] for each in self.content.get("env", []) if "value" in each}

    @property
    def argv(self) -> tuple[str, ...]:
        """What is run, the image's own entry point aside."""
        return (*self.content.get("command", ()), *self.content.get("args", ()))

    @property
    def ports(self) -> dict[str, int]:
        """Its ports by name."""
        return {each["name"]: each["containerPort"] for each in self.content.get("ports", [])}

    @property
    def mounts(self) -> dict[str, str]:
        """The volume at each path."""
        return {each["mountPath"]: each["name"] for each in self.content.get("volumeMounts", [])}

    def __str__(self) -> str:
        """Where it is, for people."""
        return f"{self.pod}: {self.name}"


@dataclass(frozen=True)
class Pod:
    """The pods that one object makes."""

    owner: Object
    content: Mapping[str, Any]

    @property
    def spec(self) -> Mapping[str, Any]:
        """The pod's `spec`."""
        found: Mapping[str, Any] = self.content["spec"]
        return found

    @property
    def labels(self) -> Mapping[str, str]:
        """What it can be selected by."""
        return at(self.content, "metadata", "labels") or {}

    @property
    def component(self) -> str:
        """Which part of the platform it is."""
        return self.labels.get("app.kubernetes.io/component", "")

    @property
    def containers(self) -> list[Container]:
        """All of them, those first that start first."""
        first = [Container(self, each, starts=True) for each in self.spec.get("initContainers") or []]
        return first + [Container(self, each, starts=False) for each in self.spec["containers"]]

    @property
    def main(self) -> Container:
        """The only container that is no init container."""
        (found,) = (each for each in self.containers if not each.starts)
        return found

    @property
    def volumes(self) -> dict[str, Mapping[str, Any]]:
        """Its volumes by name, those that a StatefulSet makes included."""
        claims = at(self.owner.content, "spec", "volumeClaimTemplates") or []
        made = {each["metadata"]["name"]: each for each in claims}
        return made | {each["name"]: each for each in self.spec.get("volumes") or []}

    @property
    def secret_files(self) -> Iterator[tuple[str, str, str]]:
        """(Secret, key, file) of every secret that it mounts, and of a ConfigMap's text beside them."""
        for volume in self.volumes.values():
            for source in at(volume, "projected", "sources") or []:
                for each in source.values():
                    yield from ((each["name"], item["key"], item["path"]) for item in each["items"])

    def __str__(self) -> str:
        """Where it is, for people."""
        return str(self.owner)


@dataclass(frozen=True)
class Object:
    """One object that a cluster would be sent."""

    source: str
    content: Mapping[str, Any] = field(repr=False)

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.content["kind"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.content["metadata"]["name"])

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return at(self.content, "metadata", "labels") or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations."""
        return at(self.content, "metadata", "annotations") or {}

    @property
    def component(self) -> str:
        """Which part of the platform it belongs to."""
        return self.labels.get("app.kubernetes.io/component", "")

    @property
    def pod(self) -> Pod | None:
        """The pods it makes, if any."""
        return Pod(self, at(self.content, *_POD_AT[self.kind])) if self.kind in _POD_AT else None

    @property
    def masked(self) -> Mapping[str, Any]:
        """Its content without what is new in each render."""
        if self.kind != "Secret" or "data" not in self.content:
            return self.content
        return {**self.content, "data": dict.fromkeys(self.content["data"], GENERATED)}

    def __str__(self) -> str:
        """What it is, for people."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Objects(Sequence[Object]):
    """Everything of one render, in the order of the templates."""

    found: tuple[Object, ...]
    notes: str
    values: str
    """What was set, as JSON."""

    def __getitem__(self, index: Any) -> Any:
        """As a tuple."""
        return self.found[index]

    def __len__(self) -> int:
        """As a tuple."""
        return len(self.found)

    def all(self, kind: str = "", component: str = "") -> list[Object]:
        """Those of a kind and a component; what is left out is not asked for."""
        return [each for each in self.found if kind in ("", each.kind) and component in ("", each.component)]

    def one(self, kind: str, component: str = "", name: str = "") -> Object:
        """The only one of a kind, a component or a name."""
        found = [each for each in self.all(kind, component) if name in ("", each.name)]
        assert len(found) == 1, f"{kind} {component} {name}: {[str(each) for each in found]}"
        return found[0]

    def pod(self, component: str) -> Pod:
        """The pods of a component."""
        (found,) = (each for each in self.pods if each.component == component)
        return found

    @property
    def fullname(self) -> str:
        """What the names of the chart's objects begin with."""
        return self.one("Deployment", "tracking").name.removesuffix("-tracking")

    @property
    def ours(self) -> list[Object]:
        """What the chart wrote itself: not the objects of `extraObjects`."""
        return [each for each in self.found if not each.source.endswith(EXTRA)]

    @property
    def pods(self) -> list[Pod]:
        """The pods of everything that makes some."""
        return [each.pod for each in self.ours if each.pod]

    @property
    def containers(self) -> list[Container]:
        """The containers of all pods."""
        return [container for pod in self.pods for container in pod.containers]

    @property
    def masked(self) -> dict[str, Mapping[str, Any]]:
        """Every object by kind and name, without what is new in each render."""
        return {str(each): each.masked for each in self.found}


def merged(base: Values, more: Values) -> dict[str, Any]:
    """Values with others over them, as Helm puts two value files together."""
    found = deepcopy(dict(base))
    for name, value in more.items():
        inner = found.get(name)
        both = isinstance(value, Mapping) and isinstance(inner, Mapping)
        found[name] = merged(inner, value) if both and inner is not None else value
    return found


def nested(path: str, value: Any) -> dict[str, Any]:
    """`a.b` and a value as values."""
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


def render(
    values: Values | None = None, *, name: str = RELEASE, namespace: str = NAMESPACE, upgrade: bool = False
) -> Objects:
    """What the chart makes of values.

    Raises:
        helm_python.HelmError: when the chart, its schema or the engine refuses them.
    """
    return _render(json.dumps(values or {}, sort_keys=True), name, namespace, upgrade)


def refusal(values: Values, *, name: str = RELEASE) -> str:
    """What the chart says when it refuses values; a template that merely broke is no refusal."""
    with pytest.raises(helm_python.HelmError) as caught:
        render(values, name=name)
    message = str(caught.value)
    assert not any(word in message for word in _BROKEN), message
    return message


@cache
def chart() -> helm_python.Chart:
    """The chart, loaded once."""
    return helm_python.Chart.load(CHART)


@cache
def defaults() -> dict[str, Any]:
    """The chart's values.yaml."""
    return dict(chart().values)


@cache
def _render(values: str, name: str, namespace: str, upgrade: bool) -> Objects:
    texts = chart().render(
        json.loads(values), name=name, namespace=namespace, is_install=not upgrade, is_upgrade=upgrade,
        revision=2 if upgrade else 1,
    )  # fmt: skip
    notes = next((text for path, text in texts.items() if path.endswith("NOTES.txt")), "")
    manifests = {path: text for path, text in sorted(texts.items()) if path.endswith(".yaml")}
    return Objects(tuple(each for path, text in manifests.items() for each in _parsed(path, text)), notes, values)


@cache
def _parsed(path: str, text: str) -> tuple[Object, ...]:
    """The objects of one template; most templates render alike whatever value is changed."""
    documents = yaml.load_all(text, _Loader)
    return tuple(Object(path, each) for each in documents if each)
