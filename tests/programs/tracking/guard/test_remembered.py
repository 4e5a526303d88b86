"""What a server remembers of passwords ends when another server changes them, also where that one is not heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from homeport.tracking.front import guard
from homeport.tracking.front.changes import Changes


class Workers:
    """The private server's, who count how often they are told to forget."""

    def __init__(self) -> None:
        self.told = 0

    async def ask_all(self, _target: str, _body: bytes) -> list[object]:
        self.told += 1
        return []


class Heard(Changes):
    """Listens to nobody, and says whether it does."""

    def __init__(self, url: str, *, listening: bool) -> None:
        super().__init__(url, lambda: None)
        self.started = 0
        self.listening = listening

    def start(self) -> None:
        self.started += 1


def _told(changes: Heard, act: Callable[[guard.Logins], object], times: int) -> bool:
    """Whether workers are told to forget so often, soon."""

    async def run() -> bool:
        workers: Any = Workers()
        logins = guard.Logins(workers, lambda: None, changes)
        act(logins)
        try:
            async with asyncio.timeout(0.5):
                while workers.told < times:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return False
        finally:
            await logins.close()
        return True

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_DEAF_SECONDS", 0.05)
    monkeypatch.setattr(guard, "_COMPARED_BY", 0.05)


def test_a_server_listens_from_its_start_though_it_answers_nothing_itself() -> None:
    changes = Heard("postgresql://h/d", listening=True)
    _told(changes, guard.Logins.start, 0)
    assert changes.started == 1


def test_where_nobody_is_heard_workers_forget_again_and_again() -> None:
    assert _told(Heard("mysql+pymysql://h/d", listening=False), guard.Logins.start, 3)


def test_where_others_are_heard_workers_forget_only_what_changed() -> None:
    assert not _told(Heard("postgresql://h/d", listening=True), guard.Logins.start, 1)


def test_on_a_file_there_is_nobody_else() -> None:
    assert not _told(Heard("sqlite:////tmp/file", listening=False), guard.Logins.start, 1)


def test_a_password_that_was_being_compared_while_it_changed_is_forgotten_too() -> None:
    assert _told(Heard("postgresql://h/d", listening=True), guard.Logins._others_changed, 2)
