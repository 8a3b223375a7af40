"""Prometheus metrics: the process's own registry, the request histogram, and the ``/metrics`` route."""

from __future__ import annotations

import time
from typing import Any

import structlog
from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REGISTRY = CollectorRegistry(auto_describe=True)
"""Every metric of Devlore registers here, where it is defined; labels never hold tenant data."""
ProcessCollector(registry=REGISTRY)

_REQUESTS = Histogram(
    "devlore_http_request_seconds",
    "Time from the request's arrival to the last byte of its answer.",
    ("method", "route", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
_RUNNING = Gauge("devlore_http_requests_running", "Requests being answered.", registry=REGISTRY)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ROUTE = "devlore.route"
_WATCHING = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: in the metrics, not in the access log."""
_TEXT = "text/plain; version=0.0.4; charset=utf-8"

_log = structlog.get_logger("devlore.http")


class Measured:
    """Times every request by route template, method and status; slow or failed ones leave a log line.

    With ``every`` each one does (the access log): never its path, query, headers or body. The line's context adds the
    request id, the organisation and the person's id, which only identity's erasable table turns into a name.
    """

    def __init__(self, app: ASGIApp, *, slow: float = 1.0, every: bool = False) -> None:
        self._app = app
        self._slow = slow
        self._every = every
        # Looking a labelled child up costs as much as observing, so each is looked up once.
        self._children: dict[tuple[str, str, int], Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what a request that dies without an answer counts as

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        _RUNNING.inc()
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            _RUNNING.dec()
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        labels = (method, route_template(scope), status)
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = _REQUESTS.labels(method, labels[1], str(status))
        child.observe(seconds)
        troubled = status >= 500 or seconds >= self._slow
        if troubled or (self._every and labels[1] not in _WATCHING):
            say = _log.warning if troubled else _log.info
            say("request", method=method, route=labels[1], status=status, milliseconds=round(seconds * 1_000, 1))


def route_template(scope: Scope) -> str:
    """The matched route's template (``/v1/memories/{memory_id}``): never the path itself, which is unbounded.

    A bare ASGI application without routes (the proxy) names what it answered in ``scope["devlore.route"]``.
    """
    named = scope.get(ROUTE)
    if isinstance(named, str):
        return named
    route = scope.get("route")
    template = getattr(route, "path", None)
    return template if isinstance(template, str) else "unmatched"


def metrics_route() -> APIRouter:
    """``GET /metrics`` in Prometheus's text format."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/metrics",
        operation_id="get_metrics",
        summary="Metrics in Prometheus's text format",
        response_class=Response,
        responses={200: {"description": "Counters, gauges and histograms.", "content": {"text/plain": {}}}},
    )
    async def get_metrics() -> Response:
        """What this process counts and measures; never tenant data."""
        return Response(generate_latest(REGISTRY), media_type=_TEXT)

    return router
