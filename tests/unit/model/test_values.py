from __future__ import annotations

from urllib.parse import unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from homeport.model.values import Bind, Part, Path, Ref, Secret, SecretFile, Setting, Template, Value, resolve


class Target:
    """A target with known answers."""

    def __init__(self, secret: str = "s3cret") -> None:
        self._secret = secret

    def ref(self, holder: str, value: Ref) -> str:
        return {Part.ADDRESS: f"{value.service}.{holder}:1", Part.HOST: value.service, Part.PORT: "1"}[value.part]

    def bind(self, holder: str, value: Bind) -> str:
        return f"0.0.0.0:{value.port}"

    def secret(self, value: Secret) -> str:
        return self._secret

    def secret_file(self, value: Secret) -> str:
        return f"/run/secrets/{value.name}"

    def setting(self, value: Setting) -> str:
        return f"${{{value.env}:-{value.default}}}"

    def path(self, holder: str, value: Path) -> str:
        return f"/data/{value.volume}/{value.below}"


def test_each_kind_of_value_is_answered_by_the_target() -> None:
    target = Target()
    values: list[Value] = [
        "text",
        Ref("db", part=Part.HOST),
        Bind("http"),
        Secret("pw"),
        SecretFile(Secret("pw")),
        Setting("NAME", "now", "else"),
        Path("v", "x"),
    ]
    assert [resolve(value, "web", target) for value in values] == [
        "text", "db", "0.0.0.0:http", "s3cret", "/run/secrets/pw", "${NAME:-else}", "/data/v/x",
    ]  # fmt: skip


def test_a_reference_is_answered_from_where_it_is_asked() -> None:
    assert resolve(Ref("db"), "web", Target()) == "db.web:1"


@given(st.text(min_size=1))
def test_any_password_survives_inside_a_uri(password: str) -> None:
    uri = resolve(
        Template("postgresql://{user}:{pw}@{at}/db", quote=True, user="me", pw=Secret("pw"), at=Ref("db")),
        "web",
        Target(password.encode("utf-8", "replace").decode()),
    )
    parts = urlsplit(uri)
    assert unquote(parts.password or "") == password.encode("utf-8", "replace").decode()
    assert parts.hostname == "db.web"
    assert parts.path == "/db"


def test_a_secret_never_shows_in_a_repr() -> None:
    assert "hunter2" not in repr(Template("{x}", x=Secret("pw", given="hunter2")))
