"""An upgrade changes only what a cluster lets change: of the same values, between two sites, from the last release."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.chart.goldens import SITES, golden
from tests.chart.matrix import every, sites
from tests.chart.rendering import CHART, NAMESPACE, RELEASE, ROOT, Object, render

# Of a StatefulSet everything but these is fixed (Kubernetes, pkg/apis/apps/validation, ValidateStatefulSetUpdate).
_STATEFUL_SET_MAY = {
    "replicas", "ordinals", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
    "revisionHistoryLimit",
}  # fmt: skip
# Values that change what cannot be: a cluster refuses the upgrade until the StatefulSet is deleted (--cascade=orphan).
NEEDS_A_NEW_STATEFUL_SET = {
    f"{part}.persistence.{value}": "a claim's template is fixed; Kubernetes lets nobody change it in place"
    for part in ("database", "artifacts")
    for value in ("size", "storageClass", "existingClaim")
}


def fixed(content: Mapping[str, Any]) -> Any:
    """What of an object cannot be changed while it keeps its name."""
    spec = content.get("spec", {})
    match content["kind"]:
        case "Deployment":
            return spec["selector"]
        case "StatefulSet":
            return {name: value for name, value in spec.items() if name not in _STATEFUL_SET_MAY}
        case "Job":
            return {name: spec.get(name) for name in ("template", "selector", "completionMode", "podFailurePolicy")}
        case "Service":
            return {"clusterIP": spec.get("clusterIP"), "ipFamilies": spec.get("ipFamilies")}
        case "PersistentVolumeClaim":
            return {name: value for name, value in spec.items() if name != "resources"}
        case "Secret":
            return {"type": content.get("type"), "immutable": content.get("immutable")}
        case "ConfigMap":
            return content.get("immutable")
        case _:
            return None


@pytest.mark.parametrize("site", sorted(sites()))
def test_an_upgrade_with_the_same_values_changes_nothing_but_what_is_generated(site: str) -> None:
    installed, upgraded = render(sites()[site]), render(sites()[site], upgrade=True)
    assert installed.masked == upgraded.masked
    changed = [str(a) for a, b in zip(installed, upgraded, strict=True) if a.content != b.content]
    assert [name for name in changed if not name.startswith("Secret/")] == []


def test_no_change_of_values_needs_what_a_cluster_refuses() -> None:
    first: dict[str, tuple[str, Object]] = {}
    refused = set()
    for where, objects in every().items():
        if where in NEEDS_A_NEW_STATEFUL_SET:
            continue
        for each in objects.ours:
            before, known = first.setdefault(str(each), (where, each))
            if fixed(known.content) != fixed(each.content):
                refused.add(f"{each}: {before} -> {where}")
    assert refused == set()


@pytest.mark.parametrize("path", sorted(NEEDS_A_NEW_STATEFUL_SET))
def test_what_needs_a_new_stateful_set_still_does(path: str) -> None:
    part = {"database": "database", "artifacts": "objectstore"}[path.partition(".")[0]]
    before, after = (every()[where].one("StatefulSet", part).content for where in ("defaults", path))
    assert fixed(before) != fixed(after)


@cache
def released(root: Path = ROOT) -> dict[str, list[dict[str, Any]]]:
    """The objects of each site by the last release's chart; by the committed renders while there was no release."""
    for tag in _git(root, "tag", "--list", "homeport-*", "v*", "--sort=-version:refname").decode().split():
        if _git(root, "ls-tree", "-d", tag, "charts/homeport"):
            return {site: _rendered_by(root, tag, site) for site in SITES}
    return {site: list(filter(None, yaml.safe_load_all(golden(site).read_text()))) for site in SITES}


def _git(root: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False, timeout=60)
    return done.stdout if done.returncode == 0 else b""


def _rendered_by(root: Path, tag: str, site: str) -> list[dict[str, Any]]:
    with tarfile.open(fileobj=io.BytesIO(_git(root, "archive", tag, "charts/homeport"))) as archive:
        files = {each.name: archive.extractfile(each) for each in archive.getmembers() if each.isfile()}
        texts = {name: file.read() for name, file in files.items() if file}
    values = yaml.safe_load(texts.get(f"charts/homeport/ci/{site}-values.yaml", b"{}")) or {}
    with helm_python.Chart.load_archive(_archive(texts)) as chart:
        manifests = chart.render(values, name=RELEASE, namespace=NAMESPACE)
    documents = (
        each for path, text in manifests.items() if path.endswith(".yaml") for each in yaml.safe_load_all(text)
    )
    return [each for each in documents if each]


def _archive(texts: Mapping[str, bytes]) -> bytes:
    """A chart's files as the archive that Helm loads."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in texts.items():
            entry = tarfile.TarInfo(str(Path(name).relative_to("charts")))
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    return made.getvalue()


@pytest.mark.parametrize("site", SITES)
def test_the_last_release_can_be_upgraded_in_place(site: str) -> None:
    before = {f"{each['kind']}/{each['metadata']['name']}": each for each in released()[site]}
    now = {str(each): each.content for each in render(sites()[site])}
    assert before
    for name in before.keys() & now.keys():
        assert json.dumps(fixed(before[name]), sort_keys=True) == json.dumps(fixed(now[name]), sort_keys=True), name
    # Volumes hang on these names: one that is gone is data that is left behind.
    stateful = {name for name in before if name.startswith("StatefulSet/")}
    assert stateful <= now.keys()


def test_a_release_is_rendered_from_its_tag_whatever_the_work_tree_has(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "charts" / "homeport")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "a"], ["tag", "v0.9.0"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "charts" / "homeport" / "Chart.yaml").unlink()
    found = {f"{each['kind']}/{each['metadata']['name']}" for each in released(tmp_path)["trial"]}
    assert found == {str(each) for each in render()}
