"""runs/log-metric (skeleton: helper replaces it)."""

from __future__ import annotations

import asyncio
from typing import Any

from homeport.tracking.fast.database import Database
from homeport.tracking.front.call import EMPTY, Answer, Call


class MetricWrites:
    """Skeleton."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._queue: list[Any] = []
        self._busy = 0
        self._tasks: set[Any] = set()

    async def log_metric(self, call: Call) -> Answer | None:
        """Log one."""
        j = call.json
        if j is None:
            return None
        try:
            row = (j["run_id"], j["key"], float(j["value"]), int(j["timestamp"]), int(j.get("step", 0)))
        except (KeyError, TypeError, ValueError):
            return None
        f = asyncio.get_running_loop().create_future()
        self._queue.append((row, f))
        if self._busy < 2:
            self._busy += 1
            t = asyncio.create_task(self._flush())
            self._tasks.add(t)
            t.add_done_callback(self._tasks.discard)
        return EMPTY if await f else None

    async def _flush(self) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue[:512], self._queue[512:]
                try:
                    async with self._db.transaction() as c:
                        rows = sorted(b[0] for b in batch)
                        ids, keys, values, times, steps = (list(x) for x in zip(*rows))
                        active = {
                            r[0]
                            for r in await c.fetch(
                                "select run_uuid from runs where run_uuid = any($1::text[]) and lifecycle_stage='active'",
                                list(set(ids)),
                            )
                        }
                        await c.execute(
                            """
                        with new as (select * from unnest($1::text[],$2::text[],$3::float8[],$4::int8[],$5::int8[]) as t(run_uuid,key,value,timestamp,step)),
                        w as (insert into metrics(run_uuid,key,value,timestamp,step,is_nan) select run_uuid,key,value,timestamp,step,false from new on conflict do nothing)
                        insert into latest_metrics(run_uuid,key,value,timestamp,step,is_nan)
                        select distinct on (run_uuid,key) run_uuid,key,value,timestamp,step,false from new order by run_uuid,key,step desc,timestamp desc,value desc
                        on conflict (key,run_uuid) do update set value=excluded.value,timestamp=excluded.timestamp,step=excluded.step,is_nan=excluded.is_nan
                        where (excluded.step,excluded.timestamp,excluded.value) > (latest_metrics.step,latest_metrics.timestamp,latest_metrics.value)""",
                            ids,
                            keys,
                            values,
                            times,
                            steps,
                        )
                    for r, f in batch:
                        f.set_result(r[0] in active)
                except Exception as e:
                    print(repr(e), flush=True)
                    for _, f in batch:
                        f.set_result(False)
        finally:
            self._busy -= 1

    async def close(self) -> None:
        """Finish."""
