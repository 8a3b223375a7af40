"""The order in which the gateway's middlewares stand around an application: the one place that knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI

from devlore_server.gateway.hosts import LoopbackOnly
from devlore_server.gateway.idempotency import IdempotencyKeys
from devlore_server.gateway.individual import Individual
from devlore_server.gateway.limits import Quotas, RateLimits
from devlore_server.kit.db import Database
from devlore_server.kit.http import BodyLimit, CatchAll, RequestId, SecurityHeaders
from devlore_server.kit.limit import Limiter
from devlore_server.kit.telemetry import Measured, Tracing

MIB = 1_048_576
LARGER_BODIES: Final[Mapping[str, int]] = {"/v1/memories/bulk": 64 * MIB, "/v1/memories/import": 64 * MIB}
"""Paths whose bodies may be larger than 8 MiB."""


def guard(
    app: FastAPI,
    *,
    database: Database,
    limiter: Limiter | None = None,
    quotas: Quotas | None = None,
    tracing: Tracing | None = None,
) -> None:
    """Put the individual tier's gateway around ``app``; limits only when given a limiter and quotas.

    From the outside in: request id → headers for browsers → trace → measure → last catch → loopback only → body
    limits → caller → rate limit → idempotency → the application (scope, handler, problems).
    """
    # FastAPI puts each added middleware around those before it: the innermost comes first.
    app.add_middleware(IdempotencyKeys, database=database)
    if limiter is not None and quotas is not None:
        app.add_middleware(RateLimits, limiter=limiter, quotas=quotas)
    app.add_middleware(Individual)
    app.add_middleware(BodyLimit, larger=LARGER_BODIES)
    app.add_middleware(LoopbackOnly)
    app.add_middleware(CatchAll)
    app.add_middleware(Measured)
    if tracing is not None:
        app.add_middleware(tracing.around)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestId)
