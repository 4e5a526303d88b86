"""Writes the chart's values.yaml, its values.schema.json and their reference page. `--check` fails when stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from homeport.render.chart.document import values_yaml
from homeport.render.chart.page import values_page
from homeport.render.chart.schema import values_schema
from tools.reference import HEAD

ROOT = Path(__file__).resolve().parent.parent

FILES: dict[str, Callable[[], str]] = {
    "charts/homeport/values.yaml": values_yaml,
    "charts/homeport/values.schema.json": values_schema,
    "docs/reference/values.md": lambda: f"{HEAD}\n{values_page()}",
}


def main() -> int:
    """Write the files, or say which are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    check = parser.parse_args().check
    stale = []
    for name, made in FILES.items():
        file = ROOT / name
        text = made()
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                file.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"stale: {', '.join(stale)}; run: make docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
