"""What a call is about, told so that nobody can be asked about one run and served another.

A GET names its subject in the query, everything else in the JSON body; only there is it looked for, as handlers do
through the same `Call.arguments` and `Call.json`. `run_id` counts, `run_uuid` only where there is no `run_id`; a name
given twice counts as JSON parsers have it, the last one, which both upstream and the handlers read. Whatever is spelled
in two ways (`run_id` and another `run_uuid`, camel case, a query beside a body) is nobody's subject: MLflow decides.
Refuses to know users.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from homeport.tracking.front.call import Call, Subject

_MOST_RUNS = 500  # in one request
# As MLflow writes it: for "01" upstream would look for grants on another experiment than it serves.
_EXPERIMENT = re.compile(r"0|[1-9][0-9]{0,17}")


class About(NamedTuple):
    """What the permission depends on, beside the path; `runs` still have to be replaced by their experiments."""

    runs: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    experiment_name: str = ""
    more: tuple[str, ...] = ()  # names as they are


def about(subject: Subject, call: Call, kind: bytes) -> About | None:
    """What a call is about; None where that is not beyond doubt.

    Args:
        subject: what the route is about.
        call: the request.
        kind: its content type, as sent.
    """
    if subject is Subject.ARTIFACT:  # its body is the artifact, which is not read for this
        return None if call.body else _by_path_and_query(call)
    if call.method == "GET":
        return None if call.body else _in_query(subject, call)
    if call.query or not (kind == b"application/json" or _is_json(kind)):
        return None
    return _in_body(subject, call)


def _is_json(kind: bytes) -> bool:
    return kind.partition(b";")[0].strip().lower() == b"application/json"


def _in_query(subject: Subject, call: Call) -> About | None:
    if subject in _WITHOUT_NAME:
        return _WITHOUT_NAME[subject](call)
    arguments = call.arguments
    if arguments is None:
        return None
    if subject is Subject.RUNS:
        return _runs(arguments)
    if subject is Subject.EXPERIMENTS:
        return _experiments(arguments.get("experiment_ids"))
    if subject is Subject.EXPERIMENT_NAME:
        name = _single(arguments, "experiment_name")
        return About(experiment_name=name) if name else None
    if subject is Subject.RUN:
        run = _single(arguments, "run_id" if "run_id" in arguments else "run_uuid")
        if run is None or ("run_id" in arguments and arguments.get("run_uuid", [run]) != [run]):
            return None
        return About(runs=(run,))
    name = _single(arguments, _NAMES[subject]) if subject in _NAMES else None
    return _named(subject, name)


def _in_body(subject: Subject, call: Call) -> About | None:
    if subject in _WITHOUT_NAME:
        return _WITHOUT_NAME[subject](call)
    body = call.json
    if body is None:
        return None
    if subject is Subject.RUN:
        return _run(body, call.body)
    if subject is Subject.EXPERIMENTS:
        return None if "experimentIds" in body else _experiments(body.get("experiment_ids"))
    if subject not in _NAMES or _CAMEL.get(subject, "") in body:
        return None
    return _named(subject, body.get(_NAMES[subject]))


def _run(body: Mapping[str, Any], text: bytes) -> About | None:
    run = body["run_id"] if "run_id" in body else body.get("run_uuid")
    if not isinstance(run, str) or not run or "runId" in body or "runUuid" in body:
        return None
    if "run_uuid" in body and body["run_uuid"] != run:
        return None
    # Metrics and links may name logged models, on which another permission is needed. Few bodies do.
    models: tuple[str, ...] | None = ()
    if b"model" in text or b"\\u" in text:
        models = _models(body)
    return About(runs=(run,), more=models) if models is not None else None


def _models(body: Mapping[str, Any]) -> tuple[str, ...] | None:
    found: set[str] = set()
    lists = [body[name] for name in ("metrics", "models") if name in body]
    if any(not isinstance(each, list) for each in lists):
        return None
    for item in (body, *(item for each in lists for item in each)):
        if not isinstance(item, dict) or "modelId" in item:
            return None
        if (model := item.get("model_id")) is not None:
            if not isinstance(model, str):
                return None
            found.add(model)
    return tuple(sorted(found))


def _runs(arguments: Mapping[str, list[str]]) -> About | None:
    """Upstream takes `run_id` for one route and `run_ids` for the other; never both."""
    given = [arguments[name] for name in ("run_id", "run_ids") if name in arguments]
    if len(given) != 1 or not all(given[0]) or len(given[0]) > _MOST_RUNS:
        return None
    return About(runs=tuple(given[0]))


def _experiments(given: object) -> About | None:
    if not isinstance(given, list) or not given or not all(isinstance(each, str) for each in given):
        return None
    if not all(_EXPERIMENT.fullmatch(each) for each in given):
        return None
    return About(experiments=tuple(sorted(set(given))))


def _named(subject: Subject, name: object) -> About | None:
    if not isinstance(name, str) or not name:
        return None
    if subject is Subject.EXPERIMENT:
        return About(experiments=(name,)) if _EXPERIMENT.fullmatch(name) else None
    return About(more=(name,))


def _single(arguments: Mapping[str, list[str]], name: str) -> str | None:
    given = arguments.get(name, ())
    return given[0] if len(given) == 1 and given[0] else None


def _by_path(call: Call) -> About | None:
    return About()


def _by_path_and_query(call: Call) -> About | None:
    return About(more=(call.query.decode("latin-1"),))


_NAMES = {Subject.EXPERIMENT: "experiment_id", Subject.MODEL: "name"}
_CAMEL = {Subject.EXPERIMENT: "experimentId"}
# The path is in every key; here it is all there is.
_WITHOUT_NAME: Mapping[Subject, Callable[[Call], About | None]] = {
    Subject.NOTHING: _by_path,
    Subject.ADMIN: _by_path,
    Subject.LOGGED_MODEL: _by_path,
}
