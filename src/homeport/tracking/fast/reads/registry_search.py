"""registered-models/search and model-versions/search.

Follows mlflow 3.17.2: server/handlers.py, store/model_registry/sqlalchemy_store.py `search_registered_models` and
`search_model_versions`; prompts are registered models, and left out where upstream leaves them out. Refuses to know the
grammar of filters (`plans.py`) and what a model looks like (`version.py`).
"""

from __future__ import annotations

import re
from dataclasses import replace

import orjson

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.reads import pages, version
from homeport.tracking.fast.reads.plans import Plan, Plans, Search
from homeport.tracking.fast.reads.request import Query, UnsureError
from homeport.tracking.front.call import Answer, Call

_MODELS_PAGE, _MOST_MODELS = 100, 1000
_MOST_VERSIONS = 200_000  # also where none is named
_AT_ONCE = 200  # written by one statement: between two of them other requests get their turn

# What the page and most clients ask: names and runs, compared with plain words. Such filters share a plan, with the
# words in place of these marks; all others are planned as they are.
_WORD = r"'((?:[\w .%]|-(?!-))*)'"
_COMPARISON = rf"\s*(?:name|run_id)\s*(?:=|!=|\s(?:LIKE|ILIKE|like|ilike)\s)\s*{_WORD}\s*"
_AMONG = rf"\s*(?:name|run_id)\s+(?:IN|in)\s*\((?:\s*{_WORD}\s*,)*\s*{_WORD}\s*\)\s*"
_PLAIN = re.compile(rf"(?:{_COMPARISON}|{_AMONG})(?:\s(?:AND|and)\s(?:{_COMPARISON}|{_AMONG}))*")
_WORDS = re.compile(_WORD)
_MARK = "homeport word %d"


class RegistrySearch:
    """Answers searches of the registry."""

    def __init__(self, database: Database, plans: Plans) -> None:
        self._database = database
        self._plans = plans

    async def models(self, call: Call) -> Answer | None:
        """A page of registered models."""
        query = _Asked(call)
        offset = pages.offset(query.text("page_token"))
        most = query.number("max_results", 1, _MOST_MODELS) or _MODELS_PAGE
        plan = await self._plan("registered-models", query)
        ids = await self._database.rows(plan.statement, *plan.values(offset=offset, limit=most + 1))
        pieces: list[bytes] = []
        for start in range(0, min(len(ids), most), _AT_ONCE):
            names = [row[0] for row in ids[start : min(start + _AT_ONCE, most)]]
            rows = await self._database.rows(version.MODELS, names)
            if len(rows) != len(names):  # one was removed or renamed meanwhile
                raise UnsureError
            pieces += map(orjson.dumps, version.models(rows, await self._database.rows(version.LATEST_OF_MANY, names)))
        return _page(b"registered_models", pieces, offset + most if len(ids) > most else None)

    async def versions(self, call: Call) -> Answer | None:
        """A page of versions."""
        query = _Asked(call)
        offset = pages.offset(query.text("page_token"))
        most = query.number("max_results", 1, _MOST_VERSIONS) or _MOST_VERSIONS
        plan = await self._plan("model-versions", query)
        ids = await self._database.rows(plan.statement, *plan.values(offset=offset, limit=most + 1))
        pieces: list[bytes] = []
        for start in range(0, min(len(ids), most), _AT_ONCE):
            some = ids[start : min(start + _AT_ONCE, most)]
            rows = await self._database.rows(version.MANY, [row[0] for row in some], [row[1] for row in some])
            if len(rows) != len(some):  # as above
                raise UnsureError
            pieces += [orjson.dumps(version.written(row)) for row in rows]
        return _page(b"model_versions", pieces, offset + most if len(ids) > most else None)

    async def _plan(self, of: str, query: Query) -> Plan:
        filter_, order = query.text("filter") or "", tuple(query.texts("order_by"))
        plain, words = shared(filter_)
        plan = await self._plans.find(Search(of, plain, order))
        return _worded(plan, words) if words else plan


class _Asked(Query):
    """The arguments of a GET; the page also searches without any."""

    def __init__(self, call: Call) -> None:
        if call.query or call.body:
            super().__init__(call)
        else:
            self._arguments = {}


def shared(filter_: str) -> tuple[str, list[str]]:
    """The filter with marks in place of its words, and these; the filter as it is, where it is not plain."""
    if not _PLAIN.fullmatch(filter_):
        return filter_, []
    words: list[str] = []

    def marked(found: re.Match[str]) -> str:
        words.append(found[1])
        return f"'{_MARK % (len(words) - 1)}'"

    return _WORDS.sub(marked, filter_), words


def _worded(plan: Plan, words: list[str]) -> Plan:
    """The plan with the words where it has the marks."""
    put = {_MARK % place: {"value": word} for place, word in enumerate(words)}
    return replace(plan, places=tuple(put.get(str(place.get("value")), place) for place in plan.places))


def _page(name: bytes, pieces: list[bytes], following: int | None) -> Answer:
    fields = [b'"%b":[%b]' % (name, b",".join(pieces))] if pieces else []
    if following is not None:
        fields.append(b'"next_page_token":"%b"' % pages.token(following).encode())
    return Answer(b"{" + b",".join(fields) + b"}")
