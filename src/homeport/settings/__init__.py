"""Every knob once: its environment name, type, default and help, and where each value came from.

Reads flags, the environment, `.env` and `homeport.toml`, in that order of precedence. Refuses to know what the values
are used for: `stack.py` does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from homeport import layers
from homeport.knobs import Knob, flag, knob
from homeport.model.values import Setting
from homeport.settings.access import Access
from homeport.settings.data import Data
from homeport.settings.processes import Processes, default_cache, default_home
from homeport.settings.serving import Serving

__all__ = ["Settings", "default_cache", "default_home", "dumps", "knobs", "load", "loads"]


@dataclass(frozen=True)
class Settings(Serving, Access, Data, Processes):  # fields come from the last to the first, and then those below
    """The platform's settings. Attribute names are the keys of homeport.toml."""

    jobs: bool = knob(
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", flag, False, "MLflow's background job runner (on in stock MLflow)."
    )
    ai_gateway: bool = knob("MLFLOW_ENABLE_AI_GATEWAY", flag, False, "MLflow's AI gateway (on in stock MLflow).")
    telemetry: bool = knob(
        "HOMEPORT_ENABLE_TELEMETRY", flag, False, "Let MLflow report usage to its makers (on in stock MLflow)."
    )
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    extra: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # MLFLOW_* of the user that are no settings of ours
    warnings: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @cached_property
    def fast_lane(self) -> bool:
        """Whether hot calls are to be answered without MLflow; the server still looks whether they may be."""
        return self.fastlane == "auto" and (self.embedded_database or self.backend_store_uri.startswith("postgres"))

    def value(self, name: str, default: str | None = None) -> Setting:
        """A setting as a value of the graph.

        Args:
            name: attribute of this class.
            default: what a target uses where its user sets nothing; the setting's own default when not given.
        """
        item = next(item for item in knobs() if item.name == name)
        fallback = item.written(item.default()) if callable(item.default) else item.written(item.default)
        return Setting(item.env, item.written(getattr(self, name)), fallback if default is None else default)

    def source(self, name: str) -> str:
        """Where the value of a setting came from: flag, environment, .env, homeport.toml or default."""
        return self.sources.get(name, "default")


def knobs() -> tuple[Knob, ...]:
    """Every setting, in the order of the reference page."""
    return tuple(item.metadata["knob"].named(item.name) for item in fields(Settings) if "knob" in item.metadata)


def load(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> Settings:
    """Read the settings: flag, then environment, then `.env`, then `homeport.toml`, then default.

    Args:
        flags: setting name -> value as the user gave it on the command line; None values are left out.
        environ: the environment, os.environ when not given.
        directory: where `.env` and `homeport.toml` are looked for, the working directory when not given.

    Raises:
        HomeportError: SETTING_INVALID or CONFIG_UNREADABLE (exit 2), naming the setting, the value and its source.
    """
    directory = directory or Path.cwd()
    ambient = layers.without_exported(dict(os.environ if environ is None else environ))
    dotenv, notes = layers.understood(layers.dotenv(directory / ".env"))
    every: layers.Layers = [
        ("flag", {item.env: flags[item.name] for item in knobs() if flags and flags.get(item.name) is not None}),
        ("environment", ambient),
        (".env", dotenv),
    ]
    toml = layers.toml(directory / "homeport.toml", knobs())
    home = next((str(layer["HOMEPORT_HOME"]) for _, layer in [*every, ("", toml)] if layer.get("HOMEPORT_HOME")), None)
    home_toml = layers.toml((Path(home).expanduser() if home else default_home()) / "homeport.toml", knobs())
    every += [("homeport.toml", toml), ("homeport.toml of the home", home_toml)]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for item in knobs():
        found = layers.first(item, every)
        if found is not None:
            raw, source = found
            values[item.name], sources[item.name] = item.read(raw, source), source
    unknown = (layers.unknown(layer, source, knobs()) for layer, source in ((ambient, "environment"), (dotenv, ".env")))
    return Settings(
        **values,
        sources=sources,
        extra=layers.mlflow_extra({**dotenv, **ambient}, knobs()),
        warnings=(*notes, *(line for lines in unknown for line in lines)),
    )


def dumps(settings: Settings) -> dict[str, Any]:
    """The settings as data for another process of ours; holds the secrets in clear."""
    values = {item.name: item.written(getattr(settings, item.name)) for item in knobs()}
    return {"values": values, "sources": dict(settings.sources), "extra": dict(settings.extra)}


def loads(data: Mapping[str, Any]) -> Settings:
    """What `dumps` made, unchanged: nothing is read from the environment or from files."""
    given = {item.name: item.read(raw, "") for item in knobs() if (raw := data["values"][item.name]) != ""}
    return Settings(**given, sources=data["sources"], extra=data["extra"])
