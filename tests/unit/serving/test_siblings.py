from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from homeport.serving.siblings import Mesh, Siblings


@contextmanager
def mesh_of(workers: int) -> Iterator[Mesh]:
    mesh = Mesh.of(workers)
    try:
        yield mesh
    finally:
        for reader, _ in mesh.inboxes:
            asyncio.get_running_loop().remove_reader(reader.fileno())
        mesh.close()


async def answers(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "got": arguments["value"]}


async def fails(_arguments: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("broken")


async def hangs(_arguments: dict[str, Any]) -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


def test_every_worker_answers_whoever_asks() -> None:
    async def scenario() -> None:
        with mesh_of(3) as mesh:
            workers = [Siblings(mesh, index, {"echo": answers}) for index in range(3)]
            for worker in workers:
                worker.open()
            for worker in workers:
                found = await worker.ask_all("echo", {"value": 7}, 10)
                assert [(each["worker"], each["ok"], each["got"]) for each in found] == [(n, True, 7) for n in range(3)]

    asyncio.run(scenario())


def test_a_worker_that_fails_or_hangs_is_named_and_the_others_still_answer() -> None:
    async def scenario() -> None:
        with mesh_of(3) as mesh:
            workers = [Siblings(mesh, index, {"ask": handler}) for index, handler in enumerate((answers, fails, hangs))]
            for worker in workers:
                worker.open()
            found = await workers[0].ask_all("ask", {"value": 1}, 0.2)
            assert found[0]["ok"]
            assert found[1]["error"] == "RuntimeError: broken"
            assert "no answer within" in found[2]["error"]

    asyncio.run(scenario())


def test_a_replaced_worker_takes_over_the_inbox_and_not_what_was_in_it() -> None:
    async def scenario() -> None:
        with mesh_of(2) as mesh:
            first = Siblings(mesh, 0, {"echo": answers})
            first.open()
            lost = await first.ask_all("echo", {"value": 1}, 0.05)
            assert "no answer" in lost[1]["error"]
            seen: list[int] = []

            async def notes(arguments: dict[str, Any]) -> dict[str, Any]:
                seen.append(arguments["value"])
                return {"ok": True}

            Siblings(mesh, 1, {"echo": notes}).open()
            found = await first.ask_all("echo", {"value": 2}, 10)
            assert found[1] == {"worker": 1, "pid": os.getpid(), "ok": True}
            assert seen == [2]

    asyncio.run(scenario())
