"""Benchmarks are programs that lie beside their modules: their directory is on the path, as when they run."""

from __future__ import annotations

import sys

from tests.documents import ROOT

if str(ROOT / "benchmarks") not in sys.path:
    sys.path.append(str(ROOT / "benchmarks"))
