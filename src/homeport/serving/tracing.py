"""OpenTelemetry spans of predictions, when an exporter is installed (`homeport[otel]`) and OTEL_* names a collector.

One span a scoring request, a child of the caller's when it sends `traceparent`. Sampling is the SDK's own
(OTEL_TRACES_SAMPLER). Knows nothing of models; off, it costs one comparison a request.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeport.serving.exchange import Exchange

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_FAULT = 500


class Tracing:
    """Sends spans in the background; what cannot be sent is dropped by the SDK.

    Args:
        provider: OpenTelemetry's TracerProvider.
    """

    def __init__(self, provider: Any) -> None:  # noqa: ANN401 - the SDK is optional
        self._provider = provider
        self._tracer = provider.get_tracer("homeport.serving")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Tracing | None:
        """Tracing as OTEL_* asks for; None when it does not, or when the exporter is not installed."""
        if not any(environ.get(name) for name in _ENDPOINTS) or environ.get("OTEL_SDK_DISABLED") == "true":
            return None
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError:
            sys.stderr.write("OTEL_EXPORTER_OTLP_ENDPOINT is set, but no exporter is installed: homeport[otel]\n")
            return None
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": environ.get("OTEL_SERVICE_NAME", "homeport-serving")})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def answered(self, exchange: Exchange) -> None:
        """Make the span of a request that was answered just now."""
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({"traceparent": exchange.traceparent})
        name, version = exchange.model
        end = _now()
        span = self._tracer.start_span(
            f"predict {name}".rstrip(),
            parent,
            SpanKind.SERVER,
            {
                "http.request.method": exchange.method,
                "url.path": exchange.path,
                "http.response.status_code": exchange.status,
                "homeport.model.name": name,
                "homeport.model.version": version,
                "homeport.request_id": exchange.request_id,
            },
            start_time=end - int(exchange.seconds * 1e9),
        )
        if exchange.status >= _FAULT:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def stop(self) -> None:
        """Send what is waiting."""
        self._provider.shutdown()


def _now() -> int:
    import time

    return time.time_ns()
