"""What a training run came to: the few lines a person reads and the object a script reads; pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from homeport.training.connection import without_password
from homeport.training.options import CHAMPION
from homeport.training.promotion import Champion, Decision, Reason, Rule, Scores


@dataclass(frozen=True)
class Data:
    """The rows of a run.

    Args:
        source: the file.
        sha256: of its content, in hexadecimal.
        train_rows: rows to learn from.
        test_rows: held-out rows.
        fresh_rows: how many of both came from feedback.
    """

    source: Path
    sha256: str
    train_rows: int
    test_rows: int
    fresh_rows: int = 0


@dataclass(frozen=True)
class Outcome:
    """One finished run, its model version, and who is champion now."""

    pipeline: str
    run_id: str
    run_name: str
    run_url: str
    experiment: str
    seconds: float
    data: Data
    metrics: Mapping[str, float]
    model: str
    version: str
    decision: Decision
    champion: Champion | None
    rule: Rule

    def summary(self) -> str:
        """The lines a person reads."""
        verdict, *compared = self._verdict()
        rows = [
            ("run", self.run_url),
            ("data", f"{self.data.train_rows:,} rows to learn from, {self.data.test_rows:,} held out"),
            ("", f"{self.data.fresh_rows:,} of them from feedback" if self.data.fresh_rows else ""),
            ("", str(self.data.source)),
            ("metrics", _numbers(self.metrics)),
            ("model", f"{self.model} version {self.version}"),
            (CHAMPION, verdict),
            *(("", line) for line in compared),
            ("load it", f'mlflow.pyfunc.load_model("models:/{self.model}@{CHAMPION}")' if self._holder() else ""),
        ]
        head = f"{self.pipeline} trained in {self.seconds:.1f} s: run {self.run_name}"
        return "\n".join([head, *(f"  {label:<9} {text}" for label, text in rows if text)])

    def as_dict(self) -> dict[str, object]:
        """The object a script reads; every key is always there."""
        return {
            "pipeline": self.pipeline,
            "run": {"id": self.run_id, "name": self.run_name, "url": self.run_url, "experiment": self.experiment},
            "seconds": round(self.seconds, 3),
            "data": {
                "source": str(self.data.source),
                "sha256": self.data.sha256,
                "train_rows": self.data.train_rows,
                "test_rows": self.data.test_rows,
                "fresh_rows": self.data.fresh_rows,
            },
            "metrics": dict(self.metrics),
            "model": {"name": self.model, "version": self.version},
            "champion": {
                "version": self._holder(),
                "promoted": self.decision.promoted,
                "reason": self.decision.reason.value,
                "previous": None
                if self.champion is None
                else {
                    "version": self.champion.version,
                    "metrics": dict(self.champion.scores),
                    "problem": self.champion.problem,
                    "data_sha256": self.champion.digest,
                },
            },
        }

    def _holder(self) -> str | None:
        if self.decision.promoted:
            return self.version
        return self.champion.version if self.champion else None

    def _verdict(self) -> list[str]:
        new = f"version {self.version}"
        if self.champion is None:
            first = self.decision.reason is Reason.FIRST
            return [f"{new} is the first" if first else f"none: {new} has no finite score"]
        old = f"version {self.champion.version}"
        where = f"on the same {self.data.test_rows:,} held-out rows"
        verdict = {
            Reason.BETTER: f"{new} takes over from {old}: it is better {where}",
            Reason.FORCED: f"{new} takes over from {old} because of --force-promote",
            Reason.NOT_BETTER: f"{old} stays: {new} is not better {where}",
            Reason.CHAMPION_UNSCORABLE: f"{old} stays: it could not be compared; --force-promote replaces it",
            Reason.CHALLENGER_UNSCORABLE: f"{old} stays: {new} has no finite score",
        }[self.decision.reason]
        return [verdict, *self._compared(self.champion)]

    def _compared(self, champion: Champion) -> list[str]:
        mine = {name: self.metrics[name] for name in self.rule.names}
        theirs = {name: champion.scores[name] for name in self.rule.names if champion.scores}
        lines = [
            f"version {champion.version}: {_numbers(theirs) or f'could not be scored: {champion.problem}'}",
            f"version {self.version}: {_numbers(mine)}",
        ]
        if champion.scores and champion.digest and champion.digest != self.data.sha256:
            lines.append(f"version {champion.version} learned from other data: it may know rows that are held out here")
        return lines


def _numbers(metrics: Scores) -> str:
    return " · ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def run_page(uri: str, experiment_id: str, run_id: str) -> str:
    """The run's page in the browser, or its id where the tracking URI is no web address."""
    if urlsplit(uri).scheme not in {"http", "https"}:
        return run_id
    return f"{without_password(uri).rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"
