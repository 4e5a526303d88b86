"""Homeport: a complete, self-hosted MLflow platform started with one command."""

__version__ = "0.1.0.dev0"
