"""What a cluster would say of an object before it looks at anything else: the API's schemas, of several versions.

The schemas of Kubernetes are those of the wheel `kubernetes-validate`, in their strict form, where a field that does
not exist is an error. Those of other makers' kinds stand in schemas/, written down from their definitions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from tests.chart.rendering import CHART, Object

SCHEMAS = Path(__file__).parent / "schemas"
_BUNDLE = Path(str(files("kubernetes_validate"))) / "kubernetes-json-schema"
_DEFINITIONS = "https://kubernetes.io/api/_definitions.json"


@cache
def oldest() -> tuple[int, int]:
    """The oldest Kubernetes that the chart allows."""
    asked = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]
    found = re.fullmatch(r">=\s*v?(\d+)\.(\d+)\.\d+(-0)?", asked)
    assert found, asked
    return int(found[1]), int(found[2])


@cache
def versions() -> tuple[str, ...]:
    """Every version whose schemas are there, from the oldest that the chart allows."""
    named = (re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)-local-strict", path.name) for path in _BUNDLE.iterdir())
    numbers = sorted(tuple(int(part) for part in name.groups()) for name in named if name)
    return tuple(".".join(map(str, number)) for number in numbers if number[:2] >= oldest())


def faults(content: Mapping[str, Any], version: str) -> list[str]:
    """What that version of Kubernetes finds wrong with an object: where it is, and what."""
    validator = _validator(version, content["apiVersion"], content["kind"])
    return [f"{'.'.join(map(str, each.instance_path))}: {each.message}" for each in validator.iter_errors(content)]


def is_custom(content: Mapping[str, Any]) -> bool:
    """Whether it is of a kind that others add to a cluster."""
    return _own(content["apiVersion"], content["kind"]).exists()


def unique(objects: Iterator[Object]) -> dict[str, Object]:
    """Objects by their content, each once."""
    return {json.dumps(each.masked, sort_keys=True): each for each in objects}


def _own(api: str, kind: str) -> Path:
    group, _, version = api.rpartition("/")
    return SCHEMAS / f"{kind.lower()}-{group}-{version}.json"


@cache
def _validator(version: str, api: str, kind: str) -> Any:
    own = _own(api, kind)
    if own.exists():
        return jsonschema_rs.validator_for(json.loads(own.read_text()))
    group, _, number = api.rpartition("/")
    name = f"{kind.lower()}-{group.split('.')[0]}-{number}.json" if group else f"{kind.lower()}-{number}.json"
    schema = json.loads((_BUNDLE / f"v{version}-local-strict" / name).read_text())
    return jsonschema_rs.validator_for(schema, registry=_definitions(version))


@cache
def _definitions(version: str) -> jsonschema_rs.Registry:
    text = (_BUNDLE / f"v{version}-local-strict" / "_definitions.json").read_text()
    return jsonschema_rs.Registry([(_DEFINITIONS, json.loads(text))])
