"""The report of a test: report.md and report.html with the same rows, pictures, numbers.json for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from loadtest import plots
from loadtest.counted import Numbers, Row
from loadtest.ledger import Verdict
from loadtest.replicas import Sample
from loadtest.timeline import Timeline

_HEAD = ("kind", "requests", "failed", "a second", "p50 ms", "p99 ms", "MB received")
_MOST = 20  # errors that are listed
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #24292f }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .75rem; border-bottom: 1px solid #d0d7de;
text-align: right } td:first-child, th:first-child { text-align: left } svg { max-width: 100%; height: auto }
"""


@dataclass(frozen=True)
class Test:
    """What is reported.

    Args:
        facts: (name, text) of how it was run.
        numbers: what was counted.
        verdict: whether anything was lost.
        troubles: what else makes the test fail, as sentences.
    """

    facts: Sequence[tuple[str, str]]
    numbers: Numbers
    verdict: Verdict
    troubles: Sequence[str] = ()

    @property
    def good(self) -> bool:
        """Whether every answer was right and nothing was lost."""
        return not self.numbers.total.failed and self.verdict.good and not self.troubles


def write(test: Test, timeline: Timeline, samples: Sequence[Sample], directory: Path) -> Path:
    """Write the report; the page's path."""
    directory.mkdir(parents=True, exist_ok=True)
    pictures = plots.draw(timeline, test.numbers, samples, directory)
    (directory / "report.md").write_text(markdown(test, pictures), encoding="utf-8")
    (directory / "report.html").write_text(page(test, pictures, directory), encoding="utf-8")
    said = json.dumps({"good": test.good, "facts": dict(test.facts), **test.numbers.as_dict(test.verdict)}, indent=1)
    (directory / "numbers.json").write_text(said.replace("NaN", "null"), encoding="utf-8")
    return directory / "report.html"


def conclusion(test: Test) -> list[str]:
    """What the test says, in sentences."""
    total, verdict = test.numbers.total, test.verdict
    said = [f"{total.requests:,} requests, {total.failed:,} failed."]
    if verdict.metrics:
        said.append(_ledger(verdict))
    return [*said, *verdict.told, *test.troubles]


def _ledger(verdict: Verdict) -> str:
    return (
        f"{verdict.acknowledged:,} metric values were acknowledged in {verdict.metrics:,} histories: "
        f"{verdict.found:,} are there once, {verdict.lost:,} lost, {verdict.doubled:,} doubled, {verdict.wrong:,} wrong"
        + (f", {verdict.unread:,} histories could not be read." if verdict.unread else ".")
    )


def markdown(test: Test, pictures: Mapping[str, str]) -> str:
    """The report as Markdown; pictures are files beside it."""
    lines = [f"# Load test: {'passed' if test.good else 'FAILED'}", ""]
    lines += [*(f"- {sentence}" for sentence in conclusion(test)), ""]
    lines += [f"{name}: {text}  " for name, text in test.facts]
    lines += ["", _line(_HEAD), _line(["---"] + ["---:"] * (len(_HEAD) - 1))]
    lines += [_line(_cells(row)) for row in test.numbers.rows]
    lines += ["", _window(test.numbers), ""]
    if test.numbers.errors:
        lines += [_line(("kind", "what was wrong", "times")), _line(("---", "---", "---:"))]
        lines += [_line((kind, text.replace("|", "\\|"), f"{times:,}")) for kind, text, times in _errors(test.numbers)]
        lines += [""]
    lines += [line for file, title in pictures.items() for line in (f"![{title}]({file})", "")]
    return "\n".join(lines)


def page(test: Test, pictures: Mapping[str, str], directory: Path) -> str:
    """The report as one HTML file with its pictures in it."""
    parts = [f"<h1>Load test: {'passed' if test.good else 'FAILED'}</h1>", "<ul>"]
    parts += [*(f"<li>{escape(sentence)}</li>" for sentence in conclusion(test)), "</ul>", "<p>"]
    parts += [*(f"{escape(name)}: {escape(text)}<br>" for name, text in test.facts), "</p>"]
    parts.append(_table(_HEAD, [_cells(row) for row in test.numbers.rows]))
    parts.append(f"<p>{escape(_window(test.numbers))}</p>")
    if test.numbers.errors:
        rows = [(kind, text, f"{times:,}") for kind, text, times in _errors(test.numbers)]
        parts.append(_table(("kind", "what was wrong", "times"), rows))
    for file, title in pictures.items():
        parts.append(f"<h2>{escape(title)}</h2>{_inline((directory / file).read_text(encoding='utf-8'))}")
    body = "\n".join(parts)
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Load test</title><style>{_STYLE}</style>{body}'


def _cells(row: Row) -> list[str]:
    return [
        row.kind, f"{row.requests:,}", f"{row.failed:,}", f"{row.rate:,.1f}", _ms(row.p50), _ms(row.p99),
        f"{row.megabytes:,.1f}",
    ]  # fmt: skip


def _ms(value: float) -> str:
    return "" if math.isnan(value) else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _window(numbers: Numbers) -> str:
    first, last = numbers.steady
    return (
        f"Requests are of all {numbers.seconds} s; rates and quantiles are of right answers from second {first} "
        f"to {last}, when all users were there."
    )


def _errors(numbers: Numbers) -> Sequence[tuple[str, str, int]]:
    return numbers.errors[:_MOST]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _inline(svg: str) -> str:
    return svg[svg.index("<svg") :]
