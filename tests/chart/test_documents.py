"""What the pages about Kubernetes say is true of the chart: their values render, their tables name what there is.

A block that begins with `# values.yaml` is a values file; the other YAML is for other controllers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeport.services.sizing import Sizing
from tests.chart import kubernetes
from tests.chart.matrix import WHOLE
from tests.chart.rendering import EXTRA, ROOT, Object, Objects, defaults, render

PAGES = sorted((ROOT / "docs" / "how-to").glob("kubernetes*.md"))
MAIN = ROOT / "docs" / "how-to" / "kubernetes.md"
MARK = "# values.yaml\n"
# What KServe puts beside the fields of a pod; what is left must be a pod.
_OF_KSERVE = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        """Where it is, for people."""
        return f"{self.page.stem}-{self.number}"


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of a page in one language, in order."""
    found = [(indent, name, text) for indent, name, text in _BLOCK.findall(page.read_text(encoding="utf-8"))]
    return [
        Block(page, number, name, "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True)))
        for number, (indent, name, text) in enumerate(found, 1)
        if name == language
    ]


YAML = [block for page in PAGES for block in blocks(page, "yaml")]
VALUES = [block for block in YAML if block.text.startswith(MARK)]
OTHERS = [block for block in YAML if not block.text.startswith(MARK)]


def rendered(block: Block) -> Objects:
    """What the chart makes of the values of a block."""
    return render(yaml.safe_load(block.text))


def unknown(values: Mapping[str, Any], known: Mapping[str, Any], path: str = "") -> list[str]:
    """The values that the chart does not have."""
    found = []
    for name, value in values.items():
        if name not in known:
            found.append(f"{path}{name}")
        elif isinstance(value, Mapping) and isinstance(known[name], Mapping) and name not in WHOLE and known[name]:
            found += unknown(value, known[name], f"{path}{name}.")
    return found


def faults(each: Object, version: str) -> list[str]:
    """What Kubernetes finds wrong with an object; of other makers' kinds, what is wrong with their names and pods."""
    group, kind = each.content["apiVersion"].partition("/")[0], each.kind
    if kubernetes.is_custom(each.content) or "." not in group or group.endswith(".k8s.io"):
        return kubernetes.faults(each.content, version)
    named = bool(re.fullmatch(r"[a-z0-9.-]+/v\d\w*", each.content["apiVersion"])) and bool(each.name)
    wrong = [] if named else [f"{kind}: no apiVersion or no name"]
    if kind == "InferenceService":
        predictor = each.content["spec"]["predictor"]
        spec = {name: value for name, value in predictor.items() if name not in _OF_KSERVE}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": each.name}, "spec": spec}
        wrong += kubernetes.faults(pod, version)
    return wrong


def prose(page: Path) -> str:
    """A page on one line."""
    return " ".join(page.read_text(encoding="utf-8").split())


def rows(page: Path, first: str) -> list[list[str]]:
    """The cells of the table whose first heading is `first`."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |")) + 2
    ends = next(number for number in range(start, len(lines)) if not lines[number].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:ends]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_has_values_and_says_what_was_exercised(page: Path) -> None:
    assert [block for block in VALUES if block.page == page]
    text = page.read_text(encoding="utf-8")
    assert "\nExercised: " in text
    assert "Not exercised" in text


@pytest.mark.parametrize("block", VALUES, ids=str)
def test_values_on_a_page_are_values_of_the_chart(block: Block) -> None:
    assert unknown(yaml.safe_load(block.text), defaults()) == []


@pytest.mark.parametrize("block", VALUES, ids=str)
def test_what_values_on_a_page_make_is_valid_from_the_oldest_kubernetes_to_the_newest(block: Block) -> None:
    versions = kubernetes.versions()
    for version in (versions[0], versions[-1]):
        wrong = {str(each): found for each in rendered(block) if (found := faults(each, version))}
        assert wrong == {}, f"Kubernetes {version}"


@pytest.mark.parametrize("block", VALUES, ids=str)
def test_templates_in_extra_objects_of_a_page_are_filled_in(block: Block) -> None:
    extra = [each for each in rendered(block) if each.source.endswith(EXTRA)]
    assert not [str(each) for each in extra if "{{" in json.dumps(each.content)]


@pytest.mark.parametrize("block", OTHERS, ids=str)
def test_other_yaml_on_a_page_is_an_object_with_a_name(block: Block) -> None:
    for each in yaml.safe_load_all(block.text):
        assert each["apiVersion"]
        assert each["kind"]
        assert each["metadata"]["name"]


@pytest.mark.parametrize("block", [each for page in PAGES for each in blocks(page, "json")], ids=str)
def test_json_on_a_page_is_json(block: Block) -> None:
    json.loads(block.text)


def test_values_of_others_controllers_on_the_page_are_values_of_the_chart_too() -> None:
    inside = []
    for block in OTHERS:
        for each in yaml.safe_load_all(block.text):
            spec = each.get("spec", {})
            helm = spec.get("source", {}).get("helm", {}).get("valuesObject")
            inside += [values for values in (helm, spec.get("values")) if values]
    assert len(inside) == 2
    assert [unknown(values, defaults()) for values in inside] == [[], []]
    assert all(render(values) for values in inside)


def test_the_table_of_secrets_names_every_key_of_the_charts_secret() -> None:
    written = {name for row in rows(MAIN, "key") for name in re.findall(r"`([a-z-]+)`", row[0])}
    assert written == set(render().one("Secret", "secrets").content["data"])


def test_a_secret_made_as_the_page_says_is_enough_for_production() -> None:
    made = set(re.findall(r"--from-literal=([a-z-]+)=\"\$\(openssl", MAIN.read_text(encoding="utf-8")))
    production = {
        "domain": "ml.example.org",
        "secrets": {"existingSecret": "homeport-secrets"},
        "database": {"url": "postgresql://mlflow@db/mlflow", "existingSecret": "homeport-database"},
        "artifacts": {"destination": "s3://b", "existingSecret": "homeport-bucket"},
    }
    wanted = {key for pod in render(production).pods for name, key, _ in pod.secret_files if name == "homeport-secrets"}
    assert wanted <= made


def test_the_connections_on_the_page_are_those_that_the_chart_allows() -> None:
    env = render().pod("tracking").main.env
    pool = int(env["MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"]) + int(env["MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW"])
    one = Sizing(workers=int(env["HOMEPORT_WORKERS"]), threads=int(env["HOMEPORT_THREADS"]), serving=0)
    assert pool == one.pool_size + one.max_overflow
    replica, others = one.max_connections - 20, 20
    assert f"{replica} with the defaults" in prose(MAIN)
    written = [(int(count), int(total)) for count, total in rows(MAIN, "replicas of tracking")]
    assert written == [(count, (count + 1) * replica + others) for count, _ in written]


def test_fewer_threads_make_the_connections_that_the_page_says() -> None:
    found = re.search(r"`tracking.threads: (\d+)` makes (\d+) of", prose(MAIN))
    assert found
    threads, connections = int(found[1]), int(found[2])
    env = render({"tracking": {"threads": threads}}).pod("tracking").main.env
    pool = int(env["MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"]) + int(env["MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW"])
    assert int(env["HOMEPORT_WORKERS"]) * (2 * pool + 10) + 10 == connections


def test_every_object_that_the_pages_commands_name_is_there() -> None:
    names = {each.name for each in render()}
    for page in PAGES:
        shell = "".join(block.text for block in blocks(page, "sh"))
        used = re.findall(
            r"(?:service|deployment|deploy)/(homeport-[a-z-]+)|rollout restart deployment ([a-z -]+)", shell
        )
        assert {name for pair in used for part in pair for name in part.split()} <= names, page.name


def test_a_database_whose_authority_is_named_is_proven_in_every_program() -> None:
    values = {"database": {"url": "postgresql://u:p@h/d", "ca": {"existingConfigMap": "homeport-database-ca"}}}
    asking = [each for each in render(values).containers if "PGSSLMODE" in each.env]
    assert {each.name for each in asking} == {"wait", "tracking", "migrate"}
    assert {each.env["PGSSLMODE"] for each in asking} == {"verify-full"}
    files = {item["path"] for each in asking for source in each.pod.volumes["secrets"]["projected"]["sources"]
             for item in source.get("configMap", {}).get("items", [])}  # fmt: skip
    assert {each.env["PGSSLROOTCERT"].rpartition("/")[2] for each in asking} == files == {"database-ca.crt"}


def test_the_predictor_of_kserve_runs_what_the_charts_serving_runs() -> None:
    (block,) = [each for each in VALUES if each.page.stem == "kubernetes-kserve"]
    predictor = rendered(block).one("InferenceService").content["spec"]["predictor"]
    (kserve,) = predictor["containers"]
    serving = render().pod("serving").main
    names = {each["name"] for each in serving.content["env"]}
    assert {each["name"] for each in kserve["env"]} <= names
    assert (kserve["name"], kserve["image"]) == ("kserve-container", serving.content["image"])
    assert tuple(kserve["args"]) == serving.argv
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert kserve[probe]["httpGet"]["path"] == serving.content[probe]["httpGet"]["path"]
    assert kserve["securityContext"] == serving.content["securityContext"]
    assert {each["mountPath"] for each in kserve["volumeMounts"]} == set(serving.mounts)
