from __future__ import annotations

from pathlib import Path

from homeport.compose import commands
from homeport.compose.commands import Project

PLUGIN = Project(("/usr/bin/docker", "compose"), Path("/site"), ("/site/compose.yaml", "/site/compose.mariadb.yaml"))
ALONE = Project(("/usr/bin/docker-compose",), Path("/site"))
HEAD = ["/usr/bin/docker", "compose", "--project-directory", "/site", "--file", "/site/compose.yaml"]
HEAD += ["--file", "/site/compose.mariadb.yaml"]


def test_up_waits_and_never_asks() -> None:
    expected = ["--ansi", "never", "up", "--detach", "--wait", "--wait-timeout", "300", "--remove-orphans"]
    assert commands.up(PLUGIN, build=False, seconds=300.0) == [*HEAD, *expected, "--quiet-pull"]
    assert commands.up(PLUGIN, build=True, seconds=0.5)[-1] == "--build"
    assert commands.up(PLUGIN, build=True, seconds=0.5)[-4] == "1"


def test_without_files_compose_finds_them_itself() -> None:
    head = ["/usr/bin/docker-compose", "--project-directory", "/site", "--ansi", "never"]
    assert commands.config(ALONE) == [*head, "config", "--format", "json"]


def test_down_and_stop_reach_every_profile_and_keep_volumes_unless_told() -> None:
    profile = ["--profile", "*", "--ansi", "never"]
    assert commands.down(PLUGIN, volumes=False) == [*HEAD, *profile, "down", "--remove-orphans"]
    assert commands.down(PLUGIN, volumes=True) == [*HEAD, *profile, "down", "--remove-orphans", "--volumes"]
    assert commands.stop(PLUGIN, ["tracking"]) == [*HEAD, *profile, "stop", "tracking"]


def test_logs_have_times_and_go_on_from_one() -> None:
    words = ["--profile", "*", "--ansi", "never", "logs", "--no-color", "--timestamps", "--tail"]
    assert commands.logs(PLUGIN, ["serving"], lines=5) == [*HEAD, *words, "5", "serving"]
    followed = commands.logs(PLUGIN, [], lines=-1, follow=True, since="2026-11-21T10:00:00Z")
    assert followed == [*HEAD, *words, "all", "--follow", "--since", "2026-11-21T10:00:00Z"]


def test_the_engine_is_asked_about_one_project_only() -> None:
    label = "label=com.docker.compose.project=homeport"
    asked = ["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", label]
    assert commands.containers("docker", "homeport") == asked
    events = commands.events("docker", "homeport", 12.3456)
    assert events[:6] == ["docker", "events", "--since", "12.346", "--format", "{{json .}}"]
    assert events[6:] == [
        "--filter", "type=container", "--filter", label, "--filter", "event=create", "--filter", "event=start",
        "--filter", "event=die", "--filter", "event=health_status",
    ]  # fmt: skip
