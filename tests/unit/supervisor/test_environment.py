"""What a child sees of the world."""

from __future__ import annotations

from homeport.model.graph import Graph
from homeport.model.service import Service
from homeport.model.values import Secret, Template
from homeport.supervisor.environment import environment
from homeport.supervisor.layout import Home
from homeport.supervisor.local import LocalTarget

CALLER = {
    "PATH": "/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LC_ALL": "C",
    "TZ": "UTC",
    "TMPDIR": "/t",
    "SSL_CERT_FILE": "/c",
    "PYTHONPATH": "/evil",
    "VIRTUAL_ENV": "/v",
    "LD_PRELOAD": "x",
    "AWS_PROFILE": "work",
    "MLFLOW_TRACKING_URI": "http://x",
    "MLFLOW_FLAG": "1",
    "HOMEPORT_DAEMON_PIPES": "3,4",
}


def seen(home: Home, caller: dict[str, str], **more: object) -> dict[str, str]:
    node = Service(name="a-b", title="a", command=("a",), **more)  # type: ignore[arg-type]  # any field of a service
    return environment(node, LocalTarget(Graph("g", [node]), home), home, caller)


def test_only_neutral_variables_get_through(home: Home) -> None:
    assert seen(home, CALLER) == {
        "PATH": "/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "LC_ALL": "C",
        "TZ": "UTC",
        "TMPDIR": str(home.scratch("a-b")),
        "SSL_CERT_FILE": "/c",
        "PYTHONUNBUFFERED": "1",
        "HOMEPORT_REASON_FILE": str(home.reason("a-b")),
    }


def test_inherited_prefixes_get_through(home: Home) -> None:
    found = seen(home, CALLER, inherit=("MLFLOW_",))
    assert (found["MLFLOW_FLAG"], found["MLFLOW_TRACKING_URI"]) == ("1", "http://x")
    assert "AWS_PROFILE" not in found


def test_its_own_values_win_and_are_resolved(home: Home) -> None:
    env = {"PATH": "/mine", "URL": Template("x:{p}", p=Secret("p", given="s"))}
    found = seen(home, CALLER, env=env)
    assert (found["PATH"], found["URL"]) == ("/mine", "x:s")


def test_services_reach_each_other_past_a_proxy(home: Home) -> None:
    found = seen(home, {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "corp.example"})
    assert found["HTTPS_PROXY"] == "http://proxy:3128"
    assert found["NO_PROXY"] == found["no_proxy"] == "corp.example,127.0.0.1,localhost,::1"
    assert seen(home, {"http_proxy": "p", "no_proxy": "*"})["no_proxy"] == "*"
    assert "NO_PROXY" not in seen(home, {"PATH": "/bin"})


def test_temporary_files_go_into_a_directory_of_the_services_own(home: Home) -> None:
    assert seen(home, CALLER)["TMPDIR"] == str(home.run / "tmp" / "a-b")
