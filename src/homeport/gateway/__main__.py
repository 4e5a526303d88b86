"""Write what Traefik follows: `python -m homeport.gateway`. Says in one line what it did."""

from __future__ import annotations

import sys

from homeport.gateway.job import prepare
from homeport.program import run


def main() -> None:
    """The program."""
    sys.stdout.write(prepare() + "\n")


if __name__ == "__main__":
    run(main)
