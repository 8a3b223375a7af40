"""The face of a process: its routes, with the gateway around them, or the check of what a gateway signed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from fastapi import FastAPI

from devlore_server import __version__, openapi
from devlore_server.app.process import Process
from devlore_server.app.services import Services
from devlore_server.gateway import instance
from devlore_server.gateway.guards import LARGER_BODIES, SignIn, guard
from devlore_server.gateway.hosts import InternalOnly
from devlore_server.gateway.idempotency import READS
from devlore_server.gateway.limits import Quotas
from devlore_server.gateway.networks import Networks
from devlore_server.gateway.proxy import Proxy
from devlore_server.gateway.reactions import StoredAnswers
from devlore_server.identity.client import IdentityClient
from devlore_server.kit.http import BodyLimit, CatchAll, RequestId, SignedCallers
from devlore_server.kit.revocation import Revocations
from devlore_server.kit.telemetry import Measured, Resource, Tracing, configure_tracing, health, metrics_route
from devlore_server.ports import Identity
from devlore_server.settings import ROLES
from devlore_server.subscriptions import GATEWAY_ANSWERS

_READS = (
    *READS,
    "/internal/memories/visible",
    *(f"/internal/identity/{what}" for what in ("session", "cookie", "key", "keyset", "familiar")),
)
"""POSTs between processes that change nothing; sent so often that none asks Redis whether it was seen elsewhere."""


def face(process: Process, services: Services) -> FastAPI:
    """One FastAPI application of everything this process answers."""
    app = openapi.bare(services.routers)
    if process.runs("gateway"):
        _add_gateway(app, process, services)
    else:
        _add_signature_check(app, process, services)
    return app


def _add_gateway(app: FastAPI, process: Process, services: Services) -> None:
    settings = process.settings
    app.include_router(instance.router(__version__, settings.tier, settings.roles))
    proxy = _proxy(process)
    sign_in = _sign_in(process, services) if process.signs_in else None
    _add_operations(app, process)
    # The same document in every topology, whoever answers.
    app.openapi = openapi.document  # type: ignore[method-assign]
    if proxy is not None:
        app.add_middleware(proxy.around)  # before the routes of our own: most requests go elsewhere
    guard(
        app,
        database=process.database,
        secret=process.secret,
        limiter=process.limiter,
        quotas=Quotas.per_minute(settings.quota) if settings.quota else None,
        tracing=_tracing(process),
        seconds=settings.request_seconds,
        sign_in=sign_in,
    )
    process.tail(GATEWAY_ANSWERS, StoredAnswers(process.database).erase)


def _sign_in(process: Process, services: Services) -> SignIn:
    settings = process.settings
    # Marks are seen where identity leaves them: in this process, or in the Redis both have.
    shared = services.identity is not None or settings.redis_url is not None
    return SignIn(
        identity=services.identity or _identity_elsewhere(process),
        revocations=process.revocations if shared else Revocations(None),
        origin=settings.origin,
        cors_origins=settings.cors_origins,
        trusted_proxies=settings.trusted_proxies,
        internal_networks=settings.internal_networks,
    )


def _identity_elsewhere(process: Process) -> Identity:
    client = IdentityClient(process.address("identity"), process.secret)
    process.stack.push_async_callback(client.close)
    return client


def _add_signature_check(app: FastAPI, process: Process, services: Services) -> None:
    """From the inside out; the gateway that stands before this process has checked the rest."""
    for router in services.internal:
        app.include_router(router)
    _add_operations(app, process)
    shared = process.cache if process.settings.redis_url is not None else None
    app.add_middleware(SignedCallers, secret=process.secret, shared=shared, reads=_READS)
    app.add_middleware(BodyLimit, larger=LARGER_BODIES)
    app.add_middleware(InternalOnly, networks=Networks(process.settings.internal_networks))
    app.add_middleware(CatchAll)
    app.add_middleware(Measured)
    if (tracing := _tracing(process)) is not None:
        app.add_middleware(tracing.around)
    app.add_middleware(RequestId)


def _add_operations(app: FastAPI, process: Process) -> None:
    app.include_router(metrics_route())
    health(app, process.resources)


def _tracing(process: Process) -> Tracing | None:
    tracing = configure_tracing("+".join(process.settings.roles))
    if tracing is not None:
        process.stack.callback(tracing.close)
    return tracing


def _proxy(process: Process) -> Proxy | None:
    """The way to the roles that run elsewhere, if any do."""
    elsewhere: Mapping[str, str] = {
        role: process.address(role) for role in ROLES if role not in ("gateway", "worker") and not process.runs(role)
    }
    if not elsewhere:
        return None
    proxy = Proxy(elsewhere, process.secret)
    process.stack.push_async_callback(proxy.close)
    for role in elsewhere:
        # Without identity nobody can be told from anybody: the gateway then has nothing to answer.
        critical = role == "identity" and process.signs_in
        process.resources[role] = Resource(partial(proxy.ping, role), critical=critical)
    return proxy
