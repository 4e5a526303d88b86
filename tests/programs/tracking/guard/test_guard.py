"""With logins on, the front lets nobody do what MLflow would not, and answers everybody as MLflow does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.routes import Routes
from homeport.tracking.front.private import Private
from tests.programs.database.programs import eventually
from tests.programs.database.server import Server
from tests.programs.tracking.conftest import uri
from tests.programs.tracking.guard.asked import (
    API,
    ASKS,
    CLOSED,
    EVERYBODY,
    GRANTS,
    OPEN,
    PEOPLE,
    WORD,
    Ask,
    Pair,
    grant,
    pair,
    revoke,
    yes,
)  # fmt: skip
from tests.programs.tracking.guarded import ADMIN, PASSWORDS, routes

METRIC = {"run_id": "{run}", "key": "m", "value": 1, "timestamp": 1}
LOG = Ask("log-metric", "POST", f"{API}/runs/log-metric", METRIC)
READ = Ask("get-run", "GET", f"{API}/runs/get", {"run_id": "{run}"})


@pytest.fixture(scope="module")
def servers(postgres: Server, copies: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Everybody may read what nobody said anything about."""
    with pair(uri(postgres, copies()), tmp_path_factory.mktemp("servers"), "READ") as made:
        yield made


def differences(servers: Pair, users: Sequence[str] = EVERYBODY) -> dict[str, object]:
    """By route, the first of each."""
    found: dict[str, object] = {}
    for user in users:
        for which in (OPEN, CLOSED):
            for ask in ASKS:
                fast, slow = servers.both(user, "" if user in PASSWORDS else WORD, ask, which)
                if fast != slow:
                    found.setdefault(ask.route, (user, which, ask.values, fast, slow))
    return found


# What nobody is answered fast where logins are asked for: its experiment stands in a header.
BY_MLFLOW = {"export-spans"}


@pytest.mark.slow
def test_everybody_is_answered_as_without_the_fast_lane_whatever_they_ask_for(servers: Pair) -> None:
    before = servers.counted()
    found = differences(servers)
    assert not found, "\n".join(f"{route}: {what}" for route, what in found.items())
    after = servers.counted()
    assert {ask.route for ask in ASKS if after.get(ask.route, 0) == before.get(ask.route, 0)} == BY_MLFLOW


@pytest.mark.slow
def test_with_nothing_permitted_by_default_it_is_the_same(
    postgres: Server, copies: Callable[[], str], tmp_path: Path
) -> None:
    with pair(uri(postgres, copies()), tmp_path, "NO_PERMISSIONS") as made:
        assert differences(made, ("plain", "reader", "writer", ADMIN)) == {}
        allowed, refused = made.both("writer", WORD, LOG, OPEN)[0], made.both("plain", WORD, LOG, OPEN)[0]
        assert (allowed[0], refused[0]) == (200, 403)


def test_every_hot_call_is_among_what_is_asked() -> None:
    table = Routes(Database("postgresql://h/d"), Private(("/nowhere",)), {"HOMEPORT_AUTH": "basic"}).all()
    assert {route.name for route in table} == {ask.route for ask in ASKS}


@pytest.mark.parametrize(
    ("user", "password"),
    [("", ""), ("editor", "wrong"), ("nobody-at-all", WORD), ("editor", WORD + "x"), (ADMIN, WORD)],
    ids=["stranger", "wrong", "unknown", "longer", "admin"],
)
def test_without_a_right_password_nothing_hot_is_answered_but_what_is_open(
    servers: Pair, user: str, password: str
) -> None:
    for ask in (LOG, READ, ASKS[-1]):
        fast, slow = servers.both(user, password, ask, OPEN)
        assert fast == slow
        assert fast[0] == (200 if ask.route == "server-info" else 401)


def hot(servers: Pair, user: str, password: str, ask: Ask = LOG, which: str = CLOSED) -> int:
    return ask.put(servers.fast, user, password, servers.things["fast", which]).status_code


def answered_fast(servers: Pair, user: str, password: str, ask: Ask = LOG, which: str = CLOSED) -> bool:
    """Whether the next of it is answered by the front, and well."""
    before = servers.counted().get(ask.route, 0)
    return hot(servers, user, password, ask, which) == 200 and servers.counted()[ask.route] == before + 1


def test_a_revoked_permission_ends_with_the_answer_of_the_revocation(servers: Pair) -> None:
    experiment = servers.things["fast", CLOSED].experiment
    for _ in range(5):
        grant(servers.fast, "plain", experiment, "EDIT")
        assert hot(servers, "plain", WORD) == 200
        assert answered_fast(servers, "plain", WORD)
        revoke(servers.fast, "plain", experiment)
        assert hot(servers, "plain", WORD) == 403


def test_a_denial_is_heard_at_once_by_other_servers_on_the_database(servers: Pair) -> None:
    experiment = servers.things["fast", CLOSED].experiment
    grant(servers.slow, "plain", experiment, "EDIT")
    eventually(lambda: answered_fast(servers, "plain", WORD), 10)
    revoke(servers.slow, "plain", experiment)
    assert hot(servers, "plain", WORD) == 403


def test_a_deleted_user_a_changed_password_and_a_lost_office_end_at_once(servers: Pair) -> None:
    users = f"{API}/users"
    for round_ in range(3):
        name = f"passing-{round_}"
        servers.fast.make_user(name, WORD)
        yes(servers.fast, "PATCH", f"{users}/update-admin", {"username": name, "is_admin": True})
        assert hot(servers, name, WORD) == 200
        assert answered_fast(servers, name, WORD)
        yes(servers.fast, "PATCH", f"{users}/update-admin", {"username": name, "is_admin": False})
        assert hot(servers, name, WORD) == 403
        yes(servers.fast, "PATCH", f"{users}/update-admin", {"username": name, "is_admin": True})
        assert hot(servers, name, WORD) == 200
        yes(servers.fast, "PATCH", f"{users}/update-password", {"username": name, "password": "another-password"})
        assert {hot(servers, name, WORD) for _ in range(4)} == {401}, "in every worker behind the front"
        assert hot(servers, name, "another-password") == 200
        assert answered_fast(servers, name, "another-password")
        yes(servers.fast, "DELETE", f"{users}/delete", {"username": name})
        assert {hot(servers, name, "another-password") for _ in range(4)} == {401}


def test_a_role_that_is_taken_away_or_emptied_ends_at_once(servers: Pair) -> None:
    role = yes(servers.fast, "POST", f"{GRANTS}/roles/create", {"name": "short", "workspace": "default"})["role"]["id"]
    all_of_them = {"resource_type": "experiment", "resource_pattern": "*", "permission": "EDIT"}
    added = yes(servers.fast, "POST", f"{GRANTS}/roles/permissions/add", {"role_id": role, **all_of_them})
    yes(servers.fast, "POST", f"{GRANTS}/roles/assign", {"username": "plain", "role_id": role})
    assert hot(servers, "plain", WORD) == 200
    assert answered_fast(servers, "plain", WORD)
    yes(servers.fast, "DELETE", f"{GRANTS}/roles/unassign", {"username": "plain", "role_id": role})
    assert hot(servers, "plain", WORD) == 403
    yes(servers.fast, "POST", f"{GRANTS}/roles/assign", {"username": "plain", "role_id": role})
    assert hot(servers, "plain", WORD) == 200
    permission = added["role_permission"]["id"]
    yes(servers.fast, "DELETE", f"{GRANTS}/roles/permissions/remove", {"role_permission_id": permission})
    assert hot(servers, "plain", WORD) == 403


def test_what_names_two_runs_is_never_done_to_the_one_that_is_not_permitted(servers: Pair) -> None:
    mine, theirs = servers.things["fast", OPEN].run, servers.things["fast", CLOSED].run
    experiment = servers.things["fast", OPEN].experiment
    grant(servers.fast, "denied", experiment, "EDIT")
    value = {"key": "smuggled", "value": "1"}
    attempts = (
        {"run_id": mine, "run_uuid": theirs}, {"run_uuid": theirs, "run_id": mine}, {"run_id": "", "run_uuid": theirs},
        {"run_id": mine, "runId": theirs}, {"run_id": mine, "runUuid": theirs}, {"runId": theirs},
        {"run_id": None, "run_uuid": theirs}, {"run_id": [theirs]}, {"run_uuid": theirs, "runId": mine},
    )  # fmt: skip
    path = f"{API}/runs/set-tag"
    assert servers.fast.ask("POST", path, "denied", WORD, json={"run_id": mine, **value}).status_code == 200
    for attempt in attempts:
        servers.fast.ask("POST", path, "denied", WORD, json={**attempt, **value})
    texts = (
        f'{{"run_id": "{theirs}", "key": "smuggled", "value": "1", "run_id": "{mine}"}}',
        f'{{"run_id": "{mine}", "key": "smuggled", "value": "1", "run\\u005fid": "{theirs}"}}',
    )
    for text in texts:
        for kind in ("application/json", "text/plain", "application/json; charset=utf-16"):
            servers.fast.ask("POST", path, "denied", WORD, data=text, headers={"content-type": kind})
    for query in (f"?run_id={mine}", f"?run_uuid={mine}"):
        servers.fast.ask("POST", path + query, "denied", WORD, json={"run_id": theirs, **value})
    for query in (
        f"run_id={mine}&run_id={theirs}",
        f"run_id={mine}&run_uuid={theirs}",
        f"run_id={mine};run_id={theirs}",
    ):
        answer = servers.fast.ask("GET", f"{API}/runs/get?{query}", "denied", WORD)
        assert theirs not in answer.text, query
    run = servers.fast.ask("GET", f"{API}/runs/get", ADMIN, params={"run_id": theirs}).json()["run"]
    assert "smuggled" not in {tag["key"] for tag in run["data"].get("tags", ())}
    revoke(servers.fast, "denied", experiment)


def test_a_metric_for_somebody_elses_model_is_refused_also_after_one_for_a_model_of_ones_own(servers: Pair) -> None:
    mine, theirs = servers.things["fast", OPEN], servers.things["fast", CLOSED]
    grant(servers.fast, "denied", mine.experiment, "EDIT")
    other = replace(mine, model=theirs.model)
    for ask in ASKS:
        if "model" in str(ask.values) and ask.route in {"log-metric", "log-batch", "log-outputs"}:
            assert ask.put(servers.fast, "denied", WORD, mine).status_code != 403, ask  # an output is told once only
            assert ask.put(servers.fast, "denied", WORD, other).status_code == 403, ask
    revoke(servers.fast, "denied", mine.experiment)


def test_the_names_that_a_user_may_not_know_are_not_in_what_the_front_answers(servers: Pair) -> None:
    model = servers.things["fast", CLOSED].model
    assert model in READ.put(servers.fast, "manager", WORD, servers.things["fast", CLOSED]).text
    for _ in range(2):
        assert model not in READ.put(servers.fast, "modelless", WORD, servers.things["fast", CLOSED]).text


def test_who_is_allowed_is_answered_fast_from_the_second_call_on(servers: Pair) -> None:
    for user in ("editor", "manager", "writer"):
        assert hot(servers, user, WORD) == 200
        assert answered_fast(servers, user, WORD), user


@pytest.mark.slow
def test_every_route_that_changes_users_and_their_permissions_is_watched(servers: Pair) -> None:
    from homeport.tracking.front.guard import changes

    words = ("/users/", "/roles/", "/permissions", "signup", "/workspaces")
    found = [(path, method) for path, method in routes(servers.fast) if any(word in path for word in words)]
    assert len([method for _, method in found if method in {"POST", "PATCH", "DELETE"}]) > 20
    for path, method in found:
        assert changes(method, path) == (method not in {"GET", "HEAD", "OPTIONS"}), (method, path)


def test_of_logged_models_only_one_that_goes_away_changes_what_somebody_may() -> None:
    from homeport.tracking.front.guard import changes

    assert changes("DELETE", "/api/2.0/mlflow/logged-models/m-1")
    for method, path in (("POST", "logged-models/search"), ("PATCH", "logged-models/m-1"), ("POST", "logged-models")):
        assert not changes(method, f"/ajax-api/2.0/mlflow/{path}"), path


def test_every_person_is_asked_as() -> None:
    assert set(PEOPLE) < set(EVERYBODY)
