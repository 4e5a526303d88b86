"""Every value does something, none can be misspelt, and the pages name only those that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.chart.matrix import CHANGES, SITES, WHOLE, WITHOUT_EFFECT, changed, known, leaves, sites
from tests.chart.rendering import CHART, ROOT, at, defaults, merged, nested, refusal, render

PAGES = [
    CHART / "README.md",
    CHART / "templates" / "NOTES.txt",
    *sorted((ROOT / "docs" / "how-to").glob("kubernetes*.md")),
]
_WARNING = 2  # what `helm lint --strict` fails on, and above


def test_every_value_is_changed_and_none_that_is_gone() -> None:
    assert set(CHANGES) == set(leaves(defaults()))


@pytest.mark.parametrize("path", known())
def test_a_value_does_something(path: str) -> None:
    change = CHANGES[path]
    assert at(merged(defaults(), change.given), *path.split(".")) != change.value
    same = render(change.given).masked == render(changed(path)).masked
    assert same == (path in WITHOUT_EFFECT), f"{path}: {change.value!r} changes {'nothing' if same else 'the objects'}"


def test_the_sites_are_the_three_that_the_pages_speak_of() -> None:
    assert sites().keys() >= {"trial", "production", "everything"}


def test_a_trial_needs_no_value_and_production_three() -> None:
    assert sites()["trial"] == {}
    needed = {"domain", "database.url", "artifacts.destination"}
    assert needed <= set(leaves(sites()["production"]))
    render(
        {"domain": "a.example.org", "database": {"url": "postgresql://u:p@h/d"}, "artifacts": {"destination": "s3://b"}}
    )


def test_the_sites_set_every_value_to_something_else_between_them() -> None:
    untouched = set(leaves(defaults()))
    for values in sites().values():
        whole = merged(defaults(), values)
        untouched -= {path for path in untouched if at(whole, *path.split(".")) != at(defaults(), *path.split("."))}
    assert untouched == set()


@pytest.mark.parametrize("site", SITES, ids=lambda path: path.name)
def test_a_site_renders(site: Path) -> None:
    assert render(yaml.safe_load(site.read_text()) or {}).pods


@pytest.mark.parametrize("site", SITES, ids=lambda path: path.name)
def test_lint_finds_nothing_in_a_site(site: Path) -> None:
    values = yaml.safe_load(site.read_text()) or {}
    report = helm_python.lint(CHART, values, strict=True, namespace="mlflow", kube_version="v1.33.0")
    assert [each for each in report["messages"] if each["severity"] >= _WARNING] == []
    assert not report["errors"]


def _levels(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Every mapping of values whose keys are the chart's."""
    yield path
    for name, value in values.items():
        if isinstance(value, Mapping) and value and name not in WHOLE:
            yield from _levels(value, f"{path}{name}.")


@pytest.mark.parametrize("level", list(_levels(defaults())), ids=lambda level: level or "top")
def test_a_misspelt_value_is_refused_by_name(level: str) -> None:
    assert "mispelt" in refusal(nested(f"{level}mispelt", True))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("tracking.replicas", "three"),
        ("tracking.replicas", -1),
        ("tracking.fastlane", "maybe"),
        ("tracking.service.type", "Loadbalancer"),
        ("image.pullPolicy", "Sometimes"),
        ("auth.enabled", "yes"),
        ("serving.accessLog", "everything"),
        ("serving.predictions.fraction", 1.5),
        ("database.url", "oracle://db"),
        ("artifacts.destination", "/mnt"),
        ("domain", "https://ml.example.org/"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(path: str, value: object) -> None:
    message = refusal(nested(path, value))
    assert path.rpartition(".")[2] in message


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_values_that_there_are(page: Path) -> None:
    there = {*leaves(defaults()), *(level.rstrip(".") for level in _levels(defaults()))}
    unknown = [path for path in _named(page.read_text(encoding="utf-8")) if not _is_there(path, there)]
    assert unknown == []


def _is_there(path: str, there: set[str]) -> bool:
    """Whether a value, or what stands in a free one, is there."""
    parts = re.sub(r"\[\d+\]|\\", "", path).split(".")
    above = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    free = {each for each in there if at(defaults(), *each.split(".")) in ({}, []) or each.rpartition(".")[2] in WHOLE}
    return above[-1] in there or any(each in free for each in above[:-1])


def _named(text: str) -> Iterator[str]:
    """The values that a page sets: `--set a.b=`, `` `a.b` `` where `a` is one, and whole value files."""
    for flag in re.findall(r"--set(?:-string|-json|-file|-literal)?[ =]+[\"']?([^\s\"'`]+)", text):
        yield from (part.partition("=")[0] for part in re.split(r"(?<!\\),", flag) if "=" in part)
    for word in re.findall(r"`([a-zA-Z]+(?:\.[a-zA-Z]+)+)`", text):
        if word.partition(".")[0] in defaults():
            yield word
    for word in re.findall(r"\.Values\.([a-zA-Z.]+[a-zA-Z])", text):
        yield word
    for block in re.findall(r"^```ya?ml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for document in yaml.safe_load_all(block):
            if isinstance(document, dict) and "kind" not in document and document.keys() <= defaults().keys():
                yield from leaves(document)
