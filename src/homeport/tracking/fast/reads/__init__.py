"""Hot calls that read."""
