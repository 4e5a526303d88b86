"""What reads a home must be quick: it is in every command's way."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["client", "logs", "timings", "layout"])
def test_reading_a_home_imports_nothing_heavy(module: str) -> None:
    text = f"import sys, homeport.supervisor.{module}; print(' '.join(sys.modules))"
    loaded = subprocess.run((sys.executable, "-c", text), capture_output=True, text=True, check=True).stdout.split()
    assert not {"asyncio", "psutil", "subprocess", "ctypes", "mlflow", "hashlib"} & set(loaded)
