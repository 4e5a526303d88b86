"""How soon a second `homeport up` is of use: its first acknowledged metric, and the page's first paint in a Chromium.

From the moment the command is typed; the browser is open already, as a user's is. Run it on an idle machine:
`make bench-startup`. Prints medians and the spread; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from measure import Series
from tests.e2e.clicking import Page, browsing

from homeport.supervisor.ports import choose

HOMEPORT = str(Path(sys.executable).parent / "homeport")
API = "/api/2.0/mlflow"
PAUSE = 0.01
BAR = 3.0  # s
# When the page itself, not the browser's own that says nobody answers there, first showed something; ms since 1970.
PAINTED = """location.protocol === 'http:' && performance.getEntriesByName('first-contentful-paint')
  .map(entry => performance.timeOrigin + entry.startTime)[0]"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often (default 3)")
    rounds = parser.parse_args().rounds
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        parser.error("the page is painted by a browser: apt-get install chromium")
    room = Path(tempfile.mkdtemp(prefix="homeport-bench-"))
    try:
        found = asyncio.run(measure(room, chromium, rounds))
    finally:
        shutil.rmtree(room, ignore_errors=True)
    for series in found:
        print(f"{series.name:42} {series}   (bar: at most {BAR:g})")


async def measure(room: Path, chromium: str, rounds: int) -> list[Series]:
    """Starts of a platform that was there before, each with nothing else running."""
    url = f"http://127.0.0.1:{choose(set())}"
    home = {**os.environ, "HOMEPORT_HOME": str(room / "home"), "HOMEPORT_TRACKING_PORT": url.rpartition(":")[2]}
    home["HOMEPORT_SERVING_PORT"] = "0"
    subprocess.run([HOMEPORT, "up", "--detach"], env=home, check=True, capture_output=True)
    run = json.loads(ask(f"{url}{API}/runs/create", {"experiment_id": "0"}))["run"]["info"]["run_id"]
    metric, paint = Series("second up to the first acknowledged metric"), Series("second up to the page's first paint")
    body = {"run_id": run, "key": "loss", "value": 1.0, "timestamp": 1, "step": 1}
    async with browsing(chromium, room) as page:
        for _ in range(rounds):
            metric.values.append(await timed(home, acknowledged(f"{url}{API}/runs/log-metric", body)))
            paint.values.append(await timed(home, painted(page, url)))
    subprocess.run([HOMEPORT, "down"], env=home, check=True, capture_output=True)
    return [metric, paint]


async def timed(home: dict[str, str], seen: Coroutine[None, None, float]) -> float:
    """Seconds from `up` until that was seen."""
    subprocess.run([HOMEPORT, "down"], env=home, check=True, capture_output=True)
    begin = time.time()
    up = subprocess.Popen([HOMEPORT, "up", "--detach"], env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = await seen
    await asyncio.to_thread(up.wait)
    return end - begin


async def acknowledged(url: str, body: object) -> float:
    """When a write is answered with 200; s since 1970."""
    while True:
        try:
            await asyncio.to_thread(ask, url, body)
        except (URLError, OSError):
            await asyncio.sleep(PAUSE)
        else:
            return time.time()


async def painted(page: Page, url: str) -> float:
    """When a browser that goes there as soon as somebody answers shows something; s since 1970."""
    while True:
        try:
            await asyncio.to_thread(ask, url)
        except (URLError, OSError):
            await asyncio.sleep(PAUSE)
        else:
            break
    await page.open(url)
    return float(await page.until(PAINTED)) / 1000


def ask(url: str, body: object = None) -> bytes:
    """The answer of a request that succeeded."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data=data, headers={"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


if __name__ == "__main__":
    main()
