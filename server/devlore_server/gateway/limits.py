"""Rate limits per person, organisation, and network of visitors; never open while Redis is away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devlore.problems import RateLimited
from devlore_server.kit.auth import Principal
from devlore_server.kit.cache import tenant_key, visitor_key
from devlore_server.kit.http import caller_of, problem_response
from devlore_server.kit.limit import Demand, Limiter, Policy, Verdict


@dataclass(frozen=True, slots=True)
class Cost:
    """What requests to a path (``exact``, or everything below it) cost; ``method`` None means any."""

    path: str
    units: int
    method: str | None = None
    exact: bool = True

    def matches(self, method: str, path: str) -> bool:
        if self.method is not None and self.method != method:
            return False
        return path == self.path or (not self.exact and path.startswith(self.path.rstrip("/") + "/"))


COSTS: tuple[Cost, ...] = (
    Cost("/v1/search", 5),
    Cost("/v1/search/rebuild", 50, "POST"),
    Cost("/v1/search/check", 50),
    Cost("/v1/memories/export", 50),
    Cost("/v1/memories/import", 50, "POST"),
    Cost("/v1/memories/bulk", 20, "POST"),
    Cost("/v1/sessions", 5, "POST"),
    Cost("/v1/sessions/step-up", 5, "POST"),
    Cost("/v1/identity/sign-up", 5, "POST"),
    Cost("/v1/identity/password", 5, "POST"),
)
"""What is dearer than one unit."""
FREE = frozenset({"/healthz", "/readyz", "/metrics"})
"""Never limited: whoever watches the server must see it when it is busy."""


PAYER = "devlore.payer"
"""In a scope: the organisation and person who pay for a request, where that is known before they are admitted."""
VISITORS = Policy("network", 300)


@dataclass(frozen=True, slots=True)
class Quotas:
    """Units a minute: per person, per organisation, and per network for all who are not signed in."""

    person: Policy
    organisation: Policy
    network: Policy = VISITORS

    @classmethod
    def per_minute(cls, person: int, *, people: int = 10) -> Quotas:
        """A quota per person, as much per network of visitors, and ``people`` times that per organisation."""
        least = max(cost.units for cost in COSTS)
        quota = max(person, least)  # or the dearest request could never pass
        return cls(Policy("person", quota), Policy("organisation", quota * people), Policy("network", quota))


class RateLimits:
    """Takes a request's cost from its person's and its organisation's account, or its network's when nobody is signed
    in; 429 when one is empty.

    Answers carry ``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers) and, when refused,
    ``Retry-After`` in seconds.
    """

    def __init__(self, app: ASGIApp, *, limiter: Limiter, quotas: Quotas, costs: Sequence[Cost] = COSTS) -> None:
        self._app = app
        self._limiter = limiter
        self._quotas = quotas
        self._costs = tuple(costs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in FREE:
            await self._app(scope, receive, send)
            return
        units = self._units(scope["method"], scope["path"])
        verdicts = await self._limiter.take(self._demands(scope, units))
        if not all(verdict.allowed for verdict in verdicts):
            wait = max(1, *(verdict.retry_after for verdict in verdicts))
            problem = RateLimited(f"There is room again in {wait} s.", retry_after=wait)
            await problem_response(problem, dict(_headers(verdicts)))(scope, receive, send)
            return

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(dict(_headers(verdicts)))
            await send(message)

        await self._app(scope, receive, send_with_limits)

    def _demands(self, scope: Scope, units: int) -> tuple[Demand, ...]:
        caller, payer = caller_of(scope), scope.get(PAYER)
        if payer is not None:
            return _from_person(self._quotas, *payer, units)
        if isinstance(caller, Principal):
            return _from_person(self._quotas, caller.organisation, caller.person, units)
        return (Demand(visitor_key("limit", caller.network or "here"), self._quotas.network, units),)

    def _units(self, method: str, path: str) -> int:
        return next((cost.units for cost in self._costs if cost.matches(method, path)), 1)


@lru_cache(maxsize=4096)
def _from_person(quotas: Quotas, organisation: UUID, person: UUID, units: int) -> tuple[Demand, ...]:
    return (
        Demand(tenant_key(organisation, "limit", person), quotas.person, units),
        Demand(tenant_key(organisation, "limit"), quotas.organisation, units),
    )


def _headers(verdicts: Sequence[Verdict]) -> list[tuple[str, str]]:
    policies = (f'"{v.policy.name}";q={v.policy.quota};w={v.policy.window}' for v in verdicts)
    states = (f'"{v.policy.name}";r={v.remaining};t={v.reset}' for v in verdicts)
    return [("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(states))]
