"""Whether a server of ours may listen where it is told to: on loopback, or asking who is there, or by an explicit word.

Read from the environment by every program that answers HTTP. Refuses to know how anybody is asked.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping
from enum import StrEnum

from homeport.errors import ExitCode, HomeportError

VARIABLE = "HOMEPORT_AUTH"


class Authentication(StrEnum):
    """What `HOMEPORT_AUTH` says; `auto`, which who starts us has decided by then, is `basic`."""

    BASIC = "basic"
    OFF = "off"
    UNSAID = ""


def authentication(environ: Mapping[str, str] | None = None) -> Authentication:
    """What the environment says.

    Raises:
        HomeportError: SETTING_INVALID.
    """
    value = (os.environ if environ is None else environ).get(VARIABLE, "").strip().lower()
    try:
        return Authentication.BASIC if value == "auto" else Authentication(value)
    except ValueError as error:
        raise HomeportError(
            code="SETTING_INVALID",
            what=f"{VARIABLE} is not usable",
            evidence=(("needed", "basic or off"), ("found", value)),
            fix=f"set {VARIABLE} to: basic",
            exit_code=ExitCode.USAGE,
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check(who: str, host: str, *, asks: bool, fix: str, environ: Mapping[str, str] | None = None) -> None:
    """See that nobody from elsewhere gets in unasked, unless that was said in so many words.

    Args:
        who: the server, for the error.
        host: where it listens.
        asks: whether it asks who is there.
        fix: how to make it ask.
        environ: os.environ when not given.

    Raises:
        HomeportError: AUTHENTICATION_REQUIRED.
    """
    said = authentication(environ)
    if asks or is_loopback(host):
        return
    if said is Authentication.OFF:
        sys.stderr.write(f"{who} answers everybody who reaches {host}: {VARIABLE}=off\n")
        sys.stderr.flush()
        return
    raise HomeportError(
        code="AUTHENTICATION_REQUIRED",
        what=f"{who} does not listen on {host} without authentication",
        evidence=(("needed", "authentication, or an address of the loopback interface"), ("found", host)),
        why="whoever reaches that address could read, change and delete everything",
        fix=f"{fix}; or, where others keep strangers out: {VARIABLE}=off",
        exit_code=ExitCode.USAGE,
    )
