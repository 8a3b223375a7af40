"""Limits as a client meets them: headers on every answer, 429 with a time to wait, and never open."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from devlore_server.gateway.individual import Individual
from devlore_server.gateway.limits import COSTS, Cost, Quotas, RateLimits
from devlore_server.kit.auth import Principal, Visitor
from devlore_server.kit.cache import connect
from devlore_server.kit.http import admit
from devlore_server.kit.limit import FallbackLimiter, Limiter, LocalLimiter, Policy, RedisLimiter
from devlore_server.kit.line import Line


def standing_still() -> LocalLimiter:
    """Accounts to which nothing comes back, however long a test takes."""
    return LocalLimiter(clock=lambda: 0)


def limited(who: Principal, quotas: Quotas, limiter: Limiter | None = None) -> ASGIApp:
    service = PlainTextResponse("done")
    return Individual(RateLimits(service, limiter=limiter or standing_still(), quotas=quotas), principal=who)


async def ask(app: ASGIApp, method: str = "GET", path: str = "/v1/memories") -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        return await client.request(method, path)


def quotas(person: int, organisation: int = 1_000) -> Quotas:
    return Quotas(Policy("person", person), Policy("organisation", organisation))


async def test_answers_say_what_is_left(who: Principal) -> None:
    app = limited(who, quotas(60))
    answer = await ask(app)
    assert answer.headers["ratelimit-policy"] == '"person";q=60;w=60, "organisation";q=1000;w=60'
    assert answer.headers["ratelimit"] == '"person";r=59;t=1, "organisation";r=999;t=1'
    assert (await ask(app)).headers["ratelimit"].startswith('"person";r=58;t=2')


async def test_an_empty_account_is_refused_with_a_time_to_wait(who: Principal) -> None:
    app = limited(who, quotas(2))
    assert [(await ask(app)).status_code for _ in range(3)] == [200, 200, 429]
    refused = await ask(app)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "rate-limited"
    assert int(refused.headers["retry-after"]) == refused.json()["retry_after"] == 30
    assert re.match(r'"person";r=0;t=60, "organisation";r=998;t=1', refused.headers["ratelimit"])


async def test_people_have_accounts_of_their_own_and_share_their_organisations(
    who: Principal, other: Principal, stranger: Principal
) -> None:
    limiter, allowed = standing_still(), quotas(3, organisation=4)
    apps = {person: limited(person, allowed, limiter) for person in (who, other, stranger)}
    assert [(await ask(apps[who])).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [(await ask(apps[other])).status_code for _ in range(2)] == [200, 429]
    assert (await ask(apps[stranger])).status_code == 200


async def test_dear_requests_cost_more(who: Principal) -> None:
    app = limited(who, quotas(60))
    assert '"person";r=55' in (await ask(app, path="/v1/search")).headers["ratelimit"]
    assert '"person";r=5;' in (await ask(app, path="/v1/memories/export")).headers["ratelimit"]
    assert (await ask(app, path="/v1/memories/export")).status_code == 429
    assert (await ask(app)).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_watching_is_free(who: Principal, path: str) -> None:
    app = limited(who, quotas(1))
    assert [(await ask(app, path=path)).status_code for _ in range(3)] == [200] * 3
    assert "ratelimit" not in (await ask(app, path=path)).headers


def test_costs_match_a_path_or_what_is_below_it() -> None:
    exact, below = Cost("/a", 2, "POST"), Cost("/a", 2, exact=False)
    assert [exact.matches(*pair) for pair in (("POST", "/a"), ("GET", "/a"), ("POST", "/a/b"))] == [True, False, False]
    assert [below.matches("GET", path) for path in ("/a", "/a/b", "/ab")] == [True, True, False]


def test_a_small_quota_still_lets_the_dearest_request_pass() -> None:
    assert Quotas.per_minute(10).person.quota == max(cost.units for cost in COSTS)
    assert Quotas.per_minute(600, people=5).organisation.quota == 3_000


async def test_two_gateways_share_accounts_through_redis(who: Principal, redis_url: str) -> None:
    lines = [Line(connect(redis_url, patience=10)) for _ in range(2)]
    # A day's: what comes back while 300 requests are answered is less than one.
    allowed = Quotas(Policy("person", 100, 86_400), Policy("organisation", 1_000))
    apps = [limited(who, allowed, RedisLimiter(line)) for line in lines]
    answers = await asyncio.gather(*(ask(apps[number % 2]) for number in range(300)))
    assert [answer.status_code for answer in answers].count(200) == 100
    for line in lines:
        line.close()


async def test_without_redis_the_gateway_is_not_open(who: Principal) -> None:
    away = RedisLimiter(Line(connect("redis://127.0.0.1:1")))
    app = limited(who, quotas(2), FallbackLimiter(away, standing_still()))
    assert [(await ask(app)).status_code for _ in range(4)] == [200, 200, 429, 429]


async def test_visitors_share_their_networks_account() -> None:
    allowed = Quotas(Policy("person", 50), Policy("organisation", 50), Policy("network", 2))
    guarded = RateLimits(PlainTextResponse("done"), limiter=standing_still(), quotas=allowed)

    def visiting(network: str) -> ASGIApp:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            admit(scope, Visitor(network))
            await guarded(scope, receive, send)

        return app

    first, second = visiting("192.0.2.0/24"), visiting("198.51.100.0/24")
    answers = [await ask(app) for app in (first, first, first, second)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]
    assert answers[0].headers["ratelimit-policy"] == '"network";q=2;w=60'
    assert answers[2].headers["retry-after"] == "30"


async def test_other_protocols_pass() -> None:
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    guarded = RateLimits(app, limiter=LocalLimiter(), quotas=quotas(1))
    await guarded({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]
