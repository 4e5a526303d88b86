"""The first start is right every time: with nothing but Docker, from nothing, however late the object store is."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable

import pytest

from tests.compose.project import LONG_RUNNING, Stack, docker

STARTS = int(os.environ.get("HOMEPORT_TEST_COMPOSE_STARTS", "20"))
LATEST = 6.0  # s; the longest that the object store is late


def test_compose_up_wait_brings_everything_up_with_nothing_but_docker(
    new_stack: Callable[..., Stack], capsys: pytest.CaptureFixture[str]
) -> None:
    stack = new_stack()
    stack.write()
    begin = time.monotonic()
    stack.bring_up()
    first = time.monotonic() - begin
    assert {name: stack.state(name) for name in LONG_RUNNING} == dict.fromkeys(LONG_RUNNING, "healthy")
    memory = docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *stack.ids()).splitlines()
    stack.composed("down")
    begin = time.monotonic()
    stack.bring_up()
    again = time.monotonic() - begin
    stack.trust()
    assert stack.call(f"{stack.tracking_uri}/health").body == b"OK"
    with capsys.disabled():
        times = f"compose up --wait: {first:.1f} s from fresh volumes, {again:.1f} s on kept ones"
        sys.stderr.write("\n".join(["", times, *sorted(line for line in memory if " 0B /" not in line), ""]))


def test_twenty_first_starts_with_a_late_object_store_need_no_second_try(new_stack: Callable[..., Stack]) -> None:
    stack = new_stack()
    stack.write()
    model = json.loads(stack.composed("config", "--format", "json"))
    program = model["services"]["objectstore"]["command"]
    chance = random.Random(4)
    for start in range(STARTS):
        late = chance.uniform(0, LATEST)
        command = [*program[:-1], f"sleep {late:.1f}; {program[-1]}"]
        stack.override(json.dumps({"services": {"objectstore": {"command": command}}}))
        done = stack.compose("up", "--wait", "--wait-timeout", "180", "--no-build", "tracking")
        assert done.returncode == 0, f"start {start + 1}, object store {late:.1f} s late: {done.stderr[-2000:]}"
        assert stack.state("tracking") == "healthy"
        assert stack.inspect("tracking")["RestartCount"] == 0
        for job in ("objectstore-init", "tracking-migrate"):
            assert stack.inspect(job)["State"]["ExitCode"] == 0
            assert stack.inspect(job)["RestartCount"] == 0
        stack.composed("down", "--volumes", "--timeout", "1")
