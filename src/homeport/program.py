"""Run one of the programs behind a service: configuration from the environment, failures explained, then exit.

A failure goes to the file named by HOMEPORT_REASON_FILE (for whoever started the program) and to stderr (for its log).
This module refuses to know what the program does and who started it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from homeport.errors import ExitCode, HomeportError

REASON_FILE = "HOMEPORT_REASON_FILE"


def run(main: Callable[[], None]) -> NoReturn:
    """Run `main` and exit: 0, the error's own code, 130 after SIGINT or 143 after SIGTERM."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        main()
    except HomeportError as error:
        _explain(error)
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        sys.exit(int(ExitCode.INTERRUPTED))
    except Exception as error:  # whatever it is, who started the program must be told
        traceback.print_exc()
        _explain(_unexpected(error))
        sys.exit(int(ExitCode.FAILED))
    sys.exit(int(ExitCode.OK))


def replace(argv: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Become another program: same process id, no wrapper stays behind.

    Raises:
        HomeportError: PROGRAM_NOT_STARTED when the operating system refuses.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and what is ignored stays so across exec
    try:
        os.execve(argv[0], list(argv), dict(environ))  # noqa: S606 - without a shell is the point
    except OSError as error:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # this program goes on, and a closed pipe must not end it
        raise HomeportError(
            code="PROGRAM_NOT_STARTED",
            what=f"{argv[0]} could not be started",
            evidence=(("error", error.strerror or str(error)),),
            why="the file is missing, not executable, or made for another machine",
            fix="install Homeport again: make install",
        ) from error


def setting(name: str, default: str | None = None, environ: Mapping[str, str] | None = None) -> str:
    """The value of an environment variable; an empty one counts as not set.

    Raises:
        HomeportError: SETTING_MISSING when it is not set and there is no default.
    """
    value = (os.environ if environ is None else environ).get(name, "") or default
    if value is None:
        raise HomeportError(
            code="SETTING_MISSING",
            what=f"{name} is not set",
            why="this program reads its configuration from the environment",
            fix=f"set {name}, or start it with: homeport up",
            exit_code=ExitCode.USAGE,
        )
    return value


def number(
    name: str,
    default: float | None = None,
    *,
    low: float = 0,
    high: float = 86400,
    environ: Mapping[str, str] | None = None,
) -> float:
    """The value of an environment variable as a number from `low` to `high`.

    Raises:
        HomeportError: SETTING_MISSING, or SETTING_INVALID with what is needed and what was found.
    """
    text = setting(name, None if default is None else str(default), environ)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise HomeportError(
            code="SETTING_INVALID",
            what=f"{name} is not usable",
            evidence=(("needed", f"a number from {low:g} to {high:g}"), ("found", text)),
            fix=f"set {name} to a number from {low:g} to {high:g}",
            exit_code=ExitCode.USAGE,
        )
    return value


def secret(name: str, environ: Mapping[str, str] | None = None) -> str:
    """A secret from the variable `name`, or from the file named by `name`_FILE without its last line break.

    Raises:
        HomeportError: SECRET_MISSING, SECRET_AMBIGUOUS, SECRET_UNREADABLE or SECRET_EMPTY; each names both variables.
    """
    environ = os.environ if environ is None else environ
    value, file = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if value and file:
        raise _secret(
            "SECRET_AMBIGUOUS",
            f"{name} and {name}_FILE are both set",
            "they could differ",
            f"unset {name} or {name}_FILE",
        )
    if value:
        return value
    if not file:
        raise _secret(
            "SECRET_MISSING",
            f"neither {name} nor {name}_FILE is set",
            "there is no default for a secret",
            f"set {name}_FILE to a file that holds it (mode 0600), or set {name}",
        )
    try:
        value = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8 text"
        raise _secret(
            "SECRET_UNREADABLE",
            f"the file named by {name}_FILE cannot be read",
            f"{file}: {reason}",
            f"make it readable for this user, or set {name}",
        ) from error
    if not value:
        raise _secret(
            "SECRET_EMPTY",
            f"the file named by {name}_FILE is empty",
            file,
            f"write the secret into it, or set {name}",
        )
    return value


def loopback(name: str) -> str:
    """The address in an environment variable, which must be one of the loopback interface; 127.0.0.1 when not set.

    Raises:
        HomeportError: SETTING_INVALID.
    """
    host = setting(name, "127.0.0.1")
    try:
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise HomeportError(
        code="SETTING_INVALID",
        what="this program listens on the loopback interface only",
        evidence=(("needed", f"{name}=127.0.0.1 or ::1"), ("found", host)),
        why="its clients are on this machine, and nobody else gets in",
        fix=f"leave {name} alone; others reach the platform through its tracking server",
        exit_code=ExitCode.USAGE,
    )


def check_port(who: str, host: str, port: int, name: str) -> None:
    """See that `who` can listen there; `name` is the setting that chooses another port.

    Raises:
        HomeportError: PORT_TAKEN.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise port_taken(who, host, port, name, error) from error


def port_taken(who: str, host: str, port: int, name: str, error: OSError) -> HomeportError:
    """The error of a program that cannot listen; `name` is the setting that chooses another port."""
    return HomeportError(
        code="PORT_TAKEN",
        what=f"{who} cannot listen on {host}:{port}",
        evidence=(("error", error.strerror or str(error)),),
        why="another program listens there",
        fix=f"stop that program, or choose another port: {name}",
    )


def _secret(code: str, what: str, why: str, fix: str) -> HomeportError:
    return HomeportError(code=code, what=what, why=why, fix=fix, exit_code=ExitCode.USAGE)


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(int(ExitCode.TERMINATED))


def _explain(error: HomeportError) -> None:
    file = os.environ.get(REASON_FILE, "")
    if file:
        try:
            _write_whole(Path(file), json.dumps(error.as_dict()))
        except OSError as refused:
            sys.stderr.write(f"the reason could not be written to {file}: {refused.strerror}\n")
    sys.stderr.write(error.block() + "\n")


def _write_whole(file: Path, text: str) -> None:
    """Write so that a reader sees all of it or none of it."""
    half = file.with_name(f"{file.name}.{os.getpid()}")
    half.write_text(text, encoding="utf-8")
    half.replace(file)


def _unexpected(error: Exception) -> HomeportError:
    line = traceback.format_exception_only(error)[-1].strip()
    return HomeportError(
        code="UNEXPECTED",
        what="the program ended by an error it did not foresee",
        evidence=(("exception", line),),
        why="this is a defect of Homeport, or something on this machine that it does not know yet",
        fix="the traceback is in the log; please report it with the command that led here",
    )
