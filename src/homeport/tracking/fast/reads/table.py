"""The hot calls that read. Each sees every write acknowledged before it: nothing of what the database holds is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import asyncpg

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.reads.about import About
from homeport.tracking.fast.reads.experiments import ExperimentReads
from homeport.tracking.fast.reads.history import HistoryReads
from homeport.tracking.fast.reads.models import ModelReads
from homeport.tracking.fast.reads.plans import Plans
from homeport.tracking.fast.reads.registry import RegistryReads
from homeport.tracking.fast.reads.registry_search import RegistrySearch
from homeport.tracking.fast.reads.request import UnsureError
from homeport.tracking.fast.reads.runs import RunReads
from homeport.tracking.fast.reads.traces import TraceReads
from homeport.tracking.front.call import Answer, Call, HotCall, Route, Subject
from homeport.tracking.front.private import Private

_ARCHIVAL = "MLFLOW_TRACE_ARCHIVAL_CONFIG"  # a file that upstream reads again and again, and tells in experiments


class Reads:
    """The hot calls that read, over one database.

    Args:
        database: MLflow's.
        private: parses what only upstream's own code should.
        environ: what MLflow is told.
    """

    def __init__(self, database: Database, private: Private, environ: Mapping[str, str]) -> None:
        plans = Plans(private)
        self._runs = RunReads(database, plans)
        self._history = HistoryReads(database)
        self._experiments = ExperimentReads(database, plans)
        self._models = ModelReads(database, plans)
        self._registry = RegistryReads(database)
        self._registry_search = RegistrySearch(database, plans)
        self._traces = TraceReads(database, plans)
        self._about = About(private, environ)
        self._archival = bool(environ.get(_ARCHIVAL, "").strip())

    def routes(self) -> Iterator[Route]:
        """The hot calls."""
        runs, history, registry = self._runs, self._history, self._registry
        yield _route("get-run", "GET", "runs/get", runs.get, Subject.RUN)
        # What upstream would leave out of an answer for this user, the guard knows: it then lets MLflow answer.
        yield _route("search-runs", "POST", "runs/search", runs.search, Subject.EXPERIMENTS)
        yield _route("get-history", "GET", "metrics/get-history", history.get, Subject.RUN)
        # The page's own, and asked about many runs at once.
        bulk = ("/ajax-api/2.0/mlflow/metrics/get-history-bulk",)
        yield Route("get-history-bulk", "GET", bulk, _sure(history.bulk), Subject.RUNS)
        interval = "metrics/get-history-bulk-interval"
        yield _route("get-history-bulk-interval", "GET", interval, history.interval, Subject.RUNS)
        yield _route("get-alias", "GET", "registered-models/alias", registry.by_alias, Subject.MODEL)
        yield _route("get-model-version", "GET", "model-versions/get", registry.by_version, Subject.MODEL)
        yield _route("get-model", "GET", "registered-models/get", registry.model, Subject.MODEL)
        place = "model-versions/get-download-uri"
        yield _route("get-model-version-place", "GET", place, registry.place, Subject.MODEL)
        for method in ("GET", "POST"):
            path = "registered-models/get-latest-versions"
            yield _route("get-latest-versions", method, path, registry.latest, Subject.MODEL)
        searches = self._registry_search
        yield _route("search-models", "GET", "registered-models/search", searches.models, Subject.ADMIN)
        yield _route("search-model-versions", "GET", "model-versions/search", searches.versions, Subject.ADMIN)
        yield _route("get-logged-model", "GET", "logged-models/{}", self._models.get, Subject.LOGGED_MODEL)
        yield _route("search-logged-models", "POST", "logged-models/search", self._models.search, Subject.ADMIN)
        traces, infos = self._traces, "traces/batchGetInfos"
        yield _route("search-traces", "POST", "traces/search", traces.search, Subject.ADMIN, version="3.0")
        yield _route("get-trace-infos", "POST", infos, traces.several, Subject.ADMIN, version="3.0")
        yield _route("get-trace", "GET", "traces/get", traces.whole, Subject.ADMIN, version="3.0")
        yield _route("get-traces", "GET", "traces/batchGet", traces.wholes, Subject.ADMIN, version="3.0")
        yield _route("get-trace-info", "GET", "traces/{}", traces.get, Subject.ADMIN, version="3.0")
        if not self._archival:
            experiments = self._experiments
            yield _route("get-experiment", "GET", "experiments/get", experiments.get, Subject.EXPERIMENT)
            by_name = "experiments/get-by-name"
            yield _route("get-experiment-by-name", "GET", by_name, experiments.get_by_name, Subject.EXPERIMENT_NAME)
            for method in ("GET", "POST"):  # the page's and the client's
                yield _route("search-experiments", method, "experiments/search", experiments.search, Subject.ADMIN)
            # Told to strangers too, also where logins are asked for.
            yield _route("server-info", "GET", "server-info", self._about.get, Subject.NOTHING, version="3.0")


def _route(name: str, method: str, path: str, handle: HotCall, subject: Subject, *, version: str = "2.0") -> Route:
    return Route.mlflow(name, method, path, _sure(handle), subject, version=version)


def _sure(handle: HotCall) -> HotCall:
    """The call, which leaves to MLflow what it is not sure of, and what the database would not answer."""

    async def call(asked: Call) -> Answer | None:
        try:
            return await handle(asked)
        except (UnsureError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return None

    return call
