"""The page: nothing from the registry is markup, and nothing but its own script may run."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import orjson

from homeport.serving import page

STATUS: dict[str, Any] = {
    "service": "homeport-serving", "version": "1", "ready": True, "workers": 2, "models": [], "failures": [],
    "registry": {"reachable": True, "since": None, "error": None, "uri": "http://localhost"}, "traffic": [],
}  # fmt: skip
HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> & {{status}} \u2028"


class Elements(HTMLParser):
    """Counts tags, keeps attributes and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] in {"script", "style"} and data.strip():
            self.texts.append((self.tags[-1], data))


def hostile() -> dict[str, Any]:
    return {**STATUS, "models": [{"name": HOSTILE, "version": HOSTILE, "aliases": [HOSTILE], "example": {HOSTILE: 1}}]}


def test_text_from_the_registry_makes_no_element() -> None:
    assert Elements(page.render(hostile())).tags == Elements(page.render(STATUS)).tags


def test_the_page_holds_the_status_it_was_given() -> None:
    text = re.findall(r'<script type="application/json" id="status">(.*?)</script>', page.render(hostile()), re.DOTALL)
    assert len(text) == 1
    assert orjson.loads(text[0]) == hostile()


def test_the_policy_allows_the_pages_own_script_and_style_only() -> None:
    parts = dict(part.split(" ", 1) for part in page.headers()["Content-Security-Policy"].split("; "))
    texts = [each for each in Elements(page.render(STATUS)).texts if not each[1].startswith("{")]
    assert [tag for tag, _ in texts] == ["style", "script"]
    for tag, text in texts:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert parts[f"{tag}-src"] == f"'sha256-{digest}'"
    assert parts["default-src"] == "'none'"
    assert parts["connect-src"] == "'self'"


def test_no_handler_and_no_style_stands_in_an_attribute() -> None:
    names = {name for name, _ in Elements(page.render(STATUS)).attributes}
    assert not {name for name in names if name.startswith("on") or name == "style"}


def test_nothing_is_asked_of_anybody_else() -> None:
    for name, value in Elements(page.render(STATUS)).attributes:
        if name in {"src", "href", "action"}:
            assert (value or "").startswith(("/", "data:"))
            assert not (value or "").startswith("//")
    assert "innerHTML" not in page.render(STATUS)
