"""A start, a run and a stop as lines for people: one line a service with its time, then what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from homeport.cli.context import command_name, seconds, short_path
from homeport.cli.output import Output, table
from homeport.errors import HomeportError

if TYPE_CHECKING:
    from homeport.login import Login
    from homeport.platform import Platform

_GOOD = {"healthy", "completed"}
_NAME_WIDTH = 12


class StartProgress:
    """Renders events. A job shows in the line of the service that owns it."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._nodes: dict[str, dict[str, Any]] = {}
        self._printed: set[str] = set()
        self.already = False
        self._ready = False

    def show(self, event: Mapping[str, Any]) -> None:
        """Print what the event means for the user, if anything."""
        match event["event"]:
            case "already":
                self.already = True
            case "recovered":
                self._out.progress(f"  {self._out.mark(None)} {event['text']}")
            case "state":
                self._on_state(event)
            case "ready" if not self._ready:
                self._ready = True
                took = event.get("seconds")
                said = "Already running" if self.already else f"Ready in {seconds(took)}" if took else "Ready"
                self._out.progress(said)
            case "failed":
                raise HomeportError.from_dict(event["error"])
            case "warning":
                self._out.warning(str(event["text"]))
            case "stopped":
                self._out.progress("Stopped")
            case _:
                pass

    def _on_state(self, event: Mapping[str, Any]) -> None:
        name, state = event["service"], event["state"]
        node = self._nodes.setdefault(name, {"name": name})
        node.update(kind=event["kind"], owner=event["owner"], state=state)
        node.update(detail=event.get("detail") or "", seconds=event.get("seconds"))
        if self._ready:
            self._while_running(name, state, node["detail"])
        elif not self.already:
            self._while_starting()

    def _while_starting(self) -> None:
        for name, node in self._nodes.items():
            if node["kind"] == "service" and name not in self._printed and self._settled(name):
                self._printed.add(name)
                took = seconds(node["seconds"]) if node.get("seconds") is not None else ""
                detail = " · ".join(text for text in (self._details(name) or [node["detail"]]) if text)
                self._out.progress(
                    f"  {self._out.mark(True)} {name:<{_NAME_WIDTH}}  {node['state']:<8} {took:>7}  {detail}".rstrip()
                )
        busy = [name for name, node in self._nodes.items() if node.get("state") in {"starting", "running", "backoff"}]
        if busy:
            self._out.transient(f"  … {', '.join(busy)}")

    def _settled(self, name: str) -> bool:
        mine = [node for node in self._nodes.values() if name in {node["name"], node["owner"]}]
        return all(node.get("state") in ({"healthy"} if node["kind"] == "service" else {"completed"}) for node in mine)

    def _details(self, name: str) -> list[str]:
        jobs = [node for node in self._nodes.values() if node["kind"] == "job" and node["owner"] == name]
        return [node["detail"] for node in jobs if node["detail"]]

    def _while_running(self, name: str, state: str, detail: str) -> None:
        if state in _GOOD:
            self._out.progress(f"  {self._out.mark(True)} {name:<{_NAME_WIDTH}}  {state}")
        elif state in {"unhealthy", "backoff", "failed"}:
            self._out.progress(f"  {self._out.mark(False)} {name:<{_NAME_WIDTH}}  {state:<9} {detail}".rstrip())


def box(platform: Platform, *, detach: bool) -> list[str]:
    """The lines a user pastes from: URLs, where data is, and the next command."""
    uri = platform.tracking_uri
    prefix = command_name()
    if platform.settings.source("home") == "flag":
        prefix = f"{prefix} --home {short_path(platform.home)}"
    stop = f"{prefix} down" if detach else "Ctrl-C"
    asked = platform.login
    rows = [
        ("UI", uri),
        *([("Log in", f"{asked.user}, password {_told(asked, 'admin-password')}")] if asked else []),
        ("Tracking", f'eval "$({prefix} env)"' if asked else f"export MLFLOW_TRACKING_URI={uri}"),
        *([("Serving", _serving(serving, asked))] if (serving := platform.serving_url) else []),
        ("Home", short_path(platform.home)),
        ("Next", f"{prefix} train penguins"),
        ("", f"{prefix} status · logs -f · doctor"),
        ("Stop", f"{stop}  (data is kept)"),
    ]
    return table(rows)


def _serving(url: str, asked: Login | None) -> str:
    return f"{url}, key {_told(asked, 'serving-key')}" if asked else url


def _told(asked: Login, secret: str) -> str:
    """Where a secret is; never the secret."""
    return asked.told(secret).replace(str(asked.secrets), short_path(asked.secrets))
