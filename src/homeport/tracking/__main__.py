"""`python -m homeport.tracking`: the tracking server as a program."""

from homeport import program
from homeport.tracking.server import main

if __name__ == "__main__":
    program.run(main)
