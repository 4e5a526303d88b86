"""One knob: how a setting's text becomes a value, how it is refused, and how it is shown. Knows no setting by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from homeport.accepts import Accepts, Taking, taking
from homeport.errors import ExitCode, HomeportError

Parser = Callable[[Any], Any]
MASK = "********"
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


@dataclass(frozen=True)
class Knob:
    """One setting: names, parser, default and help.

    Args:
        env: the environment variable.
        parse: raw value -> value; raises ValueError with what was expected.
        default: the value, or a function that makes it.
        help: one sentence for the reference page.
        shown: the default as the reference page shows it, where it depends on the user.
        holds_secret: the value has a password inside (a URI), which is masked when shown.
        name: attribute of Settings and key of homeport.toml.
    """

    env: str
    parse: Parser
    default: Any
    help: str
    shown: str = ""
    holds_secret: bool = False
    name: str = ""

    @property
    def is_secret(self) -> bool:
        """Whether the whole value is a secret; then NAME_FILE works too."""
        return self.parse is secret or self.holds_secret

    @property
    def accepts(self) -> Accepts:
        """Which values are taken; any text where the parser does not say."""
        return self.parse.accepts if isinstance(self.parse, Taking) else Accepts()

    @property
    def default_shown(self) -> str:
        """The default as text for people."""
        return self.shown or self.written(self.default() if callable(self.default) else self.default)

    def named(self, name: str) -> Knob:
        """The same knob under its attribute name."""
        return replace(self, name=name)

    def read(self, raw: Any, source: str) -> Any:  # noqa: ANN401 - a knob's type is its parser's
        """The value, or SETTING_INVALID."""
        try:
            return self.parse(raw)
        except ValueError as error:
            raise self.refused(
                raw, source, f"{self.env} {error}", f"set {self.env} to another value, or remove it"
            ) from error

    def from_file(self, file: Path, source: str) -> Any:  # noqa: ANN401 - a knob's type is its parser's
        """The value kept in a file, without its last newline."""
        try:
            content = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text in UTF-8"
            raise self.refused(
                file, source, f"{self.env}_FILE cannot be read: {reason}", "name a readable file"
            ) from error
        if not content:
            raise self.refused(file, source, f"{self.env}_FILE is empty", "write the secret into the file")
        return self.read(content, source)

    def refused(self, raw: object, source: str, what: str, fix: str) -> HomeportError:
        """The error for a value that is not taken; a secret's value is never repeated."""
        value = MASK if self.is_secret and not isinstance(raw, Path) else str(raw)
        evidence = (("value", value),) if str(raw) else ()
        return HomeportError(
            code="SETTING_INVALID",
            what=what,
            evidence=(*evidence, ("source", source)),
            why=self.help,
            fix=fix,
            exit_code=ExitCode.USAGE,
        )

    def written(self, value: object) -> str:
        """The value as an environment variable has it."""
        if value is None:
            return ""
        return str(value).lower() if isinstance(value, bool) else str(value)

    def masked(self, value: object) -> str:
        """The value as `config show` prints it."""
        if not value or not self.is_secret:
            return self.written(value)
        return mask_uri(str(value)) if self.holds_secret else MASK


def knob(env: str, parse: Parser, default: Any, help: str, *, shown: str = "", holds_secret: bool = False) -> Any:  # noqa: ANN401 - mirrors dataclasses.field
    """A field of Settings that is read from the environment name `env`."""
    metadata = {"knob": Knob(env, parse, default, help, shown, holds_secret)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def text(raw: object) -> str:
    """Any text on one line."""
    value = str(raw).strip()
    if "\n" in value or "\0" in value:
        raise ValueError("must be one line of text")
    return value


def secret(raw: object) -> str:
    """Any text, not trimmed: a password may begin with a space."""
    value = str(raw)
    if "\n" in value or "\0" in value:
        raise ValueError("must be one line of text")
    return value


def path(raw: object) -> Path:
    """An absolute path; `~` is the home directory, a relative one starts at the working directory."""
    value = text(raw)
    if not value:
        raise ValueError("must name a directory")
    return Path(value).expanduser().absolute()


def optional_path(raw: object) -> Path | None:
    """An absolute path, or nothing."""
    return path(raw) if str(raw or "").strip() else None


@taking(Accepts(least=1, most=253, pattern=rf"{_LABEL}(\.{_LABEL})*"))
def domain(raw: object) -> str:
    """A domain name or an address, without scheme, port or path."""
    value = text(raw).lower().rstrip(".")
    if not domain.accepts.fits(value):
        raise ValueError("must be a domain name such as example.org, without https://, port or path")
    return value


@taking(Accepts(bool))
def flag(raw: object) -> bool:
    """true/false, yes/no, on/off, 1/0."""
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise ValueError("must be true or false")


def number(least: int, most: int) -> Taking[int]:
    """A whole number in a range, both ends included."""

    def parse(raw: object) -> int:
        try:
            value = int(str(raw).strip()) if not isinstance(raw, bool) else -1
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return Taking(parse, Accepts(int, least, most))


def real(least: float, most: float) -> Taking[float]:
    """A number in a range, both ends included."""

    def parse(raw: object) -> float:
        try:
            value = float(str(raw).strip()) if not isinstance(raw, bool) else least - 1
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise ValueError(f"must be a number from {least:g} to {most:g}")
        return value

    return Taking(parse, Accepts(float, least, most))


fraction = real(0, 1)


def choice(*words: str) -> Taking[str]:
    """One of some words."""

    def parse(raw: object) -> str:
        value = text(raw).lower()
        if value not in words:
            raise ValueError(f"must be one of: {', '.join(words)}")
        return value

    return Taking(parse, Accepts(words=words))


port = number(0, 65535)
"""A TCP port, 1 to 65535, or 0 for any free one."""


def uri(*schemes: str) -> Taking[str]:
    """A URI of one of the schemes (a driver may follow: `mysql+pymysql`); "" allows a plain path, made absolute."""

    def parse(raw: object) -> str:
        value = text(raw)
        scheme, separator, rest = value.partition("://")
        names = ", ".join(f"{name}://" for name in schemes if name)
        if not separator:
            if "" in schemes and not re.match(r"[a-z][a-z0-9+.-]*:", value):
                return str(Path(value).expanduser().absolute())
            raise ValueError(f"must be a URI that starts with one of: {names}")
        if scheme.split("+")[0].lower() not in schemes:
            raise ValueError(f"must start with one of: {names}")
        if not rest.strip("/"):
            raise ValueError("names no place after ://")
        if scheme == "sqlite" and not rest.startswith("//"):
            # sqlite:///x is relative to whoever opens it; the server runs in another directory than the user.
            return f"sqlite:///{Path(rest.removeprefix('/')).absolute()}"
        try:
            _ = urlsplit(value).port
        except ValueError as error:
            raise ValueError(f"is not a valid URI: {error}") from error
        return value

    return Taking(parse, Accepts(schemes=schemes))


@taking(Accepts(least=3, most=63, pattern=r"[a-z0-9]((\.?-)*\.?[a-z0-9])*"))
def s3_bucket(raw: object) -> str:
    """A bucket name by the rules of S3: 3 to 63 of a-z, 0-9, dot and hyphen."""
    value = text(raw)
    if not s3_bucket.accepts.fits(value):
        raise ValueError("must be 3 to 63 of a-z, 0-9, dot and hyphen, and start and end with a letter or digit")
    return value


def mask_uri(value: str) -> str:
    """A URI with its password masked."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return MASK
    if not parts.password:
        return value
    user, host = parts.netloc.rsplit("@", 1)
    return urlunsplit(parts._replace(netloc=f"{user.split(':', 1)[0]}:{MASK}@{host}"))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`Did you mean X?`, or nothing when no name is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else ""
