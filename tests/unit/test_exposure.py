"""A server listens for others only where it asks who is there, or where that was said in so many words."""

from __future__ import annotations

import pytest

from homeport import exposure
from homeport.errors import ExitCode, HomeportError


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.10"])
@pytest.mark.parametrize("said", ["", "off", "basic", "auto"])
def test_on_loopback_nothing_is_asked_for(host: str, said: str) -> None:
    exposure.check("it", host, asks=False, fix="do", environ={"HOMEPORT_AUTH": said})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "", "127.0.0.1.example.org"])
def test_elsewhere_it_must_ask(host: str) -> None:
    exposure.check("it", host, asks=True, fix="do", environ={})
    for environ in ({}, {"HOMEPORT_AUTH": ""}, {"HOMEPORT_AUTH": "basic"}):
        with pytest.raises(HomeportError) as caught:
            exposure.check("it", host, asks=False, fix="ask them", environ=environ)
        assert caught.value.code == "AUTHENTICATION_REQUIRED"
        assert caught.value.exit_code == ExitCode.USAGE
        assert "ask them" in caught.value.fix
        assert "HOMEPORT_AUTH=off" in caught.value.fix


def test_off_is_taken_at_its_word_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    exposure.check("it", "0.0.0.0", asks=False, fix="do", environ={"HOMEPORT_AUTH": "OFF"})
    assert capsys.readouterr().err == "it answers everybody who reaches 0.0.0.0: HOMEPORT_AUTH=off\n"


def test_a_word_that_is_none_is_refused_even_on_loopback() -> None:
    with pytest.raises(HomeportError) as caught:
        exposure.check("it", "127.0.0.1", asks=True, fix="do", environ={"HOMEPORT_AUTH": "no"})
    assert caught.value.code == "SETTING_INVALID"
