"""How much of everything a load needs: a small team's, and 10, 100 and 1,000 times that; simulated from measured times.

    python benchmarks/queueing.py [--plot FILE]

What a small team is, and every time that goes in, stands in queueing_model.py. Prints the table of
docs/how-to/load-test.md and what is full first; draws it. The same numbers in every run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queueing_autoscaling import Controller, Course, simulate
from queueing_model import (
    ARTIFACT_BYTES,
    CONNECTIONS,
    LOG_BYTES,
    MEASURED,
    MEMORY_MIB,
    PREDICTIONS,
    TEAM,
    Seen,
    Simulation,
    Site,
    Times,
    measured,
    needed,
)

FULL = 0.7  # busy at most
SCALES = (1, 10, 100, 1000)
# Seconds that are simulated: so that there are some ten thousand requests, and no more than some hundred thousand.
_SECONDS = {1: 240.0, 10: 40.0, 100: 10.0, 1000: 3.0}
STEP_AT, STEP_SECONDS = 60.0, 240
STEP = (100, 1000)  # times the team's predictions, before and after


@dataclass(frozen=True)
class Sized:
    """One line of the table."""

    scale: int
    site: Site
    seen: Seen
    times: Times = MEASURED

    @property
    def full(self) -> dict[str, float]:
        """How full each part is, from 0 to 1."""
        return {
            "fronts": self.seen.front, "PostgreSQL's cores": self.seen.database, "model servers": self.seen.serving,
        }  # fmt: skip

    def row(self) -> dict[str, Any]:
        """Its numbers."""
        tracking = sum(call.rate for call in TEAM) * self.scale
        return {
            "scale": self.scale, "tracking_rate": tracking, "rows": sum(c.rate * c.rows for c in TEAM) * self.scale,
            "predictions": PREDICTIONS * self.scale, "tracking": self.site.tracking, "serving": self.site.serving,
            "cores": self.site.cores, "connections": self.site.tracking * CONNECTIONS["fast"],
            "connections_most": self.site.tracking * CONNECTIONS["most"],
            "memory_mib": self.site.tracking * MEMORY_MIB["tracking"] + self.site.serving * MEMORY_MIB["serving"],
            "log_metric_ms": [self.seen.quantile(share, "log-metric") for share in (0.5, 0.99)],
            "search_ms": [self.seen.quantile(share, "runs/search") for share in (0.5, 0.99)],
            "predict_ms": [self.seen.quantile(share, "predict") for share in (0.5, 0.99)],
            "full": self.full, "rows_of_a_group": self.seen.rows, "artifacts_mb": ARTIFACT_BYTES * self.scale / 1e6,
            "balancer": (tracking + PREDICTIONS * self.scale) * self.times.balancer / FULL,
            "log_mb": sum(c.rate * c.rows for c in TEAM) * self.scale * LOG_BYTES / 1e6,
        }  # fmt: skip


def sizes(scales: Sequence[int] = SCALES, times: Times = MEASURED) -> list[Sized]:
    """The table: the least site for each load, and what it looks like when that load comes."""
    found = []
    for scale in scales:
        site = needed(scale, times, FULL)
        seen = Simulation(site, scale, seconds=_SECONDS.get(scale, 4.0), times=times).run()
        found.append(Sized(scale, site, seen, times))
    return found


def stepped(times: Times = MEASURED) -> Course:
    """Predictions go from 100 to 1,000 times the team's at once."""
    before, after = (PREDICTIONS * scale for scale in STEP)
    return simulate(lambda at: before if at < STEP_AT else after, STEP_SECONDS, times.predict, Controller())


def main() -> None:
    """Simulate, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, help="draw it there (an .svg or .png)")
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    parser.add_argument("--times", type=Path, help="of another machine: what `replicas.py --json FILE` wrote")
    options = parser.parse_args()
    times = measured(json.loads(options.times.read_text())) if options.times else MEASURED
    found = sizes(times=times)
    for line in table(found):
        print(line)
    course = stepped(times)
    print(f"\nstep from {STEP[0]} to {STEP[1]} times the team's predictions at {STEP_AT:.0f} s:")
    for line in told(course):
        print(line)
    if options.json:
        rows = [each.row() for each in found]
        options.json.write_text(json.dumps({"sizes": rows, "times": _plain(vars(times))}, indent=1))
    if options.plot:
        from queueing_plot import draw

        draw([each.row() for each in found], course, options.plot)


def table(found: Sequence[Sized]) -> list[str]:
    """As Markdown: what is needed, and what it is like then."""
    rows = [each.row() for each in found]
    lines = [
        "| times a small team | tracking req/s | rows/s | predictions/s | tracking replicas | serving replicas | "
        "PostgreSQL's cores | its connections in use (at most) | its log MB/s | balancer's cores | replicas' memory |",
        "|---" * 11 + "|",
    ]
    lines += [
        f"| {row['scale']:,} | {row['tracking_rate']:,.0f} | {row['rows']:,.0f} | {row['predictions']:,.0f} | "
        f"{row['tracking']} | {row['serving']} | {row['cores']} | {row['connections']:,} "
        f"({row['connections_most']:,}) | {row['log_mb']:,.1f} | {row['balancer']:.1f} | "
        f"{row['memory_mib'] / 1024:.1f} GiB |"
        for row in rows
    ]  # fmt: skip
    lines += [
        "", "| times a small team | log-metric p50 / p99 ms | page search p50 / p99 ms | prediction p50 / p99 ms | "
        "rows of a group | fullest |", "|---" * 6 + "|",
    ]  # fmt: skip
    for row in rows:
        name, share = max(row["full"].items(), key=lambda item: item[1])
        lines.append(
            f"| {row['scale']:,} | {_pair(row['log_metric_ms'])} | {_pair(row['search_ms'])} | "
            f"{_pair(row['predict_ms'])} | {row['rows_of_a_group']:.0f} | {name} {share:.0%} |"
        )
    return lines


def told(course: Course) -> list[str]:
    """What the autoscaler did."""
    after = course.refused[int(STEP_AT) :]
    last = max((at for at, refused in enumerate(after) if refused > 0), default=-1) + 1
    final = int(course.ready[-1])
    grown = int((course.ready[int(STEP_AT) :] < final).sum())
    return [
        f"  {int(course.ready[0])} replicas at first, {final} in the end, all of them {grown} s after the step",
        f"  {after.sum() / course.rate[int(STEP_AT) :].sum():.1%} of the requests after it were refused (429), "
        f"the last one {last} s after it",
        f"  p99 of the accepted ones {course.p99[: int(STEP_AT)].max():.1f} ms before, "
        f"{course.p99.max():.1f} ms at worst, {course.p99[-10:].max():.1f} ms in the end",
    ]


def _pair(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: dict(value) if hasattr(value, "items") else value for name, value in values.items()}


if __name__ == "__main__":
    main()
