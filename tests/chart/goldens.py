"""The committed renders of the chart, which a reader of a change sees: `python -m tests.chart.goldens` writes them.

Generated secrets are masked; nothing else is left out.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.chart.matrix import sites
from tests.chart.rendering import ROOT, Objects, render

DIRECTORY = ROOT / "tests" / "golden" / "chart"
SITES = ("trial", "production")


class _Dumper(yaml.CSafeDumper):
    """Texts of several lines as they are read, and no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def written(objects: Objects) -> str:
    """Every object of a render, each below the name of its template, and what is said after an installation."""
    texts = ((each.source, yaml.dump(each.masked, Dumper=_Dumper, sort_keys=False, width=120)) for each in objects)
    found = "".join(f"---\n# {source}\n{text}" for source, text in texts)
    notes = "".join(f"# {line}".rstrip() + "\n" for line in objects.notes.strip().splitlines())
    return f"{found}---\n# homeport/templates/NOTES.txt\n#\n{notes}"


def golden(site: str) -> Path:
    """The file of a site."""
    return DIRECTORY / f"{site}.yaml"


def main() -> None:
    """Write the render of each site."""
    DIRECTORY.mkdir(exist_ok=True)
    for site in SITES:
        golden(site).write_text(written(render(sites()[site])))


if __name__ == "__main__":
    main()
