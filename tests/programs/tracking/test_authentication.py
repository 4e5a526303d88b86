"""The tracking server with HOMEPORT_AUTH=basic: nobody gets in unasked, and everybody may do what is theirs to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from homeport.tracking import schema
from homeport.tracking.gate import OPEN, OPEN_BELOW
from tests.programs.database.programs import eventually
from tests.programs.database.server import PASSWORD, Server
from tests.programs.tracking.guarded import ADMIN, PASSWORDS, SERVING, TRAINING, Guarded, routes, secrets_below

pytestmark = pytest.mark.slow
EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=9"
ARTIFACT = "/api/2.0/mlflow-artifacts/artifacts/0/none"
HOSTS = "mlflow.example.org,mlflow.example.org:*,tracking,tracking:*,localhost,localhost:*,127.0.0.1,127.0.0.1:*"
MODEL = """
import mlflow
from mlflow.pyfunc import PythonModel
class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input
mlflow.set_experiment("{experiment}")
with mlflow.start_run():
    mlflow.log_metric("m", 1.0)
    mlflow.pyfunc.log_model(name="model", python_model=Model(), registered_model_name="{model}", pip_requirements=[])
mlflow.MlflowClient().set_registered_model_alias("{model}", "champion", "1")
print("done")
"""
LOAD = """
import mlflow
print(mlflow.pyfunc.load_model("models:/{model}@champion").predict([1, 2]))
"""


@pytest.fixture(scope="module")
def server(prepared: tuple[str, Callable[[], str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One server for all tests that only use it."""
    guarded = Guarded(
        prepared[1](),
        tmp_path_factory.mktemp("guarded"),
        MLFLOW_SERVER_ALLOWED_HOSTS=HOSTS,
        MLFLOW_SERVER_CORS_ALLOWED_ORIGINS="https://mlflow.example.org",
    )
    try:
        yield guarded.start()
    finally:
        guarded.stop()


@pytest.fixture
def new(prepared: tuple[str, Callable[[], str]], tmp_path: Path) -> Iterator[Callable[..., Guarded]]:
    """Makes servers of the test's own; they are not started."""
    made: list[Guarded] = []

    def make(backend_store_uri: str = "", **env: str) -> Guarded:
        made.append(Guarded(backend_store_uri or prepared[1](), tmp_path / f"server-{len(made)}", **env))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def test_every_route_asks_who_is_there_but_the_few_that_are_listed(server: Guarded) -> None:
    paths = [(re.sub(r"\{[^}]*\}|<[^>]*>", "1", path), method) for path, method in routes(server)]
    assert len(paths) > 500  # upstream's list was found, and not a part of it
    beside = [
        "/metrics",
        "/docs",
        "/openapi.json",
        "/redoc",
        "/graphql/",
        "//health",
        "/health/",
        "/healthz",
        "/static",
    ]
    with ThreadPoolExecutor(8) as pool:
        asked = [*paths, *((path, "GET") for path in beside)]
        answers = list(pool.map(lambda each: server.ask(each[1], each[0]).status_code, asked))
    unasked = {path for (path, _), status in zip(asked, answers, strict=True) if status != 401}
    unasked -= {"/metrics"}  # asked from this machine; see below
    assert unasked == {"/health", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info", "/static-files/1"}
    assert unasked - {"/static-files/1"} <= OPEN
    assert OPEN_BELOW == ("/static-files/",)


def test_the_fronts_numbers_are_for_who_is_on_this_machine_or_known(server: Guarded) -> None:
    far = {"X-Forwarded-For": "203.0.113.9"}
    assert "homeport_tracking_fast_lane" in server.ask("GET", "/metrics").text
    assert server.ask("GET", "/metrics", headers=far).status_code == 401
    assert server.ask("GET", "/metrics", SERVING, "another password", headers=far).status_code == 401
    assert "homeport_tracking_fast_lane" in server.ask("GET", "/metrics", SERVING, headers=far).text


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !!!", "Basic YWRtaW4=", "Bearer YWRtaW46eA==", "Basic YWRtaW46d3Jvbmc=", "Basic /////w=="],
)
@pytest.mark.parametrize("path", [EXPERIMENTS, ARTIFACT, "/", "/version", "/gateway/x/mlflow/invocations"])
def test_what_is_no_right_password_is_401_and_a_browser_is_told_to_ask(server: Guarded, header: str, path: str) -> None:
    answer = requests.get(server.url + path, headers={"Authorization": header} if header else {}, timeout=60)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="mlflow"'


@pytest.mark.parametrize("user", [ADMIN, SERVING, TRAINING])
def test_the_accounts_of_the_platform_may_come_in(server: Guarded, user: str) -> None:
    assert server.ask("GET", EXPERIMENTS, user).status_code == 200
    assert server.ask("GET", EXPERIMENTS, user, "another password").status_code == 401


def test_the_page_and_its_files_are_there_for_a_user(server: Guarded) -> None:
    page = server.ask("GET", "/", ADMIN)
    assert page.status_code == 200
    script = re.search(r'src="(static-files/[^"]+\.js)"', page.text)
    assert script
    assert server.ask("GET", "/" + script[1]).status_code == 200


def test_a_user_that_the_admin_makes_reads_what_others_made_and_changes_only_what_is_theirs(server: Guarded) -> None:
    server.make_user("ada", "lovelace-1815")
    made = server.ask("POST", "/api/2.0/mlflow/experiments/create", ADMIN, json={"name": "the admin's"}).json()
    theirs = {"experiment_id": made["experiment_id"]}
    ada = ("ada", "lovelace-1815")
    assert server.ask("GET", "/api/2.0/mlflow/experiments/get", *ada, params=theirs).status_code == 200
    assert server.ask("POST", "/api/2.0/mlflow/experiments/delete", *ada, json=theirs).status_code == 403
    assert server.ask("POST", "/api/2.0/mlflow/runs/create", *ada, json=theirs).status_code == 403
    own = server.ask("POST", "/api/2.0/mlflow/experiments/create", *ada, json={"name": "Ada's"}).json()
    assert server.ask("POST", "/api/2.0/mlflow/runs/create", *ada, json=own).status_code == 200
    assert server.ask("POST", "/api/2.0/mlflow/experiments/delete", *ada, json=own).status_code == 200


def test_only_the_admin_makes_users(server: Guarded) -> None:
    server.make_user("grace", "hopper-1906-1992")
    new = {"username": "mallory", "password": "mallory-mallory"}
    for user, password in (("grace", "hopper-1906-1992"), (SERVING, ""), (TRAINING, "")):
        for path in ("/api/2.0/mlflow/users/create", "/ajax-api/2.0/mlflow/users/create"):
            assert server.ask("POST", path, user, password, json=new).status_code == 403
        assert server.ask("POST", "/api/2.0/mlflow/users/create-ui", user, password, data=new).status_code == 403
        assert server.ask("GET", "/signup", user, password).status_code == 403
    # The page's form is for the administrator, and guarded against other sites' pages.
    assert server.ask("GET", "/signup", ADMIN).status_code == 200
    assert server.ask("POST", "/api/2.0/mlflow/users/create-ui", ADMIN, data=new).status_code == 400
    assert server.ask("GET", EXPERIMENTS, "mallory", "mallory-mallory").status_code == 401


def test_mlflows_own_client_logs_and_registers_as_the_training_account_which_can_delete_nothing_of_others(
    server: Guarded,
) -> None:
    made = server.ask("POST", "/api/2.0/mlflow/experiments/create", ADMIN, json={"name": "shared"}).json()
    assert server.python(MODEL.format(experiment="shared", model="trained"), TRAINING).endswith("done")
    for path, body in (
        ("/api/2.0/mlflow/experiments/delete", made),
        ("/api/2.0/mlflow/users/create", {"username": "eve", "password": "eve-eve-eve-eve"}),
    ):
        assert server.ask("POST", path, TRAINING, json=body).status_code == 403


def test_serving_reads_every_model_where_others_see_nothing_and_writes_none(
    new: Callable[..., Guarded], tmp_path: Path
) -> None:
    own = tmp_path / "basic_auth.ini"
    own.write_text("[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///elsewhere.db\n")
    server = new(MLFLOW_AUTH_CONFIG_PATH=str(own)).start()
    server.python(MODEL.format(experiment="private", model="private"), ADMIN)
    server.make_user("nobody", "nobody-nobody")
    model = {"name": "private"}
    get = "/api/2.0/mlflow/registered-models/get"
    assert server.ask("GET", get, "nobody", "nobody-nobody", params=model).status_code == 403
    assert server.ask("GET", get, SERVING, params=model).status_code == 200
    found = server.ask("GET", "/api/2.0/mlflow/registered-models/search", SERVING).json()
    assert [each["name"] for each in found["registered_models"]] == ["private"]
    assert "[1, 2]" in server.python(LOAD.format(model="private"), SERVING)
    assert server.ask("POST", "/api/2.0/mlflow/registered-models/alias", SERVING, json=model).status_code == 403
    assert server.ask("DELETE", "/api/2.0/mlflow/registered-models/delete", SERVING, json=model).status_code == 403
    assert server.ask("PUT", ARTIFACT, SERVING, data=b"x").status_code == 403
    assert not (tmp_path / "elsewhere.db").exists()


def test_users_are_there_after_a_restart(new: Callable[..., Guarded]) -> None:
    server = new().start()
    server.make_user("ada", "lovelace-1815")
    server.stop()
    server.start()
    assert server.ask("GET", EXPERIMENTS, "ada", "lovelace-1815").status_code == 200


def test_users_are_kept_in_sqlite_too(new: Callable[..., Guarded], tmp_path: Path) -> None:
    server = new(f"sqlite:///{tmp_path}/a%20dir/mlflow.db").start()
    server.make_user("ada", "lovelace-1815")
    assert server.ask("GET", EXPERIMENTS, "ada", "lovelace-1815").status_code == 200
    assert server.ask("GET", EXPERIMENTS).status_code == 401
    assert (tmp_path / "a dir" / "mlflow.db").exists()


def test_a_database_that_is_away_is_no_wrong_password(postgres: Server, new: Callable[..., Guarded]) -> None:
    """Else every client would give up, instead of trying again until it is back."""
    server = new().start()
    name = server.env["MLFLOW_BACKEND_STORE_URI"].rpartition("/")[2]
    assert server.ask("GET", EXPERIMENTS, ADMIN).status_code == 200
    postgres.ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", database="postgres")
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    postgres.ask(cut, database="postgres")
    try:
        for path in (EXPERIMENTS, ARTIFACT):
            answer = server.ask("GET", path, SERVING)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        eventually(lambda: server.ask("GET", "/ready").status_code == 503)
    finally:
        postgres.ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true", database="postgres")
    eventually(lambda: server.ask("GET", EXPERIMENTS, SERVING).status_code == 200)


def test_strangers_learn_that_it_is_not_ready_and_not_why(postgres: Server, new: Callable[..., Guarded]) -> None:
    server = new(HOMEPORT_WORKERS="1").start()
    name = server.env["MLFLOW_BACKEND_STORE_URI"].rpartition("/")[2]
    older = schema.lineage(None, schema.head(schema.USERS), schema.revisions(schema.USERS))[-2]
    postgres.ask(f"UPDATE alembic_version_auth SET version_num = '{older}'", database=name)
    eventually(lambda: server.ask("GET", "/ready").status_code == 503)
    near, far = server.ask("GET", "/ready"), server.ask("GET", "/ready", headers={"X-Forwarded-For": "203.0.113.9"})
    assert older in near.json()["problems"][0]["message"]
    assert far.json() == {"ready": False, "problems": [{"part": "database"}]}


def test_hosts_and_origins_are_upstreams_to_check_and_probes_pass(server: Guarded) -> None:
    def asked(host: str, path: str = EXPERIMENTS, method: str = "GET", **headers: str) -> int:
        return server.ask(method, path, ADMIN, headers={"Host": host, **headers}, json={"name": host}).status_code

    for host in ("mlflow.example.org", "mlflow.example.org:8443", "tracking:5000", "localhost:5000", "127.0.0.1:1"):
        assert asked(host) == 200
    for host in ("evil.example.org", "mlflow.example.org.evil.net", "10.1.2.3:5000"):
        assert asked(host) == 403
    create = "/api/2.0/mlflow/experiments/create"
    own, other = "https://mlflow.example.org", "https://evil.example.org"
    assert asked("mlflow.example.org", create, "POST", Origin=own) == 200
    assert asked("tracking:5000", create, "POST", Origin=other) == 403
    question = {"Origin": own, "Access-Control-Request-Method": "POST"}
    preflight = server.ask("OPTIONS", create, headers=question)
    assert (preflight.ok, preflight.headers["Access-Control-Allow-Origin"]) == (True, own)
    assert not server.ask("OPTIONS", create, headers=question | {"Origin": other}).ok
    assert server.ask("OPTIONS", create).status_code == 401
    assert server.ask("GET", "/health", headers={"Host": "whoever"}).status_code == 200


def test_no_password_is_written_down_for_upstream(server: Guarded) -> None:
    assert server.ask("GET", EXPERIMENTS, ADMIN).status_code == 200
    for secret in (PASSWORD, "quoted%27", *PASSWORDS.values()):
        assert secrets_below(server.room, secret) == []


def test_a_changed_password_holds_at_once_in_the_worker_that_changed_it_and_the_old_one_for_a_minute_at_most(
    new: Callable[..., Guarded],
) -> None:
    server = new(HOMEPORT_WORKERS="1").start()
    server.make_user("ada", "lovelace-1815")
    assert server.ask("GET", EXPERIMENTS, "ada", "lovelace-1815").status_code == 200
    change = {"username": "ada", "password": "countess-1852", "current_password": "lovelace-1815"}
    path = "/api/2.0/mlflow/users/update-password"
    assert server.ask("PATCH", path, "ada", "lovelace-1815", json=change).status_code == 200
    assert server.ask("GET", EXPERIMENTS, "ada", "lovelace-1815").status_code == 401
    assert server.ask("GET", EXPERIMENTS, "ada", "countess-1852").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_it_refuses_to_listen_for_others_without_authentication(new: Callable[..., Guarded], host: str) -> None:
    error = new("sqlite:///unused.db", HOMEPORT_AUTH="", HOMEPORT_LISTEN_HOST=host).launch().reason()
    assert error["code"] == "AUTHENTICATION_REQUIRED"
    assert "HOMEPORT_AUTH=basic" in error["fix"]
    assert "HOMEPORT_AUTH=off" in error["fix"]


def test_switched_off_in_so_many_words_it_listens_and_its_log_says_so(new: Callable[..., Guarded]) -> None:
    server = new(HOMEPORT_AUTH="off", HOMEPORT_LISTEN_HOST="0.0.0.0").start()
    assert server.ask("GET", EXPERIMENTS).status_code == 200
    assert "answers everybody who reaches 0.0.0.0: HOMEPORT_AUTH=off" in server.programs[0].said


def test_a_word_that_is_none_is_refused(new: Callable[..., Guarded]) -> None:
    error = new("sqlite:///unused.db", HOMEPORT_AUTH="yes").launch().reason()
    assert (error["code"], error["evidence"][0]["text"]) == ("SETTING_INVALID", "basic or off")


def test_without_accounts_it_does_not_start_and_says_which_job_makes_them(at_head: str, tmp_path: Path) -> None:
    server = Guarded(at_head, tmp_path / "server")
    error = server.launch().reason()
    assert error["code"] == "ACCOUNTS_MISSING"
    assert "homeport.tracking.migrate" in error["fix"]


def test_a_configuration_of_the_sites_own_that_cannot_be_read_is_named(
    new: Callable[..., Guarded], tmp_path: Path
) -> None:
    error = new(MLFLOW_AUTH_CONFIG_PATH=str(tmp_path / "nowhere.ini")).launch().reason()
    assert error["code"] == "AUTHENTICATION_MISCONFIGURED"
    assert str(tmp_path / "nowhere.ini") in str(error["evidence"])
