"""`python -m homeport.serving`: the serving API as a program."""

from __future__ import annotations

from homeport.program import run
from homeport.serving.server import main

if __name__ == "__main__":
    run(main)
