"""Where Helm's engine has no wheel (Linux on ARM), the chart is left to the machines that have one; never in CI."""

from __future__ import annotations

import os
from importlib.util import find_spec

_HERE = find_spec("helm_python") is not None or os.environ.get("HOMEPORT_NO_SKIP") == "1"
collect_ignore_glob = [] if _HERE else ["test_*.py"]
