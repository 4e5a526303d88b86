"""The project's pages as tests see them: commands in console blocks, links, lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def pages() -> list[Path]:
    """Every page that people read."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def console_blocks(page: Path) -> list[list[tuple[str, str]]]:
    """The console blocks of a page, each a list of (command, printed output)."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [list(_commands(block)) for block in blocks]


def _commands(block: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def normalised(text: str) -> str:
    """Output without what differs each time: durations, ports, the user's home."""
    text = re.sub(r"\d+\.\d s", "N s", text)
    text = re.sub(r" +(?=N s)", " ", text)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
