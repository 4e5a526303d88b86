"""Values of a platform as a file for `helm install -f`: what to do first, what stays behind, then the values."""

from __future__ import annotations

import difflib
import shlex
import textwrap
from collections.abc import Iterable
from pathlib import Path

from homeport.errors import HomeportError
from homeport.render.chart.carried import SECRET, Carried
from homeport.render.chart.document import WIDTH
from homeport.render.text import block

_OWN_SECRETS = "the chart makes new passwords and keys; those of this platform: homeport render values --secrets DIR"


def text(found: Carried, secrets: Path | None) -> str:
    """The file.

    Args:
        found: the values, and what belongs to them.
        secrets: the directory with the keys of the one Secret; None: the chart makes its own.
    """
    steps, left = list(found.steps), list(found.left)
    if secrets is None:
        left.append(("secrets", _OWN_SECRETS))
    else:
        place = shlex.quote(str(secrets))
        steps.insert(0, f"kubectl create secret generic {SECRET} --from-file={place} && rm -r {place}")
    lines = ["# Values for charts/homeport: what this platform's settings say otherwise than the chart's defaults."]
    if steps:
        lines += ["#", "# First, in the namespace of the release:", *(f"#   {step}" for step in steps)]
    if left:
        lines += ["#", "# Not carried over, or to be looked at:", *_remarks(left)]
    values = found.nested()
    return "\n".join([*lines, "", *(block(values) if values else ["{}"])]) + "\n"


def difference(file: Path, text: str) -> list[str]:
    """Lines of the difference between a file and what it would be; none where there is none."""
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    return list(difflib.unified_diff(before.splitlines(), text.splitlines(), file.name, "rendered", lineterm="", n=1))


def write(file: Path, text: str) -> None:
    """Write the file.

    Raises:
        HomeportError: VALUES_NOT_WRITABLE.
    """
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HomeportError(
            code="VALUES_NOT_WRITABLE",
            what=f"{file} could not be written",
            evidence=(("error", error.strerror or str(error)),),
            fix="name another file: --output FILE",
        ) from error


def _remarks(left: Iterable[tuple[str, str]]) -> list[str]:
    return [
        line
        for name, why in left
        for line in textwrap.wrap(
            f"{name}: {why}",
            WIDTH,
            initial_indent="#   ",
            subsequent_indent="#     ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
