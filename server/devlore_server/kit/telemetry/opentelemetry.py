"""OpenTelemetry spans over OTLP/HTTP; the only module that imports it, loaded by ``configure_tracing`` alone."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devlore_server.kit.telemetry.metrics import route_template


class OtlpTracing:
    """A span per request, exported in batches from a thread of its own."""

    def __init__(self, role: str, endpoint: str) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": f"devlore-{role}"}))
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("devlore")

    def around(self, app: ASGIApp) -> ASGIApp:
        """``app`` with a span per request; names and attributes follow OpenTelemetry's HTTP conventions."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            method = scope["method"]
            carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            with self._tracer.start_as_current_span(method, context=extract(carrier), kind=SpanKind.SERVER) as span:

                async def send_and_note(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        route = route_template(scope)
                        span.update_name(f"{method} {route}")
                        span.set_attributes(
                            {
                                "http.request.method": method,
                                "http.route": route,
                                "http.response.status_code": message["status"],
                            }
                        )
                        if message["status"] >= 500:
                            span.set_status(Status(StatusCode.ERROR))
                    await send(message)

                await app(scope, receive, send_and_note)

        return traced

    def close(self) -> None:
        self._provider.shutdown()
