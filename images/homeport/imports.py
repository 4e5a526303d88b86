"""Import what the programs of the image import, so that Python writes bytecode for exactly that, and for nothing else.

Bytecode of everything would cost three times as much; none costs every start seconds of compiling, because the
image's file system is read-only. Nothing of Homeport is here: it comes in a layer of its own.
"""

from __future__ import annotations

import importlib

# Program -> what it imports. tests/e2e/images/test_image.py holds this to what the programs really load.
PROGRAMS = {
    "tracking": (
        "mlflow.server.fastapi_app",
        "mlflow.server.auth",
        "mlflow.store.db.utils",
        "uvicorn.protocols.http.auto",
    ),
    "tracking's front": ("asyncpg", "aiohttp", "orjson", "uvloop", "httptools", "prometheus_client"),
    "tracking-migrate": ("alembic.command", "psycopg2", "pymysql", "sqlalchemy.dialects.postgresql"),
    "objectstore-init": ("boto3", "boto3.s3.transfer", "botocore.credentials", "botocore.signers"),
    "serving": ("fastapi", "orjson", "prometheus_client", "mlflow.pyfunc", "treelite", "pyarrow.parquet", "uvloop"),
    "training": ("mlflow.sklearn", "mlflow.xgboost", "sklearn.ensemble", "sklearn.pipeline", "sklearn.compose"),
    "plots": ("matplotlib.pyplot", "matplotlib.backends.backend_agg"),
    "models": ("skops.io", "xgboost", "scipy.stats", "pandas"),
    "traces": ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk.trace.export"),
    "command line": ("click", "requests", "psutil", "platformdirs"),
}


def main() -> None:
    """Import it all; a name that is not there ends the build."""
    for modules in PROGRAMS.values():
        for module in modules:
            importlib.import_module(module)


if __name__ == "__main__":
    main()
