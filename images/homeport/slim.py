"""Take out of an environment what no program at run time reads, and say how much each step saved.

    python slim.py /opt/homeport

Every step says why it is safe. What a model or a training script might call (any function of any library) stays.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# What Homeport and its clients ask of AWS: S3, and what credentials may come from.
_AWS = {"s3", "sts", "sso", "sso-oidc", "signin"}
# A compiler reads these; the compiled modules beside them do not.
_SOURCES = (".a", ".c", ".cc", ".cmake", ".cpp", ".f90", ".h", ".hpp", ".lib", ".map", ".pxd", ".pxi", ".pyi", ".pyx")


def main() -> None:
    """Do every step, print what it saved."""
    (packages,) = Path(sys.argv[1]).glob("lib/python3*/site-packages")
    before = _size(packages)
    for step in (tests, sources, aws_services, arrow_copies, arrow_flight, symbols):
        step(packages)
        after = _size(packages)
        sys.stdout.write(f"{step.__name__:<14} -{(before - after) / 1e6:6.1f} MB  {step.__doc__}\n")
        before = after
    sys.stdout.write(f"{'left':<14}  {before / 1e6:6.1f} MB\n")


def tests(packages: Path) -> None:
    """Packages' own test suites: no other module imports them."""
    for directory in sorted(packages.rglob("tests")):
        if directory.is_dir():
            shutil.rmtree(directory)


def sources(packages: Path) -> None:
    """Headers, Cython and C sources, type stubs, source maps: for compilers, type checkers and debuggers."""
    _delete(path for path in packages.rglob("*") if path.suffix in _SOURCES and path.is_file())


def aws_services(packages: Path) -> None:
    """Descriptions of AWS services other than S3 and those that credentials come from: botocore loads them by name."""
    for path in (packages / "botocore" / "data").iterdir():
        if path.is_dir() and path.name not in _AWS:
            shutil.rmtree(path)
    shutil.rmtree(packages / "boto3" / "examples", ignore_errors=True)


def arrow_copies(packages: Path) -> None:
    """Second and third copies of Arrow's libraries: a wheel has no symbolic links, and the loader wants one name."""
    for library in (packages / "pyarrow").glob("lib*.so.*"):
        if re.search(r"\.so\.\d+\.", library.name):
            library.unlink()
    for library in (packages / "pyarrow").glob("lib*.so"):
        if list((packages / "pyarrow").glob(f"{library.name}.*")):
            library.unlink()


def arrow_flight(packages: Path) -> None:
    """Arrow Flight, an RPC protocol: `pyarrow.flight` alone loads it, and nothing here speaks it."""
    _delete((packages / "pyarrow").glob("*_flight*"))


def symbols(packages: Path) -> None:
    """Symbol tables and debug information of extension modules; libraries that auditwheel has rewritten stay."""
    modules = [path for path in packages.rglob("*.so*") if path.is_file() and not _rewritten(path)]
    for start in range(0, len(modules), 200):
        subprocess.run(["strip", "--strip-unneeded", *modules[start : start + 200]], check=True)


def _rewritten(path: Path) -> bool:
    return any(part.endswith(".libs") for part in path.parts)


def _delete(paths: Iterator[Path]) -> None:
    for path in list(paths):
        path.unlink()


def _size(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
