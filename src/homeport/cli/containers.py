"""up in containers: what the user sees while Compose starts the platform, and what to paste afterwards."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from homeport.cli.context import command_name, short_path
from homeport.cli.output import Output, table
from homeport.cli.progress import StartProgress
from homeport.errors import ExitCode

if TYPE_CHECKING:
    from homeport.compose.platform import ComposePlatform


_OVERLAY = re.compile(r"compose\..+\.yaml")


class _InterruptedError(Exception):
    """A signal came while something was being started."""


class _TwoStep:
    """Ctrl-C once stops what was started and says so, twice kills. SIGTERM stops, too."""

    def __init__(self, target: ComposePlatform, out: Output) -> None:
        self._target, self._out = target, out
        self._signals = 0
        self.exit_code: int = ExitCode.OK

    def __enter__(self) -> _TwoStep:
        self._before = {sig: signal.signal(sig, self._on_signal) for sig in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_exc: object) -> None:
        for sig, handler in self._before.items():
            signal.signal(sig, handler)

    def _on_signal(self, sig: int, _frame: object) -> None:
        self._signals += 1
        self.exit_code = ExitCode.INTERRUPTED if sig == signal.SIGINT else ExitCode.TERMINATED
        if self._signals == 1:
            self._out.progress("Stopping what was started (data is kept; Ctrl-C again kills)")
            raise _InterruptedError
        self._out.progress("Killing")
        threading.Thread(target=self._target.kill, daemon=True).start()


def up(target: ComposePlatform, out: Output, *, build_images: bool, as_json: bool) -> int:
    """Start, show how far it is, and print what to paste."""
    progress = StartProgress(out)
    with _TwoStep(target, out) as interrupt:
        try:
            follow(target, out, progress, build_images=build_images, as_json=as_json)
        except _InterruptedError:
            return interrupt.exit_code
    for text in (*target.notes(), *target.unresolved()):
        out.warning(text)
    if not as_json:
        for line in box(target):
            out.result(line)
    return ExitCode.OK


def follow(target: ComposePlatform, out: Output, progress: StartProgress, *, build_images: bool, as_json: bool) -> None:
    """Show the events of a start until it is ready or has failed."""
    written: list[Path] = []
    for event in target.starting(build_images=build_images):
        if event["event"] == "written":
            written.append(Path(event["file"]))
        elif written and not as_json:
            out.progress(f"Wrote {_told(written, target.home)} to {short_path(target.home)}")
            written = []
        if as_json:
            out.data(event)
        if not as_json or event["event"] == "failed":
            progress.show(event)


def _told(files: Iterable[Path], directory: Path) -> str:
    """A few names, and how many more in a directory."""
    names: dict[str, int] = {}
    for file in files:
        inside = file.relative_to(directory) if file.is_relative_to(directory) else file
        name = inside.name if len(inside.parts) == 1 else f"{inside.parts[0]}/"
        name = "overlays compose.*.yaml" if _OVERLAY.fullmatch(name) else name
        names[name] = names.get(name, 0) + 1
    told = [f"{name} ({count} files)" if count > 1 else name for name, count in names.items()]
    return ", ".join(told)


def box(target: ComposePlatform) -> list[str]:
    """The lines a user pastes from: URLs, who logs in with what, where the files are, and the next command."""
    secrets = short_path(target.site.secrets)
    uri = target.tracking_uri
    rows: list[tuple[str, str]] = [("UI", uri)]
    if target.logs_in:
        rows.append(("Log in", f"{target.settings.admin_username}, password in {secrets}/admin-password"))
    rows.append(("Tracking", f'eval "$({words(target, "env")})"'))
    if serving := target.serving_url:
        rows.append(("Serving", f"{serving}, key in {secrets}/serving-key" if target.logs_in else serving))
    if target.ca.is_file():
        rows.append(("CA", f"{short_path(target.ca)}, for your browser to trust"))
    rows += [
        ("Files", short_path(target.home)),
        ("Next", words(target, "train", "penguins")),
        ("", f"{words(target, 'status')} · logs -f · doctor"),
        ("Stop", f"{words(target, 'down')}  (data is kept)"),
    ]
    return table(rows)


def words(target: ComposePlatform, command: str, *arguments: str) -> str:
    """A command about this platform, for pasting."""
    options: list[str] = []
    if target.home != Path.cwd():
        options = ["--directory", short_path(target.home)]
    elif target.settings.source("target") == "flag":
        options = ["--target", "compose"]
    return " ".join([command_name(), command, *options, *arguments])
