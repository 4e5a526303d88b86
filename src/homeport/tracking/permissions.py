"""Whether MLflow would let a caller do what a request asks for, decided by MLflow's own code; nothing is done.

The front asks this (`front/guard.py`) before it answers a call itself. Private names of mlflow 3.17.2's
server/auth/__init__.py stand here; tests/programs/tracking/guard holds them. Refuses to know which calls are hot.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from homeport.tracking.internal import Headers

_AT_ONCE = 2  # passwords compared at a time for the front, in one worker; the gate has as many
_REMEMBERED = 60.0  # seconds
_MOST = 4096

# Upstream takes from some answers what a caller may not see, or grants after them. The front's answers have nothing
# taken from them, so it may give one only where upstream's hook does nothing for this caller:
# always (it returns at once for administrators),
_QUIET_FOR_ADMINS = frozenset(
    {
        "filter_search_experiments", "filter_search_logged_models", "filter_search_model_versions",
        "filter_search_registered_models", "redact_batch_trace_assessments", "redact_batch_trace_info_assessments",
        "redact_created_logged_model_run_ids", "redact_finalize_logged_model_run_ids",
        "redact_get_logged_model_run_ids", "redact_get_registered_model_versions", "redact_get_run_model_links",
        "redact_latest_versions_siblings", "redact_metric_history_model_ids", "redact_model_version_by_alias_siblings",
        "redact_model_version_siblings", "redact_search_runs_model_links", "redact_search_traces_v3_assessments",
        "redact_set_logged_model_tags_run_ids", "redact_start_trace_v3_metadata", "redact_trace_assessments",
        "redact_trace_info_v3_assessments",
    }
)  # fmt: skip
# or where the caller is denied none of the kinds of resource whose names it would take out.
_QUIET_WITH: Mapping[str, tuple[str, ...]] = {
    "redact_get_run_model_links": ("logged_model",),
    "redact_search_runs_model_links": ("logged_model",),
    "redact_metric_history_model_ids": ("logged_model",),
    "redact_get_logged_model_run_ids": ("run",),
    "redact_created_logged_model_run_ids": ("run",),
    "redact_finalize_logged_model_run_ids": ("run",),
    "redact_set_logged_model_tags_run_ids": ("run",),
    "redact_model_version_siblings": ("run", "logged_model"),
    "redact_model_version_by_alias_siblings": ("run", "logged_model"),
    "redact_latest_versions_siblings": ("run", "logged_model"),
    "redact_start_trace_v3_metadata": ("run", "logged_model"),
}
# Paths that FastAPI serves whose answers no filter of upstream's changes: one artifact, and OTLP.
_OTLP = "/v1/traces"
_NATIVE = ("/api/2.0/mlflow-artifacts/artifacts/", "/ajax-api/2.0/mlflow-artifacts/artifacts/", _OTLP)
# Upstream's decisions that rest on nothing of the request but what the guard takes for its subject (subjects.py): run,
# experiment, model, and the logged models that metrics and links name. The others are asked for each time.
_STEADY = frozenset(
    {
        "_validate_can_read_registered_model_or_prompt", "validate_can_create_run",
        "validate_can_delete_experiment", "validate_can_delete_logged_model", "validate_can_delete_run",
        "validate_can_log_batch", "validate_can_log_inputs", "validate_can_log_metric", "validate_can_log_outputs",
        "validate_can_read_experiment", "validate_can_read_experiment_by_name", "validate_can_read_logged_model",
        "validate_can_read_metric_history_bulk", "validate_can_read_metric_history_bulk_interval",
        "validate_can_read_model_or_prompt_version", "validate_can_read_run", "validate_can_update_experiment",
        "validate_can_update_logged_model", "validate_can_update_run",
    }
)  # fmt: skip
_OWN = frozenset({"/metrics"})  # the front's own pages: for everybody who is known
_SEARCH = "/mlflow/runs/search"  # the handler itself leaves out experiments that the caller may not read

Check = Callable[[str, str], bool]  # a stored hash, a password -> whether it is that password's


class Comparisons:
    """Compares passwords with stored hashes, and remembers what came of it: it is true for as long as both are.

    A changed password has another hash, so there is nothing to forget; what is kept tells no password.
    """

    def __init__(self, check: Check) -> None:
        self._check = check
        self._key = secrets.token_bytes(32)
        self._found: OrderedDict[tuple[str, bytes], tuple[float, bool]] = OrderedDict()
        self._lock = threading.Lock()
        self._turn = threading.BoundedSemaphore(_AT_ONCE)

    def __call__(self, stored: str, password: str) -> bool:
        """Whether it is that password's."""
        key = self._name(stored, password)
        known = self._known(key)
        return self._compared(key, stored, password) if known is None else known

    def if_at_leisure(self, stored: str, password: str) -> bool:
        """The same, but no where that would keep one more core busy than may be: nobody waits for strangers."""
        key = self._name(stored, password)
        known = self._known(key)
        if known is None and self._turn.acquire(blocking=False):
            try:
                known = self._compared(key, stored, password)
            finally:
                self._turn.release()
        return known is True

    def _compared(self, key: tuple[str, bytes], stored: str, password: str) -> bool:
        found = self._check(stored, password)
        with self._lock:
            self._found[key] = (time.monotonic() + _REMEMBERED, found)
            while len(self._found) > _MOST:
                self._found.popitem(last=False)
        return found

    def _name(self, stored: str, password: str) -> tuple[str, bytes]:
        return stored, hmac.digest(self._key, password.encode(), "sha256")

    def _known(self, key: tuple[str, bytes]) -> bool | None:
        with self._lock:
            found = self._found.get(key)
        return found[1] if found is not None and found[0] > time.monotonic() else None


def question(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """What the front sends: the request it asks about, as one line of JSON and the body."""
    head = {"method": method, "path": path, "query": query, "headers": dict(headers)}
    return json.dumps(head).encode() + b"\n" + body


def answer(body: bytes, headers: Headers) -> tuple[int, bytes]:
    """Whether the request in the body would be let through: `allowed`, and then `user`, `admin` and `steady`.

    Steady: the same caller may do the same, at the same path and to the same subject, whatever else is in the request.
    """
    from mlflow.server import auth

    if not auth._auth_initialized:
        return 404, b"{}"
    head, _, rest = body.partition(b"\n")
    asked = json.loads(head)
    native = auth._find_fastapi_validator(asked["path"], asked["method"]) is not None
    try:
        verdict = _native(auth, asked, rest) if native else _flask(auth, asked, rest)
    except Exception:  # upstream would answer with an error of its own, or the database is away: no permission
        return 503, json.dumps(_REFUSED).encode()
    return 200, json.dumps(verdict).encode()


def forget(body: bytes, headers: Headers) -> tuple[int, bytes]:
    """Forget which passwords were right: another worker has changed users."""
    from mlflow.server import auth

    if auth._USER_AUTH_CACHE is not None:
        with auth._USER_AUTH_CACHE_LOCK:
            auth._USER_AUTH_CACHE.clear()
    return 200, b"{}"


_REFUSED: Mapping[str, Any] = {"allowed": False}


def _flask(auth: Any, asked: Mapping[str, Any], body: bytes) -> Mapping[str, Any]:  # noqa: ANN401 - upstream is untyped
    """What Flask's hooks before a request decide, and that those after it would do nothing."""
    with auth.app.test_request_context(
        path=asked["path"], method=asked["method"], query_string=asked["query"], headers=asked["headers"], data=body
    ) as context:
        request = context.request
        given = request.authorization
        own = asked["path"] in _OWN
        if (request.routing_exception is not None and not own) or request.path != asked["path"] or given is None:
            return _REFUSED
        if (user := _user(auth, given.username, given.password)) is None:
            return _REFUSED
        admin = bool(user.is_admin)
        if own:
            return {"allowed": True, "user": given.username, "admin": admin, "steady": True}
        if auth.app.preprocess_request() is not None:
            return _REFUSED
        if not _is_quiet(auth, request, given.username, admin=admin):
            return _REFUSED
        if request.path.endswith(_SEARCH) and not admin:
            wanted = list((request.get_json(silent=True) or {}).get("experiment_ids") or ())
            if not wanted or auth.filter_experiment_ids(wanted) != wanted:
                return _REFUSED
        validator = auth._find_validator(request)
        steady = admin or request.path.endswith(_SEARCH) or getattr(validator, "__name__", "") in _STEADY
        return {"allowed": True, "user": given.username, "admin": admin, "steady": steady}


def _is_quiet(auth: Any, request: Any, username: str, *, admin: bool) -> bool:  # noqa: ANN401 - as above
    """Whether upstream's hook after this request, if there is one, does nothing for this caller."""
    hook = auth.AFTER_REQUEST_HANDLERS.get((request.path, request.method))
    if hook is None:
        for (pattern, method), candidate in auth.PARAMETERIZED_AFTER_REQUEST_HANDLERS.items():
            if method == request.method and pattern.fullmatch(request.path):
                hook = candidate
                break
    if hook is None:
        return True
    if admin:
        return hook.__name__ in _QUIET_FOR_ADMINS
    kinds = _QUIET_WITH.get(hook.__name__)
    return kinds is not None and not auth._denied_sibling_tiers(username, kinds)


def _native(auth: Any, asked: Mapping[str, Any], body: bytes) -> Mapping[str, Any]:  # noqa: ANN401 - as above
    """What upstream's middleware decides for a path that FastAPI serves (artifacts, OTLP)."""
    from starlette.requests import Request

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http", "method": asked["method"], "path": asked["path"], "raw_path": asked["path"].encode(),
        "root_path": "", "query_string": asked["query"].encode("latin-1"), "scheme": "http",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in asked["headers"].items()],
    }  # fmt: skip
    request = Request(scope, receive)
    given = _ascii_credentials(asked["headers"])  # as upstream reads them here
    user = _user(auth, *given) if given is not None else None
    if user is None or auth._authenticate_fastapi_request(request) is None:
        return _REFUSED
    quiet = (
        asked["path"].startswith(_NATIVE)
        and auth._find_fastapi_after_request_handler(asked["path"], asked["method"]) is None
    )
    validator = auth._find_fastapi_validator(asked["path"], asked["method"])
    if quiet and (user.is_admin or asyncio.run(validator(user.username, request))):
        steady = asked["path"] != _OTLP  # there, a header names the experiment
        return {"allowed": True, "user": user.username, "admin": bool(user.is_admin), "steady": steady}
    return _REFUSED


def _ascii_credentials(headers: Mapping[str, str]) -> tuple[str, str] | None:
    from homeport.tracking.gate import credentials

    found = credentials(headers.get("Authorization", "").encode("latin-1"))
    return found if found is not None and all(part.isascii() for part in found) else None


def _user(auth: Any, name: str, password: str) -> Any | None:  # noqa: ANN401 - as above
    """The user, if that is the password now; not as upstream remembers it, since another worker may have changed it."""
    found = auth.store.get_user(name)
    return found if _comparisons().if_at_leisure(found.password_hash, password) else None


def _comparisons() -> Comparisons:
    """What upstream compares passwords with from now on, too: each takes 50 to 100 ms of a core, once in a while."""
    from mlflow.server.auth import sqlalchemy_store

    with _patching:
        found = sqlalchemy_store.check_password_hash
        if not isinstance(found, Comparisons):
            found = sqlalchemy_store.check_password_hash = Comparisons(found)
        return found


_patching = threading.Lock()
