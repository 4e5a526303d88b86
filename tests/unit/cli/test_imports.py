"""The command line is instant because it imports little; a command that needs more imports it when called."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("mlflow", "pandas", "numpy", "boto3", "sqlalchemy", "asyncio", "psutil")


def imported_by(source: str) -> set[str]:
    program = f"{source}\nimport sys\nprint('\\n'.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["homeport", "homeport.cli.main", "homeport.cli.lifecycle", "homeport.cli.inspect", "homeport.cli.client"]
)
def test_importing_the_command_line_imports_nothing_heavy(module: str) -> None:
    assert not imported_by(f"import {module}") & set(HEAVY)


def test_status_imports_nothing_heavy() -> None:
    source = "import homeport.platform, tempfile\nhomeport.platform.Platform(home=tempfile.mkdtemp()).status()"
    assert not imported_by(source) & {"mlflow", "pandas", "numpy", "boto3", "sqlalchemy"}
