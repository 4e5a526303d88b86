"""The tracking server's front: the one process clients talk to. Hot calls go to `fast/`, the rest to MLflow itself."""
