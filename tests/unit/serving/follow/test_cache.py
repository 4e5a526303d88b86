"""The cache on a real disk and between real processes: whole versions or none, within the limit."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homeport.errors import HomeportError
from homeport.serving.follow import locks
from homeport.serving.follow.cache import Cache
from homeport.serving.follow.versions import RegisteredVersion

SIZE = 1000
ONE = RegisteredVersion("wine", "1", source="models:/m-one")
TWO = RegisteredVersion("wine", "2", source="models:/m-two")
THREE = RegisteredVersion("wine", "3", source="models:/m-three")


class Source:
    """Writes a version's files as a download would, and counts."""

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self.fetched: list[str] = []

    def __call__(self, version: RegisteredVersion, into: Path, room: Callable[[int], None]) -> None:
        room(self.size)
        self.fetched.append(f"{version.name}/{version.version}")
        (into / "data").mkdir()
        (into / "MLmodel").write_bytes(b"m" * 100)
        (into / "data" / "model.bin").write_bytes(version.source.encode().ljust(self.size - 100, b"."))


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def cache(tmp_path: Path, source: Source) -> Cache:
    return Cache(tmp_path / "cache", 2 * SIZE + 10, source)


def left_over(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "incoming").iterdir())


def test_a_version_is_downloaded_once(cache: Cache, source: Source, tmp_path: Path) -> None:
    for _ in range(3):
        lease = cache.lease(ONE)
        assert lease.path == cache.path_of(ONE)
        assert (lease.path / "data" / "model.bin").read_bytes().startswith(b"models:/m-one")
        lease.release()
        lease.release()
    assert source.fetched == ["wine/1"]
    assert left_over(tmp_path / "cache") == []


def _fetch_slowly(directory: Path, marks: Path, start: Path) -> None:
    def fetch(version: RegisteredVersion, into: Path, room: Callable[[int], None]) -> None:
        Source()(version, into, room)
        (marks / f"fetched-{os.getpid()}").touch()

    with locks.locked(start, shared=True):
        pass
    lease = Cache(directory, 10 * SIZE, fetch).lease(ONE)
    assert (lease.path / "MLmodel").is_file()
    (marks / f"served-{os.getpid()}").touch()


def test_many_processes_download_it_once(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    context = multiprocessing.get_context("spawn")
    start = tmp_path / "start"
    held = locks.taken(start)
    assert held is not None
    workers = [
        context.Process(target=_fetch_slowly, args=(tmp_path / "cache", marks, start), daemon=True) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    locks.give_back(held)
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(list(marks.glob("served-*"))) == 4
    assert len(list(marks.glob("fetched-*"))) == 1


def test_the_same_number_of_another_model_is_another_version(cache: Cache, source: Source) -> None:
    again = RegisteredVersion("wine", "1", source="models:/m-other")
    assert cache.lease(ONE).path != cache.lease(again).path
    assert len(source.fetched) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "data" / "model.bin").write_bytes(b"x" * (SIZE - 100)),
        lambda path: (path / "data" / "model.bin").write_bytes(b""),
        lambda path: (path / "MLmodel").unlink(),
        lambda path: (path / "extra.py").write_text("print()"),
        lambda path: (path / "link").symlink_to("/etc/passwd"),
        lambda path: (path.parent / "manifest.json").write_text("{"),
        lambda path: (path.parent / "manifest.json").unlink(),
        shutil.rmtree,
    ],
    ids=["content", "size", "missing", "extra", "link", "torn-manifest", "no-manifest", "no-directory"],
)
def test_a_damaged_version_is_downloaded_again(cache: Cache, source: Source, damage: Callable[[Path], object]) -> None:
    lease = cache.lease(ONE)  # still in use by this worker: that must not keep the others from mending it
    damage(lease.path)
    with pytest.raises(HomeportError) as error:
        cache.lease(ONE, fetch=False)
    assert error.value.code == "MODEL_NOT_CACHED"
    path = cache.lease(ONE).path
    assert (path / "data" / "model.bin").read_bytes().startswith(b"models:/m-one")
    assert source.fetched == ["wine/1", "wine/1"]


def test_compiled_python_beside_the_models_code_is_no_damage(cache: Cache, source: Source) -> None:
    lease = cache.lease(ONE)
    (lease.path / "data" / "__pycache__").mkdir()
    (lease.path / "data" / "__pycache__" / "x.pyc").write_bytes(b"")
    cache.lease(ONE)
    assert len(source.fetched) == 1


def test_a_version_that_was_never_downloaded_is_not_in_the_cache(cache: Cache) -> None:
    with pytest.raises(HomeportError, match="it is not there") as error:
        cache.lease(ONE, fetch=False)
    assert error.value.code == "MODEL_NOT_CACHED"


def test_the_least_recently_used_version_makes_room(cache: Cache, source: Source) -> None:
    for version in (ONE, TWO, ONE):
        lease = cache.lease(version)
        lease.release()
    os.utime(cache.path_of(TWO).parent, (1, 1))  # the clock of a file system may be coarse
    cache.lease(THREE)
    assert cache.path_of(ONE).exists()
    assert not cache.path_of(TWO).exists()
    assert cache.size == 2 * SIZE


def test_a_version_in_use_is_never_removed(cache: Cache, tmp_path: Path) -> None:
    kept = [cache.lease(ONE), cache.lease(TWO)]
    with pytest.raises(HomeportError) as error:
        cache.lease(THREE)
    assert error.value.code == "CACHE_FULL"
    assert dict(error.value.evidence).keys() == {"needed", "found"}
    assert all((lease.path / "MLmodel").exists() for lease in kept)
    assert left_over(tmp_path / "cache") == []
    kept[0].release()
    cache.lease(THREE)
    assert not cache.path_of(ONE).exists()


def test_a_version_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 5000, Source(6000))
    with pytest.raises(HomeportError) as error:
        cache.lease(ONE)
    assert error.value.code == "CACHE_FULL"
    assert left_over(tmp_path / "cache") == []


def test_a_use_by_another_process_counts(cache: Cache, tmp_path: Path, source: Source) -> None:
    for version in (ONE, TWO):
        cache.lease(version).release()
    program = (
        "import sys; from pathlib import Path; from homeport.serving.follow.cache import Cache;"
        "from homeport.serving.follow.versions import RegisteredVersion as V;"
        f"lease = Cache(Path({str(tmp_path / 'cache')!r}), 0, None).lease(V('wine', '1', source='models:/m-one'));"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        os.utime(cache.path_of(ONE).parent, (1, 1))
        cache.lease(THREE)
        assert cache.path_of(ONE).exists()
        assert not cache.path_of(TWO).exists()
        other.kill()


@pytest.mark.parametrize(
    "name", ["..", ".", "../../etc", "a/b", "a" * 250, "ü" * 80, "a b", "C:\\x", "%2e%2e", "50%#?~"]
)
def test_any_name_stays_inside_the_directory(cache: Cache, name: str, tmp_path: Path) -> None:
    path = cache.lease(RegisteredVersion(name, "1")).path
    assert path.resolve().parent.parent.parent == tmp_path / "cache" / "models"
    assert not set(path.name + path.parent.name + path.parent.parent.name) & set("%#?&:")


def test_no_two_names_share_a_directory(cache: Cache) -> None:
    names = ["a/b", "a%2Fb", "..", "%2E.", "~2E.", "a~2Fb", "a" * 250, "a" * 251]
    assert len({cache.path_of(RegisteredVersion(name, "1")) for name in names}) == len(names)


def test_a_link_among_the_files_is_refused(tmp_path: Path) -> None:
    def fetch(version: RegisteredVersion, into: Path, room: Callable[[int], None]) -> None:
        (into / "MLmodel").symlink_to("/etc/passwd")

    with pytest.raises(HomeportError, match="neither a file nor a directory") as error:
        Cache(tmp_path / "cache", SIZE, fetch).lease(ONE)
    assert error.value.code == "MODEL_NOT_DOWNLOADED"
    assert left_over(tmp_path / "cache") == []


def test_a_download_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fetch(version: RegisteredVersion, into: Path, room: Callable[[int], None]) -> None:
        (into / "half").write_bytes(b"x" * 100)
        raise ConnectionResetError(104, "Connection reset by peer")

    cache = Cache(tmp_path / "cache", SIZE, fetch)
    with pytest.raises(HomeportError) as error:
        cache.lease(ONE)
    assert error.value.code == "MODEL_NOT_DOWNLOADED"
    assert left_over(tmp_path / "cache") == []
    assert not cache.path_of(ONE).parent.exists()


def _die_while_downloading(directory: Path) -> None:
    def fetch(version: RegisteredVersion, into: Path, room: Callable[[int], None]) -> None:
        room(SIZE)
        (into / "half").write_bytes(b"x")
        os._exit(9)

    Cache(directory, 10 * SIZE, fetch).lease(ONE)


def test_what_a_killed_process_left_is_removed_at_the_next_start(tmp_path: Path, source: Source) -> None:
    killed = multiprocessing.get_context("spawn").Process(target=_die_while_downloading, args=(tmp_path / "cache",))
    killed.start()
    killed.join(60)
    assert killed.exitcode == 9
    assert len(left_over(tmp_path / "cache")) == 3
    cache = Cache(tmp_path / "cache", SIZE, source)
    assert left_over(tmp_path / "cache") == []
    cache.lease(ONE)


def test_a_download_under_way_survives_the_start_of_another_worker(tmp_path: Path) -> None:
    def fetch(version: RegisteredVersion, into: Path, room: Callable[[int], None]) -> None:
        room(SIZE)
        Cache(tmp_path / "cache", 10 * SIZE, fetch)  # another worker starts now
        Source()(version, into, room)

    assert Cache(tmp_path / "cache", 10 * SIZE, fetch).lease(ONE).path.exists()


def test_downloads_at_the_same_time_do_not_pass_the_limit_together(tmp_path: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def fetch(version: RegisteredVersion, into: Path, room: Callable[[int], None]) -> None:
        def room_then_wait(size: int) -> None:
            room(size)
            inside.set()
            assert go_on.wait(30)

        Source()(version, into, room_then_wait)

    first = threading.Thread(target=lambda: Cache(tmp_path / "cache", SIZE + 10, fetch).lease(ONE))
    first.start()
    assert inside.wait(30)
    try:
        with pytest.raises(HomeportError) as error:
            Cache(tmp_path / "cache", SIZE + 10, Source()).lease(TWO)
        assert error.value.code == "CACHE_FULL"
    finally:
        go_on.set()
        first.join(30)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB, which only root can mount."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "homeport-test", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_that_is_too_small_is_seen_before_the_first_byte(small_disk: Path) -> None:
    with pytest.raises(HomeportError, match="left by the disk") as error:
        Cache(small_disk / "cache", 2**30, Source(2**21)).lease(ONE)
    assert error.value.code == "CACHE_FULL"


def test_a_disk_that_fills_up_meanwhile_leaves_no_half_version(small_disk: Path) -> None:
    def fetch(version: RegisteredVersion, into: Path, room: Callable[[int], None]) -> None:
        if version != ONE:
            room(100)
            (into / "model.bin").write_bytes(b"x" * 2**21)
        Source()(version, into, room)

    cache = Cache(small_disk / "cache", 2**30, fetch)
    kept = cache.lease(ONE)
    with pytest.raises(HomeportError) as error:
        cache.lease(TWO)
    assert error.value.code == "CACHE_FULL"
    assert left_over(small_disk / "cache") == []
    assert not cache.path_of(TWO).parent.exists()
    assert cache.lease(ONE).path == kept.path


def test_what_was_served_last_is_kept_and_merged(cache: Cache, tmp_path: Path, source: Source) -> None:
    other = Cache(tmp_path / "cache", SIZE, source).last_good
    cache.last_good.remember({"wine@champion": [ONE], "*@champion": [ONE, RegisteredVersion("penguins", "3")]})
    other.remember({"wine@champion": [TWO]})
    assert cache.last_good.versions("wine@champion") == {"wine": TWO}
    assert sorted(other.versions("*@champion")) == ["penguins", "wine"]
    assert cache.last_good.versions("unknown@x") == {}


def test_an_unload_is_seen_by_the_other_workers(cache: Cache, tmp_path: Path, source: Source) -> None:
    other = Cache(tmp_path / "cache", SIZE, source).last_good
    cache.last_good.set_unloaded("wine", True)
    cache.last_good.remember({"wine@champion": [ONE]})
    assert other.unloaded() == {"wine"}
    other.set_unloaded("wine", False)
    assert cache.last_good.unloaded() == frozenset()


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"references": []}', '{"references": {"a@b": [1, {}, null]}}'])
def test_a_torn_file_is_as_good_as_none(cache: Cache, tmp_path: Path, torn: str) -> None:
    (tmp_path / "cache" / "last_good.json").write_text(torn)
    assert cache.last_good.versions("a@b") == {}
    assert cache.last_good.unloaded() == frozenset()
    cache.last_good.remember({"a@b": [ONE]})
    assert json.loads((tmp_path / "cache" / "last_good.json").read_text())["references"]["a@b"]
