"""Traces of calls for OpenTelemetry, which are sent to a collector by OTLP.

A call is a span of its caller's trace (W3C `traceparent`), with one below it for each phase of each of its requests.
Spans are made when a call has ended, in whatever way, with the times at which it began and ended.
"""

from __future__ import annotations

import time
from typing import Any, Final

import grpc

from ganserve.contract.errors import ConfigError
from ganserve.contract.extras import install_advice

from .counted_call import OK, CountedCall

_EXPORT_TIMEOUT_S: Final = 5.0
_FAULTS: Final = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""What the semantic conventions count as errors of a server."""


class CallTraces:
    """Makes spans of calls that have ended, and sends them from a thread of its own."""

    def __init__(self, endpoint: str) -> None:
        """Sends nothing yet. What OpenTelemetry reads from the environment holds, such as `OTEL_TRACES_SAMPLER`.

        Args:
            endpoint: of the collector, `http://host:port` or `https://host:port`.

        Raises:
            ConfigError: OpenTelemetry is not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise ConfigError(
                f"--otlp-endpoint needs {error.name}, which is not installed; {install_advice('otel')}"
            ) from error
        exporter = OTLPSpanExporter(endpoint, insecure=endpoint.startswith("http:"), timeout=_EXPORT_TIMEOUT_S)
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # the environment names none
            resource = resource.merge(Resource({SERVICE_NAME: "ganserve"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("ganserve")
        self._propagator = TraceContextTextMapPropagator()
        self._in_context = set_span_in_context
        self._server_kind = SpanKind.SERVER
        self._failed = Status(StatusCode.ERROR)

    def tell(self, call: CountedCall, took_s: float) -> None:
        """Makes the spans of a call."""
        end_ns, end_s = time.time_ns(), time.monotonic()
        metadata = dict(call.origin.invocation_metadata() or ())
        span = self._tracer.start_span(
            call.method.name,
            context=self._propagator.extract(metadata),
            kind=self._server_kind,
            attributes=_attributes(call),
            start_time=end_ns - _ns(took_s),
        )
        if call.code in _FAULTS:
            span.set_status(self._failed)
        if span.is_recording():
            within = self._in_context(span)
            for stopwatch in call.stopwatches:
                for name, phase_began_s, phase_ended_s in stopwatch.phases():
                    phase = self._tracer.start_span(name, within, start_time=end_ns - _ns(end_s - phase_began_s))
                    phase.end(end_ns - _ns(end_s - phase_ended_s))
        span.end(end_ns)

    def close(self) -> None:
        """Sends what is left, if the collector takes it soon."""
        self._provider.shutdown()


def _attributes(call: CountedCall) -> dict[str, Any]:
    """By the semantic conventions where they have a name."""
    attributes: dict[str, Any] = {"ganserve.request_id": call.request_id, "client.address": call.origin.peer()}
    if call.model:
        attributes |= dict(zip(("ganserve.model", "ganserve.version"), call.model.labels, strict=True))
    protocol, is_http, route = call.method.name.partition(" ")
    if not is_http:
        service, _, method = protocol.rpartition("/")
        code = grpc.StatusCode[call.code].value[0]
        attributes |= {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method, "rpc.grpc.status_code": code}
    elif route.startswith("/"):  # else it is one that the server does not have
        attributes["http.route"] = route
    if call.code != OK:
        attributes["error.type"] = call.code
    return attributes


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
