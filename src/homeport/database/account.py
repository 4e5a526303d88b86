"""PostgreSQL refuses to run as root: as root, choose an account that is nobody's login and become it.

Only what must be reached is made reachable: ownership of the data directory, and one capability when a directory
above the data or the programs is closed to that account (/root is). Refuses to know what is run.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from homeport.database import capability
from homeport.database.capability import Capability
from homeport.errors import HomeportError

_ACCOUNTS = ("postgres", "nobody")
# Reading and traversing is less than overriding; Docker's default set has only the latter.
_WANTED = (Capability.DAC_READ_SEARCH, Capability.DAC_OVERRIDE)


@dataclass(frozen=True)
class Account:
    """An unprivileged user of this machine; `is_service`: no person logs in as it."""

    name: str
    uid: int
    gid: int
    is_service: bool = True


def choose(cluster: Path) -> Account | None:
    """The account to run as: None for an ordinary user, who runs it as themselves.

    An existing cluster that belongs to an ordinary user stays theirs.

    Raises:
        HomeportError: DATABASE_NO_ACCOUNT when this machine has no unprivileged account.
    """
    if os.geteuid() != 0:
        return None
    services = [_account(name) for name in _ACCOUNTS]
    known = [account for account in services if account is not None]
    with contextlib.suppress(FileNotFoundError):
        owner = cluster.lstat()
        if owner.st_uid != 0 and owner.st_uid not in {account.uid for account in known}:
            return Account(_name(owner.st_uid), owner.st_uid, owner.st_gid, is_service=False)
    if not known:
        raise HomeportError(
            code="DATABASE_NO_ACCOUNT",
            what="there is no account the database could run as",
            evidence=(("looked for", ", ".join(_ACCOUNTS)),),
            why="PostgreSQL refuses to run as root",
            fix="run as an ordinary user, or: useradd --system --no-create-home postgres",
        )
    return known[0]


def hand_over(directory: Path, account: Account) -> None:
    """Give the directory and all below it to the account; links are changed, not followed.

    The directory itself comes last, so that an interrupted change is continued by the next start.

    Raises:
        HomeportError: DATABASE_NOT_OWNED when the file system refuses.
    """
    top = directory.lstat()
    cluster = directory / "cluster"
    if top.st_uid == account.uid and (not cluster.exists() or cluster.lstat().st_uid == account.uid):
        return
    try:
        for parent, directories, files in os.walk(directory, topdown=False):
            for name in (*files, *directories):
                os.chown(Path(parent, name), account.uid, account.gid, follow_symlinks=False)
        os.chown(directory, account.uid, account.gid, follow_symlinks=False)
    except OSError as error:
        raise HomeportError(
            code="DATABASE_NOT_OWNED",
            what=f'the database directory cannot be given to the account "{account.name}"',
            evidence=(("path", str(error.filename)), ("error", error.strerror or str(error))),
            why="PostgreSQL refuses to run as root, and this file system or container does not let root change owners",
            fix="run as an ordinary user, or keep the data elsewhere: HOMEPORT_HOME=/var/lib/homeport",
        ) from error


def run_as(
    account: Account | None, action: Callable[[], None], reach: Sequence[Path], works: Callable[[], bool]
) -> None:
    """Run `action` as the account; root again when it ends, so that a failure can be told where only root may write.

    Args:
        account: None: change nothing.
        action: usually does not end but becomes another program.
        reach: files and directories that program must reach.
        works: whether it can be started; asked once a capability was handed on.

    Raises:
        HomeportError: DATABASE_UNREACHABLE naming the first directory the account cannot pass, or what `action` raises.
    """
    if account is None:
        action()
        return
    groups, directory = os.getgroups(), Path.cwd()
    _switch(account)
    try:
        _make_reachable(account, reach, works)
        action()
    finally:
        _switch_back(groups)
        os.chdir(directory)


def closed(path: Path) -> Path | None:
    """The first directory on the way to `path`, or `path` itself, that this user cannot pass; None: it is reachable."""
    for step in (*reversed(path.parents), path):
        if not os.access(step, os.X_OK) and not (os.access(step, os.R_OK) and not step.is_dir()):
            return step
    return None


def _make_reachable(account: Account, reach: Sequence[Path], works: Callable[[], bool]) -> None:
    usable = capability.permitted(_WANTED)
    # Python itself may lie where the account cannot go; it needs its library until it has become the server.
    paths = reach if usable else (*reach, Path(sys.prefix), Path(os.__file__))
    shut = next((step for path in paths if (step := closed(path)) is not None), None)
    refused = "not permitted" if account.is_service else f"not given to {account.name}, who may log in"
    try:
        if shut is None:
            if usable:
                capability.use(usable[0])
            return
        for one in usable if account.is_service else ():
            capability.hand_on(one)
            if works():
                return
    except OSError as error:
        refused = error.strerror or str(error)
    raise HomeportError(
        code="DATABASE_UNREACHABLE",
        what=f'the account "{account.name}" cannot pass {shut}',
        evidence=(("capabilities", f"DAC_READ_SEARCH, DAC_OVERRIDE: {refused}"),),
        why="PostgreSQL refuses to run as root, and the account it runs as must reach its programs and its data",
        fix="HOMEPORT_HOME=/var/lib/homeport and an environment outside /root, or run as an ordinary user",
    )


def _switch(account: Account) -> None:
    parent_death = capability.parent_death_signal()
    os.setgroups([account.gid])
    if sys.platform == "linux":
        # The saved id stays root's until exec gives it up: with it the permitted capabilities stay, and a failure can
        # be written where only root may write.
        os.setresgid(account.gid, account.gid, 0)
        os.setresuid(account.uid, account.uid, 0)
    else:
        os.setgid(account.gid)
        os.setuid(account.uid)
    capability.set_parent_death_signal(parent_death)


def _switch_back(groups: list[int]) -> None:
    if sys.platform == "linux":
        os.setresuid(0, 0, 0)
        capability.use_all()
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


def _account(name: str) -> Account | None:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, found.pw_uid, found.pw_gid) if found.pw_uid != 0 else None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
