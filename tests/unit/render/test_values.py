from __future__ import annotations

import pytest

from homeport.errors import HomeportError
from homeport.model.graph import Graph
from homeport.model.service import Container, Port, Service, Volume
from homeport.model.values import Bind, Part, Path, Ref, Secret, SecretFile, Setting, Template, Value
from homeport.render.values import ComposeValues, secrets_of

SECRET = Secret("key", given="never to be seen")


def service(env: dict[str, Value], image: str = "") -> Service:
    return Service(
        name="one",
        title="one",
        command=("run",),
        env=env,
        ports=(Port("main", 5000),),
        volumes=(Volume("data", "/var/lib/one"),),
        container=Container(image=image),
    )


def environment(value: Value, image: str = "", **more: str) -> dict[str, str]:
    node = service({"X": value}, image)
    return ComposeValues(Graph("test", [node]), **({"defaults": more} if more else {})).environment(node)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("costs $5 ${NOT_MINE}", "costs $$5 $${NOT_MINE}"),
        (Ref("one"), "one:5000"),
        (Ref("one", part=Part.HOST), "one"),
        (Ref("one", part=Part.PORT), "5000"),
        (Bind(), "0.0.0.0:5000"),
        (Bind(part=Part.HOST), "0.0.0.0"),
        (Path("data"), "/var/lib/one"),
        (Path("data", "below/it"), "/var/lib/one/below/it"),
        (Setting("A", "text now", "by default"), "${A:-by default}"),
        (Setting("A", "text now", ""), "${A:-}"),
        (Setting("A", "", "5$"), "${A:-5$$}"),
        (Template("${it} {{{a}}}", a=Setting("A", "", "1"), it="x"), "$x {${A:-1}}"),
        (SecretFile(SECRET), "/run/secrets/key"),
    ],
)
def test_a_value_stands_as_compose_reads_it(value: Value, text: str) -> None:
    expected = text.replace("$x", "$$x") if isinstance(value, Template) else text
    assert environment(value) == {"X": expected}


def test_a_required_setting_has_no_default_and_a_file_may_change_one() -> None:
    node = service({"X": Setting("A", "", "1"), "Y": Setting("B", "", "1")})
    values = ComposeValues(Graph("test", [node]), required={"A"}, defaults={"B": "2"})
    assert values.environment(node) == {"X": "${A-}", "Y": "${B:-2}"}


def test_a_secret_is_named_by_its_file_and_its_value_is_nowhere() -> None:
    assert environment(SECRET) == {"X_FILE": "/run/secrets/key"}
    uri = Template("db://{user}:{password}@one", quote=True, user=Setting("U", "", "me"), password=SECRET)
    assert environment(uri) == {"X_TEMPLATE": "db://${U:-me}:{key}@one"}
    assert secrets_of(service({"X": SECRET, "Y": uri, "Z": SecretFile(Secret("other"))})) == ("key", "other")


@pytest.mark.parametrize("value", [SECRET, Template("{a}", quote=True, a=SECRET)])
def test_a_program_of_others_gets_no_secret_that_only_our_entry_point_could_read(value: Value) -> None:
    with pytest.raises(HomeportError) as caught:
        environment(value, image="other:1")
    assert caught.value.code == "RENDER_SECRET"
    assert "never to be seen" not in caught.value.block()
    assert environment(SecretFile(SECRET), image="other:1") == {"X": "/run/secrets/key"}


def test_a_template_that_the_entry_point_would_encode_against_its_word_is_refused() -> None:
    with pytest.raises(HomeportError, match="RENDER_SECRET"):
        environment(Template("{a}", a=SECRET))
