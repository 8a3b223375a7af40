"""What operators see: log lines, metrics, traces when configured, and whether the process is alive and ready."""

from devlore_server.kit.telemetry.health import Resource, health
from devlore_server.kit.telemetry.logs import configure_logs
from devlore_server.kit.telemetry.metrics import REGISTRY, Measured, metrics_route
from devlore_server.kit.telemetry.traces import Tracing, configure_tracing

__all__ = [
    "REGISTRY",
    "Measured",
    "Resource",
    "Tracing",
    "configure_logs",
    "configure_tracing",
    "health",
    "metrics_route",
]
