"""Models in processes of their own: no version runs another's code, and no process outlives its service."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from homeport.errors import HomeportError
from homeport.serving.follow.isolated import Isolated
from homeport.serving.follow.isolation import interpreter, load, needs_isolation
from homeport.serving.follow.versions import RegisteredVersion
from homeport.serving.refusal import Refusal
from homeport.serving.servable import Dialect, Request, Servable
from tests.programs.serving.follow.worker import eventually

pytestmark = pytest.mark.slow

MAKER = "tests.programs.serving.follow.linear:Linear"
ONE = RegisteredVersion("wine", "1", run_id="r", model_id="m-1")


def request_of(body: object) -> Request:
    return Request(Dialect.MLFLOW, "application/json", str(body).encode())


def answer(servable: Servable, request: Request) -> bytes:
    question = servable.parse(request)
    return servable.encode(request, question, servable.predict([question])[0]).body


@pytest.fixture
def isolated(saved: Callable[[float], Path]) -> Iterator[Isolated]:
    """y = 2x, in a process of its own."""
    made = Isolated(saved(2), ONE, maker=MAKER)
    yield made
    made.close()


@pytest.fixture(scope="module")
def with_code(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A model that brings a module `wine_rules`, with the same name and other content in each version."""

    def save(version: int) -> Path:
        place = tmp_path_factory.mktemp("code")
        (place / "wine_rules.py").write_text(f"VERSION = {version}\n")
        (place / "model.py").write_text(
            "import mlflow\n\n\n"
            "class Model(mlflow.pyfunc.PythonModel):\n"
            "    def predict(self, context, model_input, params=None):\n"
            "        import wine_rules\n"
            "        return [wine_rules.VERSION] * len(model_input)\n\n\n"
            "mlflow.models.set_model(Model())\n"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's advice about signatures, and about itself when it is imported
            import mlflow.pyfunc

            mlflow.pyfunc.save_model(
                str(place / "saved"),
                python_model=str(place / "model.py"),
                code_paths=[str(place / "wine_rules.py")],
                pip_requirements=["mlflow"],
            )
        return place / "saved"

    return save


def test_version_2_never_runs_version_1s_code(with_code: Callable[[int], Path]) -> None:
    loaded = [load(with_code(number), RegisteredVersion("wine", str(number))) for number in (1, 2)]
    try:
        request = request_of(json.dumps({"inputs": [[1.0], [2.0]]}))
        for _ in range(2):
            answers = [json.loads(answer(servable, request))["predictions"] for servable in loaded]
            assert answers == [[1, 1], [2, 2]]
        for number, servable in enumerate(loaded, 1):
            description = servable.description
            assert (description.name, description.version, description.isolated) == ("wine", str(number), True)
            assert "runs in a process of its own: it brings code of its own" in description.warnings
        assert "wine_rules" not in sys.modules
    finally:
        for servable in loaded:
            servable.close()


def test_a_description_crosses_as_data(isolated: Isolated) -> None:
    found = isolated.description
    assert (found.name, found.version, found.run_id, found.model_id) == ("wine", "1", "r", "m-1")
    assert found.isolated
    assert "python_function" in found.flavors


def test_many_threads_get_each_its_own_answer(isolated: Isolated) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda x: json.loads(answer(isolated, request_of(x))), range(200))
        assert list(answers) == pytest.approx([2 * x for x in range(200)])


def test_the_number_of_rows_is_known_afterwards(isolated: Isolated) -> None:
    question = isolated.parse(request_of(3))
    isolated.predict([question])
    assert question.rows == 1


def test_a_refusal_crosses_with_its_headers(isolated: Isolated) -> None:
    with pytest.raises(Refusal) as refusal:
        answer(isolated, request_of("many"))
    refused = refusal.value
    assert (refused.status, refused.code, refused.headers) == (400, "BAD_REQUEST", {"X-Test": "yes"})


def test_an_error_of_the_model_is_ours_and_says_nothing_of_the_data(
    isolated: Isolated, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Refusal) as refusal:
        answer(isolated, request_of("NaN"))  # scikit-learn refuses it
    assert refusal.value.status == 500
    assert "NaN" not in refusal.value.message
    assert json.loads(answer(isolated, request_of(3))) == pytest.approx(6)
    eventually(lambda: "[wine/1] ValueError: Input X contains NaN." in capfd.readouterr().err)


def test_a_dead_process_is_started_again_and_requests_meanwhile_are_told_when_to_come_back(isolated: Isolated) -> None:
    before = isolated.pid
    with pytest.raises(Refusal) as refusal:
        answer(isolated, request_of("die"))
    assert (refusal.value.status, refusal.value.code) == (503, "TEMPORARILY_UNAVAILABLE")
    assert refusal.value.headers == {"Retry-After": "1"}

    def answers_again() -> bool:
        try:
            return answer(isolated, request_of(3)).startswith(b"6")
        except Refusal as again:
            if again.status != 503:
                raise
            return False

    eventually(answers_again)
    assert isolated.pid not in {None, before}


def test_closing_ends_the_process_and_refuses_what_comes_after(isolated: Isolated) -> None:
    pid = isolated.pid
    assert pid is not None
    isolated.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(Refusal) as refusal:
        answer(isolated, request_of(3))
    assert refusal.value.status == 503


def test_a_stopped_process_is_ended_by_force(isolated: Isolated) -> None:
    pid = isolated.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    isolated.close()
    assert not psutil.pid_exists(pid)


def test_signals_meant_for_the_service_do_not_end_it(isolated: Isolated) -> None:
    assert isolated.pid is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(isolated.pid, number)
    assert json.loads(answer(isolated, request_of(3))) == pytest.approx(6)


def test_a_model_that_does_not_load_says_why(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    with pytest.raises(HomeportError, match="wine/1 could not be loaded") as error:
        Isolated(tmp_path, ONE, maker=MAKER)
    assert error.value.code == "MODEL_NOT_LOADED"


def test_a_process_that_dies_while_loading_says_so(saved: Callable[[float], Path]) -> None:
    with pytest.raises(HomeportError, match="could not be loaded in a process of its own") as error:
        Isolated(saved(2), ONE, maker=MAKER, python="/bin/false")
    assert error.value.code == "MODEL_NOT_LOADED"


def test_a_python_that_is_not_there_says_so(saved: Callable[[float], Path]) -> None:
    with pytest.raises(HomeportError, match="No such file"):
        Isolated(saved(2), ONE, maker=MAKER, python="/no/such/python")


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "stopped"])
def test_the_process_ends_with_a_service_that_is_killed(saved: Callable[[float], Path], busy: bool) -> None:
    program = (
        "import sys, pickle, base64; from homeport.serving.follow.isolated import Isolated;"
        f"path, version = pickle.loads({pickle.dumps((saved(2), ONE))!r});"
        f"made = Isolated(path, version, maker={MAKER!r});"
        "print(made.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        pid = int(service.stdout.readline())
        child = psutil.Process(pid)
        if busy:
            os.kill(pid, signal.SIGSTOP)  # as native code that never looks at the socket
        service.kill()
        eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_model_without_code_runs_here(saved: Callable[[float], Path]) -> None:
    assert needs_isolation(saved(2)) is None


@pytest.mark.parametrize(
    ("line", "clashes"),
    [
        ("scikit-learn==0.24.2", True),
        ("scikit-learn==0.*", True),
        ("scikit_learn[extra]==0.1 ; python_version > '3'", True),
        ("scikit-learn>=0.2", False),
        ("scikit-learn", False),
        ("mlflow==2.9.0", False),
        ("no-such-package==1.0", False),
        ("# a comment", False),
        ("-r other.txt", False),
        ("./local.whl", False),
    ],
)
def test_only_another_major_version_of_its_libraries_is_a_clash(tmp_path: Path, line: str, clashes: bool) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {loader_module: mlflow.sklearn}}\n")
    (tmp_path / "requirements.txt").write_text(f"numpy\n{line}\n")
    reason = needs_isolation(tmp_path)
    assert (reason is not None) is clashes
    assert reason is None or reason.startswith("it was made with scikit")


@pytest.mark.parametrize("content", ["", "[]", "flavors: 3", "flavors: {python_function: 3}", "{", "\x00"])
def test_a_strange_mlmodel_file_is_left_to_the_loading(tmp_path: Path, content: str) -> None:
    (tmp_path / "MLmodel").write_text(content)
    assert needs_isolation(tmp_path) is None


def test_a_sites_environment_runs_its_model(tmp_path: Path, saved: Callable[[float], Path]) -> None:
    for place in ("wine/bin", "wine/2/bin"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "python").write_text(f'#!/bin/sh\nHOMEPORT_TEST_ENV={place} exec {sys.executable} "$@"\n')
        (tmp_path / place / "python").chmod(0o755)
    found = [interpreter(tmp_path, RegisteredVersion("wine", number)) for number in ("1", "2")]
    assert found == [str(tmp_path / "wine/bin/python"), str(tmp_path / "wine/2/bin/python")]
    assert interpreter(tmp_path, RegisteredVersion("penguins", "1")) is None
    assert interpreter(tmp_path / "wine/2", RegisteredVersion("..", "1")) is None
    assert interpreter(None, ONE) is None
    servable = load(saved(2), ONE, environments=tmp_path)
    try:
        assert isinstance(servable, Isolated)
        pid = servable.pid
        assert pid is not None
        assert psutil.Process(pid).environ()["HOMEPORT_TEST_ENV"] == "wine/bin"
    finally:
        servable.close()
