"""Writes the chart's values.yaml, its values.schema.json and their reference page. `--check` fails when stale."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from homeport.render.chart.document import values_yaml
from homeport.render.chart.page import values_page
from homeport.render.chart.schema import values_schema
from tools import generated

ROOT = Path(__file__).resolve().parent.parent

FILES: dict[str, Callable[[], str]] = {
    "charts/homeport/values.yaml": values_yaml,
    "charts/homeport/values.schema.json": values_schema,
    "docs/reference/values.md": lambda: f"{generated.HEAD}\n{values_page()}",
}


if __name__ == "__main__":
    sys.exit(generated.main(FILES, ROOT, __doc__))
