"""Traces told to a collector, by OpenTelemetry's own protocol over HTTP. Needs the extra `otel`.

What cannot be delivered is dropped, after some tries, in a thread of its own: a collector that is away costs
nothing but its traces.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from sfsync import __version__
from sfsync.ports.tracing import Span

SAMPLED = TraceFlags(TraceFlags.SAMPLED)
CLOSE_MILLISECONDS = 2000


class OtlpTracer:
    """Sends spans to the collector at an address like ``http://127.0.0.1:4318``."""

    def __init__(self, endpoint: str) -> None:
        self._resource = Resource.create({SERVICE_NAME: "sfsync", SERVICE_VERSION: __version__})
        self._scope = InstrumentationScope("sfsync", __version__)
        self._processor = BatchSpanProcessor(
            OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=5.0), schedule_delay_millis=1000
        )

    def tell(self, span: Span) -> None:
        """Take one; it leaves with others, within a second."""
        status = Status(StatusCode.ERROR, span.failure) if span.failure else Status(StatusCode.UNSET)
        self._processor.on_end(
            ReadableSpan(
                span.name,
                context=_context(span.trace_id, span.span_id),
                parent=_context(span.trace_id, span.parent_id) if span.parent_id else None,
                resource=self._resource,
                attributes=span.attributes,
                status=status,
                start_time=_nanoseconds(span.begun),
                end_time=_nanoseconds(span.ended),
                instrumentation_scope=self._scope,
            )
        )

    def close(self) -> None:
        """Send what is left, and end. Waits some seconds at most."""
        self._processor.force_flush(CLOSE_MILLISECONDS)
        shutdown: Callable[[], None] = self._processor.shutdown
        shutdown()


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=SAMPLED)


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
