from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.render.text import Anchor, Flow, Tagged, With, anchored, block, inline

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\x85"), max_size=200)
KEY = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,20}", fullmatch=True)
SCALAR = TEXT | st.integers(-(10**6), 10**6) | st.booleans()
DOCUMENT = st.dictionaries(
    KEY,
    st.recursive(
        SCALAR,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(KEY, inner, max_size=4)
            | st.dictionaries(KEY, SCALAR, max_size=3).map(Flow)
        ),
        max_leaves=12,
    ),
    max_size=5,
)


@given(DOCUMENT)
def test_what_is_written_is_read_as_it_was(content: dict[str, Any]) -> None:
    assert (yaml.safe_load("\n".join(block(content))) or {}) == content


@settings(max_examples=25)
@given(st.lists(st.from_regex(r"[!-~]{8,40}", fullmatch=True), min_size=30, max_size=40))
def test_a_long_command_is_folded_and_read_as_it_was(words: list[str]) -> None:
    content = {"command": ["sh", "-c", " ".join(words)]}
    lines = block(content)
    assert yaml.safe_load("\n".join(lines)) == content
    assert words[0].startswith("#") or max(map(len, lines)) <= 116 < len(" ".join(words))


@pytest.mark.parametrize("text", ["0E0", "1e5", ".5", "0x1f", "0o17", "0b1", "1_000", "-08", "2001-1-2", "1.0"])
def test_what_composes_yaml_takes_for_a_number_is_quoted(text: str) -> None:
    assert block({"a": text, "b": [text]}) == [f"a: '{text}'", f"b: ['{text}']"]


def test_a_service_is_what_its_anchors_say_and_what_it_has_besides() -> None:
    base = Anchor("base", {"restart": "always", "read_only": True})
    own = Anchor("own", {"image": "ours"}, ("base",))
    service = {"image": "ours", "restart": "no", "read_only": True, "command": ["a"]}
    lines = [*anchored(base), *anchored(own), *block({"services": {"one": With((base, own), service)}})]
    assert yaml.safe_load("\n".join(lines))["services"]["one"] == service
    assert lines[-4:] == ["  one:", "    <<: *own", "    restart: 'no'", "    command: [a]"]


def test_what_an_overlay_takes_away_or_replaces_has_composes_tags() -> None:
    content = {"gone": Tagged("reset", None), "list": Tagged("override", ["a", "b"]), "none": Tagged("override", {})}
    assert block(content) == ["gone: !reset null", "list: !override [a, b]", "none: !override {}"]
    assert inline(Tagged("override", {"a": 1})) == "!override {a: 1}"
