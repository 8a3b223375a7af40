"""The order in which the gateway's middlewares stand around an application: the one place that knows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI

from devlore_server.gateway.attempts import Attempts
from devlore_server.gateway.authenticate import Admission, Authenticate
from devlore_server.gateway.cors import CrossOrigin
from devlore_server.gateway.deadlines import Deadlines
from devlore_server.gateway.hosts import InternalOnly, LoopbackOnly, OwnAddress
from devlore_server.gateway.idempotency import IdempotencyKeys
from devlore_server.gateway.individual import Individual
from devlore_server.gateway.limits import FREE, Quotas, RateLimits
from devlore_server.gateway.networks import Networks
from devlore_server.gateway.refused import RefusalsNoted
from devlore_server.kit.db import Database
from devlore_server.kit.http import BodyLimit, CatchAll, RequestId, SecurityHeaders
from devlore_server.kit.limit import Limiter
from devlore_server.kit.revocation import Revocations
from devlore_server.kit.telemetry import Measured, Tracing
from devlore_server.ports import Identity

MIB = 1_048_576
LARGER_BODIES: Final[Mapping[str, int]] = {"/v1/memories/bulk": 64 * MIB, "/v1/memories/import": 64 * MIB}
"""Paths whose bodies may be larger than 8 MiB."""
SLOW: Final = (
    "/v1/memories/bulk",
    "/v1/memories/import",
    "/v1/memories/export",
    "/v1/search/check",
    "/v1/search/rebuild",
)
"""Paths that may take ten times as long as others."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """What the gateway needs where people sign in: who knows them, and where they come from."""

    identity: Identity
    revocations: Revocations
    origin: str
    cors_origins: Sequence[str] = ()
    trusted_proxies: Sequence[str] = ()
    internal_networks: Sequence[str] = ()


def guard(
    app: FastAPI,
    *,
    database: Database,
    secret: bytes,
    limiter: Limiter | None = None,
    quotas: Quotas | None = None,
    tracing: Tracing | None = None,
    seconds: float = 60.0,
    sign_in: SignIn | None = None,
) -> None:
    """Put the gateway around ``app``; without ``sign_in`` everybody is the one person of the individual tier.

    From the outside in: request id → headers for browsers → trace → measure → last catch → deadline → our own
    addresses → body limits → caller → rate limit → admission → attempts → idempotency → the application
    (scope, handler, problems). Limits only when given a limiter and quotas.
    """
    # FastAPI puts each added middleware around those before it: the innermost comes first.
    app.add_middleware(IdempotencyKeys, database=database, secret=secret)
    app.add_middleware(RefusalsNoted, database=database)
    if sign_in is not None:
        if limiter is not None:
            app.add_middleware(Attempts, limiter=limiter, familiar=sign_in.identity.familiar)
        app.add_middleware(Admission)
    if limiter is not None and quotas is not None:
        app.add_middleware(RateLimits, limiter=limiter, quotas=quotas)
    if sign_in is None:
        app.add_middleware(Individual)
        app.add_middleware(BodyLimit, larger=LARGER_BODIES)
        app.add_middleware(LoopbackOnly)
    else:
        _add_door(app, sign_in)
    app.add_middleware(Deadlines, seconds=seconds, longer=dict.fromkeys(SLOW, 10 * seconds))
    app.add_middleware(CatchAll)
    app.add_middleware(Measured, every=sign_in is not None)
    if tracing is not None:
        app.add_middleware(tracing.around)
    app.add_middleware(SecurityHeaders, https=sign_in is not None and sign_in.origin.startswith("https:"))
    app.add_middleware(RequestId)


def _add_door(app: FastAPI, sign_in: SignIn) -> None:
    app.add_middleware(
        Authenticate,
        identity=sign_in.identity,
        revocations=sign_in.revocations,
        origin=sign_in.origin,
        proxies=Networks(sign_in.trusted_proxies),
    )
    app.add_middleware(BodyLimit, larger=LARGER_BODIES)
    app.add_middleware(CrossOrigin, origins=sign_in.cors_origins)
    app.add_middleware(OwnAddress, origin=sign_in.origin, others=sign_in.cors_origins, unnamed=FREE)
    app.add_middleware(InternalOnly, networks=Networks(sign_in.internal_networks), paths=("/metrics",))
