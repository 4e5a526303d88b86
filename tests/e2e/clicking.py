"""Chromium without a window, driven over its own protocol: what is clicked there, a person could have clicked."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.programs.database.programs import environment

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
    "--window-size=1400,900",
)  # fmt: skip
_PATIENCE = 60.0
_PAUSE = 0.2
# Chromium drops its requests whenever an interface comes or goes on the machine, as other tests' containers make them.
_NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
_TRIES = 5


class Page:
    """One page."""

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        self._number = 0
        self._cut = False

    async def _do(self, method: str, **values: Any) -> Any:
        self._number += 1
        await self._wire.send_json({"id": self._number, "method": method, "params": values})
        while True:
            told = await self._wire.receive_json(timeout=_PATIENCE)
            self._cut |= told.get("params", {}).get("errorText") == _NETWORK_CHANGED
            if told.get("id") == self._number:
                assert "result" in told, told
                return told["result"]

    async def open(self, url: str) -> None:
        """Go there, from an empty page; once more where the browser cut its own requests short."""
        await self._do("Network.enable")
        for _ in range(_TRIES):
            await self._do("Page.navigate", url="about:blank")
            self._cut = False
            await self._do("Page.navigate", url=url)
            end = time.monotonic() + _PATIENCE
            while not self._cut and time.monotonic() < end:
                if await self.says("document.readyState === 'complete' && document.body.innerText.trim() !== ''"):
                    return
                await asyncio.sleep(_PAUSE)

    async def says(self, script: str) -> Any:
        """What an expression gives there."""
        done = await self._do("Runtime.evaluate", expression=script, returnByValue=True)
        return done["result"].get("value")

    async def until(self, script: str) -> Any:
        """What an expression gives as soon as that is true."""
        end = time.monotonic() + _PATIENCE
        while not (found := await self.says(script)):
            assert time.monotonic() < end, f"never: {script}\n{await self.says('document.body.innerText')}"
            await asyncio.sleep(_PAUSE)
        return found

    async def click(self, element: str) -> None:
        """Click with the mouse in the middle of what an expression finds, once it is there, at rest and uncovered."""
        place = f"""(() => {{
          const it = {element};
          if (!it || it.disabled) return null;
          const at = it.getBoundingClientRect(), x = at.x + at.width / 2, y = at.y + at.height / 2;
          const top = document.elementFromPoint(x, y);
          return at.width && top && (it.contains(top) || top.contains(it)) ? JSON.stringify([x, y]) : null;
        }})()"""
        before, found = "", await self.until(place)
        while before != found:
            await asyncio.sleep(_PAUSE)
            before, found = found, await self.until(place)
        x, y = json.loads(found)
        for kind in ("mousePressed", "mouseReleased"):
            await self._do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def of(selector: str) -> str:
    """The first element that a CSS selector finds."""
    return f"document.querySelector({json.dumps(selector)})"


def saying(selector: str, text: str) -> str:
    """The first of these elements with just this text."""
    every = f"[...document.querySelectorAll({json.dumps(selector)})]"
    return f"{every}.find(each => each.innerText.trim() === {json.dumps(text)})"


@asynccontextmanager
async def browsing(chromium: str, room: Path) -> AsyncIterator[Page]:
    """A browser of its own with one page."""
    command = [chromium, *_FLAGS, f"--user-data-dir={room / 'profile'}", "about:blank"]
    home = environment({"HOME": str(room)})
    with subprocess.Popen(command, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
        try:
            told = room / "profile" / "DevToolsActivePort"
            end = time.monotonic() + _PATIENCE
            while not (told.exists() and "\n" in told.read_text()):
                assert time.monotonic() < end, "Chromium does not start"
                await asyncio.sleep(_PAUSE)
            door = f"http://127.0.0.1:{told.read_text().partition(chr(10))[0]}/json/list"
            async with aiohttp.ClientSession() as session:
                async with session.get(door) as answer:
                    page = next(each for each in await answer.json(content_type=None) if each["type"] == "page")
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as wire:
                    yield Page(wire)
        finally:
            browser.terminate()
