"""Secrets of one home: made once, kept in files only their owner can read, never written over.

A secret file appears whole or not at all, and two processes that make the same one at once agree on one value.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
import string
from collections.abc import Callable
from pathlib import Path

from homeport.errors import HomeportError
from homeport.model.values import SecretKind
from homeport.supervisor.files import disk_error, sync_directory

_KEY_LENGTH = 20
_ALPHABET = string.ascii_uppercase + string.digits

_MAKE: dict[SecretKind, Callable[[], str]] = {
    SecretKind.PASSWORD: lambda: secrets.token_urlsafe(32),
    SecretKind.ACCESS_KEY: lambda: "".join(secrets.choice(_ALPHABET) for _ in range(_KEY_LENGTH)),
    SecretKind.FERNET: lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
}


def kept(path: Path, kind: SecretKind) -> str:
    """The secret in this file, made first if there is none.

    Raises:
        HomeportError: SECRET_UNREADABLE, DISK_FULL or HOME_NOT_WRITABLE.
    """
    if not os.path.lexists(path):
        try:
            _create(path, _MAKE[kind]())
        except OSError as error:
            raise disk_error(error, f"secret {path.name} could not be kept") from error
    return read(path)


def read(path: Path) -> str:
    """The secret in this file; one that others could read is closed to them.

    Raises:
        HomeportError: SECRET_UNREADABLE when it is empty, not text, or not ours to read.
    """
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise _unreadable(path, str(reason or error)) from error
    if not text:
        raise _unreadable(path, "the file is empty")
    return text


def given(path: Path, text: str) -> None:
    """Write a secret that the user set into a private file, for a program that takes only a file.

    Raises:
        HomeportError: DISK_FULL or HOME_NOT_WRITABLE.
    """
    try:
        if path.exists() and path.read_bytes() == text.encode():
            return
        path.unlink(missing_ok=True)
        _create(path, text)
    except OSError as error:
        raise disk_error(error, f"secret {path.name} could not be written for the program that reads it") from error


def _create(path: Path, text: str) -> None:
    """Write beside, then link into place: whoever comes second finds the first one's value."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - opens a descriptor, not a path
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        _settle(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync_directory(path.parent)


def _settle(beside: Path, path: Path) -> None:
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        pass
    except (
        OSError
    ):  # A file system without hard links (some mounts in containers): rename is atomic, though not exclusive.
        beside.rename(path)


def _unreadable(path: Path, reason: str) -> HomeportError:
    return HomeportError(
        code="SECRET_UNREADABLE",
        what=f'secret "{path.name}" cannot be read',
        evidence=(("file", f"{path}: {reason}"),),
        why="Homeport makes each secret once and never replaces it, because the data may depend on it",
        fix=f"restore {path} from a backup; to start over without the data: homeport down --volumes",
    )
