"""Linux capabilities, as far as one is needed: use a single one, or hand it on to the programs this process starts.

Reference: capabilities(7), kernel interface version 3; prctl(2). Refuses to know why somebody needs one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable
from enum import IntEnum

_VERSION_3 = 0x20080522
_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_PR_GET_SECUREBITS, _PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 27, 28, 1 << 2
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4


class Capability(IntEnum):
    """The two that let a process reach files whatever their directories' modes say, and the one to set secure bits."""

    DAC_OVERRIDE = 1  # read, write and traverse
    DAC_READ_SEARCH = 2  # read and traverse only
    SETPCAP = 8


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def permitted(wanted: Iterable[Capability]) -> tuple[Capability, ...]:
    """Those of them that this process may use, in the same order; none where there are no capabilities."""
    if sys.platform != "linux":
        return ()
    words = _read()
    return tuple(one for one in wanted if words[0].permitted & (1 << one))


def use(*ones: Capability) -> None:
    """Use these, and only these, in this process; programs it starts do not get them.

    Raises:
        OSError: the kernel refuses.
    """
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _write(sum(1 << one for one in ones), 0)


def use_all() -> None:
    """Use every permitted one in this process again."""
    if sys.platform == "linux":
        words = _read()
        _write(words[0].permitted | words[1].permitted << 32, 0)


def hand_on(one: Capability) -> None:
    """Use `one`, and only it, in this process and in every program it starts or becomes.

    access(2) leaves capabilities aside for whoever is not root, and PostgreSQL's programs look for each other with it;
    the secure bit NO_SETUID_FIXUP lets it count them.

    Raises:
        OSError: the kernel refuses, for example because of SECBIT_NO_CAP_AMBIENT_RAISE.
    """
    use(*permitted((Capability.SETPCAP,)))
    with contextlib.suppress(PermissionError):  # without SETPCAP; whoever asked for it sees whether it works so
        _prctl(_PR_SET_SECUREBITS, _get_securebits() | _NO_SETUID_FIXUP)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _write(1 << one, 1 << one)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, int(one))


def parent_death_signal() -> int:
    """The signal this process gets when its parent dies; 0: none."""
    if sys.platform != "linux":
        return 0
    found = ctypes.c_int()
    _call(_libc().prctl(ctypes.c_int(_PR_GET_PDEATHSIG), ctypes.byref(found), 0, 0, 0), "prctl")
    return found.value


def set_parent_death_signal(sig: int) -> None:
    """Have this process get `sig` when its parent dies. The kernel forgets it whenever the user changes."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, sig)


def _get_securebits() -> int:
    return int(_libc().prctl(_PR_GET_SECUREBITS, 0, 0, 0, 0))


def _write(effective: int, inheritable: int) -> None:
    words = _read()
    for index, word in enumerate(words):
        word.effective = effective >> 32 * index & 0xFFFFFFFF
        word.inheritable = inheritable >> 32 * index & 0xFFFFFFFF
    _call(_libc().capset(ctypes.byref(_Header(_VERSION_3, 0)), words), "capset")


def _read() -> ctypes.Array[_Word]:
    words = (_Word * 2)()
    _call(_libc().capget(ctypes.byref(_Header(_VERSION_3, 0)), words), "capget")
    return words


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    _call(_libc().prctl(ctypes.c_int(option), *padded), "prctl")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(result: int, name: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
