from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.errors import HomeportError
from homeport.model.drawing import mermaid, text
from homeport.model.graph import Graph
from homeport.model.service import COMPLETED, HEALTHY, STARTED, HttpProbe, Job, Port, Probe, Service, TcpProbe, Volume
from homeport.model.values import Bind, Path, Ref, Secret, SecretFile, Template


def service(name: str, **kwargs: object) -> Service:
    defaults: dict[str, object] = {
        "title": name,
        "command": ("run", name),
        "ports": (Port("main", 1),),
        "probe": Probe(TcpProbe()),
    }
    return Service(name=name, **{**defaults, **kwargs})  # type: ignore[arg-type]  # keyword arguments by name


def job(name: str, owner: str, **kwargs: object) -> Job:
    return Job(name=name, title=name, command=("run", name), owner=owner, **kwargs)  # type: ignore[arg-type]  # as above


def refusal(*nodes: Service | Job) -> HomeportError:
    with pytest.raises(HomeportError) as caught:
        Graph("test", nodes)
    assert caught.value.exit_code == 2
    assert caught.value.fix
    return caught.value


def test_an_unknown_dependency_names_both_ends() -> None:
    error = refusal(service("web", needs={"db": HEALTHY}))
    assert error.code == "GRAPH_UNKNOWN_DEPENDENCY"
    assert '"web"' in error.what
    assert '"db"' in error.what


def test_healthy_of_a_service_without_a_probe_names_both_ends() -> None:
    error = refusal(service("db", probe=None), service("web", needs={"db": HEALTHY}))
    assert error.code == "GRAPH_NO_PROBE"
    assert '"web"' in error.what
    assert '"db"' in error.what


def test_healthy_of_a_job_is_refused() -> None:
    assert refusal(service("db"), job("init", "db"), service("web", needs={"init": HEALTHY})).code == "GRAPH_NO_PROBE"


def test_completed_of_a_service_is_refused() -> None:
    assert refusal(service("db"), service("web", needs={"db": COMPLETED})).code == "GRAPH_NEVER_COMPLETES"


def test_a_cycle_is_shown_as_a_circle() -> None:
    error = refusal(
        service("a", needs={"b": STARTED}), service("b", needs={"c": STARTED}), service("c", needs={"a": STARTED})
    )
    assert error.code == "GRAPH_CYCLE"
    assert "a -> b -> c -> a" in error.what


def test_two_services_of_one_name_are_refused() -> None:
    assert refusal(service("a"), service("a")).code == "GRAPH_DUPLICATE"


@pytest.mark.parametrize("name", ["", "Web", "../web", "a b", "1st"])
def test_a_name_that_is_no_file_name_and_no_host_name_is_refused(name: str) -> None:
    assert refusal(service(name)).code == "GRAPH_NAME"
    assert refusal(service("a", env={"P": Secret(name)})).code == "GRAPH_NAME"
    assert refusal(service("a", volumes=(Volume(name, "/d"),))).code == "GRAPH_NAME"


def test_a_secret_in_a_command_line_is_refused_even_inside_a_template() -> None:
    error = refusal(service("a", command=("run", Template("--password={p}", p=Secret("pw")))))
    assert error.code == "GRAPH_SECRET_IN_ARGV"


def test_the_path_of_a_secret_file_may_stand_in_a_command_line() -> None:
    graph = Graph("test", [service("a", env={"P_FILE": SecretFile(Secret("pw"))})])
    assert set(graph.secrets()) == {"pw"}


@pytest.mark.parametrize(
    "value", [Ref("nobody"), Ref("a", "nothing"), Template("{x}", x=Ref("nobody")), Bind("nothing")]
)
def test_a_port_that_does_not_exist_is_refused(value: object) -> None:
    assert refusal(service("a", env={"X": value})).code == "GRAPH_UNKNOWN_PORT"


def test_a_probe_of_a_port_that_does_not_exist_is_refused() -> None:
    assert refusal(service("a", probe=Probe(HttpProbe("/", port="admin")))).code == "GRAPH_UNKNOWN_PORT"


def test_a_path_in_a_volume_of_somebody_else_is_refused() -> None:
    assert refusal(service("a", env={"D": Path("data")})).code == "GRAPH_UNKNOWN_VOLUME"
    assert Graph("test", [service("a", env={"D": Path("data")}, volumes=(Volume("data", "/d"),))]).volumes()


def test_a_job_of_nobody_is_refused() -> None:
    assert refusal(job("init", "db")).code == "GRAPH_UNKNOWN_OWNER"


@given(st.lists(st.integers(min_value=0, max_value=9), min_size=1, max_size=10), st.randoms())
def test_every_service_starts_after_all_it_needs_and_stops_before(fans: list[int], random: object) -> None:
    nodes = []
    for i, fan in enumerate(fans):
        needs = {f"s{j}": STARTED for j in range(i) if (j * 7 + fan) % 3 == 0}
        nodes.append(service(f"s{i}", needs=needs))
    random.shuffle(nodes)  # type: ignore[attr-defined]  # hypothesis' Random
    graph = Graph("test", nodes)
    position = {name: i for i, name in enumerate(graph.start_order)}
    assert all(position[need] < position[node.name] for node in graph for need in node.needs)
    assert graph.stop_order == graph.start_order[::-1]


def test_drawings_name_every_service_and_every_condition() -> None:
    graph = Graph(
        "test",
        [service("db"), job("migrate", "web", needs={"db": HEALTHY}), service("web", needs={"migrate": COMPLETED})],
    )
    assert mermaid(graph).splitlines() == [
        "flowchart LR",
        '    db["db<br/>db"]',
        '    migrate(["migrate<br/>migrate"])',
        '    web["web<br/>web"]',
        "    db -->|healthy| migrate",
        "    migrate -->|completed| web",
    ]
    assert text(graph).splitlines() == [
        "db       service  db       at once",
        "migrate  job      migrate  after db healthy",
        "web      service  web      after migrate completed",
    ]


def test_services_are_data_that_cannot_be_changed() -> None:
    node = service("a", env={"X": "1"})
    with pytest.raises(TypeError):
        node.env["X"] = "2"  # type: ignore[index]  # that it fails is the point
