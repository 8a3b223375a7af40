"""OpenTelemetry, only when configured: decides whether to trace, without importing it otherwise."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, Protocol

from starlette.types import ASGIApp

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Tracing(Protocol):
    """Traces requests."""

    def around(self, app: ASGIApp) -> ASGIApp:
        """``app`` with a span per request, continuing the caller's trace (W3C Trace Context)."""
        ...

    def close(self) -> None:
        """Send what is pending."""
        ...


def configure_tracing(role: str, environ: Mapping[str, str] = os.environ) -> Tracing | None:
    """Tracing to ``OTEL_EXPORTER_OTLP_ENDPOINT``, or None when that is not set.

    The packages are an extra (``devlore-server[otel]``) and slow to import, so only this path loads them. Raises
    ``RuntimeError`` saying what to install when they are missing.
    """
    endpoint = environ.get(ENDPOINT, "").strip()
    if not endpoint:
        return None
    try:
        opentelemetry: Any = importlib.import_module("devlore_server.kit.telemetry.opentelemetry")
    except ImportError as error:
        raise RuntimeError(f"{ENDPOINT} is set: pip install 'devlore-server[otel]' ({error.name} is missing)") from None
    tracing: Tracing = opentelemetry.OtlpTracing(role, endpoint)
    return tracing
