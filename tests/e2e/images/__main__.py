"""`python -m tests.e2e.images [NAME …]`: make the images; `--list` says which there are, `--force` makes them anew."""

from __future__ import annotations

import argparse
import sys

from tests.e2e.images import engine, stand_ins
from tests.e2e.images.homeport import HOMEPORT, LOADTEST, make_homeport, make_loadtest


def main() -> None:
    """Make what was asked for; nothing said: everything, Homeport's own images last."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.images", description=__doc__)
    parser.add_argument("name", nargs="*", help="which ones; none: all")
    parser.add_argument("--list", action="store_true", help="print name and tag of each, and make nothing")
    parser.add_argument("--force", action="store_true", help="make them even when nothing changed")
    given = parser.parse_args()
    own = {"homeport": HOMEPORT, "loadtest": LOADTEST}
    known = {each.name: each.tag for each in stand_ins.STAND_INS} | own
    if unknown := set(given.name) - set(known):
        parser.error(f"no such image: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    if given.list:
        sys.stdout.writelines(f"{name}\t{tag}\n" for name, tag in known.items())
        return
    wanted = given.name or list(known)
    try:
        made = stand_ins.make(set(wanted) - own.keys(), force=given.force, say=_say)
        if "homeport" in wanted:
            made.append(make_homeport(say=_say))
        if "loadtest" in wanted:
            made.append(make_loadtest(say=_say))
    except engine.NotMadeError as error:
        sys.exit(str(error))
    sys.stdout.writelines(f"{tag}\n" for tag in made)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
