"""Becomes another program, but only once the supervisor has written it down.

Run as `python -I -S launch.py FD ARGV...`: waits for a byte on the socket FD; end of file means that the supervisor
died before it registered this process, and then nothing is started. A failed exec is answered with its errno; a
successful one closes the socket. Imports next to nothing: this runs before every service.
"""

import _signal  # type: ignore[import-not-found]  # built in; `signal` would take 5 ms more
import os
import sys

_NOT_FOUND, _NOT_RUNNABLE, _ORPHANED = 127, 126, 125


def main() -> int:
    """Wait, then exec; returns the exit code when there is nothing to become."""
    # Python ignores SIGPIPE, and what is ignored stays ignored across exec; the program must start like any other.
    for name in ("SIGINT", "SIGPIPE", "SIGXFSZ", "SIGHUP", "SIGTERM", "SIGQUIT"):
        _signal.signal(getattr(_signal, name), _signal.SIG_DFL)
    barrier = int(sys.argv[1])
    if not os.read(barrier, 1):
        return _ORPHANED
    os.set_inheritable(barrier, False)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - running programs is what this is for
    except OSError as error:
        os.write(barrier, str(error.errno).encode())
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUNNABLE


if __name__ == "__main__":
    os._exit(main())
