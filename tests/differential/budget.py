"""How long the suite looks: in CI the same requests always, about a minute; on demand all of them, and new ones.

HOMEPORT_DIFFERENTIAL_SECONDS=3600 looks an hour for sequences nobody thought of.
"""

from __future__ import annotations

import os

# Read when the module is imported: tests/conftest.py takes our variables away before each test.
SECONDS = float(os.environ.get("HOMEPORT_DIFFERENTIAL_SECONDS", "0"))
EXAMPLES = 250  # sequences in CI
EACH = 1 if SECONDS else 2  # of the odd values each, or every other one, a field, in turn
