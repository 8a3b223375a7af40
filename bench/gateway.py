"""What the gateway adds, and whether it holds: the hop, the rate limits, revocation, refreshing.

``hop``: the same request straight to the memory service with a signed header, through a bare hop (``bare_hop.py``),
and through the gateway with a token, in turns. ``limits``: 2,000 takes at once from one account of 100, in four
processes on one Redis; the time of a take; and requests through a gateway with limits beside one without.
``revocation``: see ``revoking.py``. ``refresh``: 32 parallel refreshes of one token, over and over; each must be let
in, with the same successor.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psutil

import bare_hop
import corpus
import revoking
import table
from devlore_server.kit.auth import Principal
from devlore_server.kit.cache import connect, tenant_key
from devlore_server.kit.ids import new_id
from devlore_server.kit.limit import Demand, Policy, RedisLimiter
from devlore_server.kit.line import Line
from interleaved import take_turns
from roles import Role, Signed, running
from split import Team, team
from tests.people import Person

PROCESSES, TOGETHER, ALLOWED = 4, 2_000, 100
A_DAY = 86_400
PARALLEL = 32


def hop(team: Team, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows: one memory, a page of ten, a page of fifty; what a bare hop adds to each, and what the gateway does."""
    bare = Role(team.memory.home.parent / "bare", program=[str(Path(bare_hop.__file__))])
    bare.settings |= {"memory_url": team.memory.url, "redis_url": team.redis.url}
    with running(bare):
        return _hops(team, bare, options)


def _hops(team: Team, bare: Role, options: argparse.Namespace) -> list[dict[str, Any]]:
    person = team.owner.invite()
    ids = _filled(person, options.data)
    me = person.get("/v1/identity").json()
    who = Principal(
        UUID(person.organisation), UUID(person.id), frozenset(), frozenset(me["scopes"]), person.tokens["session_id"]
    )
    straight, barely, through = Signed(team.memory.url), Signed(bare.url), Signed(team.limited.url)
    headers = {"Authorization": f"Bearer {person.tokens['access_token']}", "Host": team.host}
    targets = {
        "GET /v1/memories/{id}": [f"/v1/memories/{ids[n % len(ids)]}" for n in range(options.requests)],
        "GET /v1/memories?limit=10": ["/v1/memories?limit=10"] * options.requests,
        "GET /v1/memories?limit=50": ["/v1/memories?limit=50"] * options.requests,
    }
    rows = []
    for what, asked in targets.items():
        ways: dict[str, Callable[[str], float]] = {
            "straight": lambda target: straight.get(who, target)[0],
            "bare": lambda target: barely.get(who, target)[0],
            "gateway": lambda target: through.ask(target, headers)[0],
        }
        take_turns(ways, asked[:50], rounds=1)
        used = _processor(team.limited)
        compared = take_turns(ways, asked, rounds=options.rounds)
        used = _processor(team.limited) - used
        for column, times in (("all", compared.all), ("quiet", compared.quiet)):
            rows.append({"what": what, "rounds": column} | _hop(times)
                        | {"gateway_cpu_ms": round(used / (len(asked) * options.rounds) * 1e3, 2)})  # fmt: skip
    return rows


def _hop(times: Callable[[str], list[float]]) -> dict[str, float]:
    """p50 and p95 in milliseconds straight, what the bare hop and the gateway add, and gateway ÷ bare hop of that."""
    found = {}
    for share in (0.5, 0.95):
        straight, bare, gateway = (table.percentile(times(way), share) * 1e3 for way in ("straight", "bare", "gateway"))
        found |= {
            f"p{share * 100:.0f}_straight_ms": round(straight, 2),
            f"p{share * 100:.0f}_bare_added_ms": round(bare - straight, 2),
            f"p{share * 100:.0f}_added_ms": round(gateway - straight, 2),
            f"p{share * 100:.0f}_ratio": round((gateway - straight) / (bare - straight), 2),
        }
    return found


def _added(more: Sequence[float], less: Sequence[float], name: str) -> dict[str, float]:
    """p50 and p95 in milliseconds of both, and the difference."""
    found = {}
    for share in (0.5, 0.95):
        high, low = (table.percentile(times, share) * 1e3 for times in (more, less))
        found |= {f"{name}p{share * 100:.0f}_ms": f"{low:.2f} → {high:.2f}"}
        found |= {f"{name}p{share * 100:.0f}_added_ms": round(high - low, 2)}
    return found


def _filled(person: Person, data: Path) -> list[str]:
    """Some memories to read; their ids."""
    answer = person.post("/v1/memories/bulk", json={"items": corpus.memories(data, 200)})
    answer.raise_for_status()
    return [item["id"] for item in answer.json()["items"]]


def _processor(role: Role) -> float:
    used = psutil.Process(role.pid).cpu_times()
    return float(used.user + used.system)


def exact(team: Team, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of rounds in which four processes take from one account at the same moment."""
    context = multiprocessing.get_context("spawn")
    rows = []
    for number in range(options.limit_rounds):
        key, start = str(new_id()), time.time() + 3.0
        with context.Pool(PROCESSES) as pool:
            asked = [(team.redis.url, key, start, TOGETHER // PROCESSES)] * PROCESSES
            found = pool.starmap(_take_many, asked)
        rows.append(
            {
                "round": number + 1,
                "asked": TOGETHER,
                "allowed": sum(allowed for allowed, _ in found),
                "by_process": " ".join(str(allowed) for allowed, _ in found),
                "seconds": round(max(seconds for _, seconds in found), 2),
            }
        )
    return rows


def _take_many(url: str, key: str, start: float, count: int) -> tuple[int, float]:
    """How many of ``count`` takes at once had room, and the seconds that took."""
    return asyncio.run(_taking(url, key, start, count))


async def _taking(url: str, key: str, start: float, count: int) -> tuple[int, float]:
    # A unit of this account comes back in a quarter of an hour: none does while this runs.
    demand = Demand(tenant_key(UUID(key), "limit"), Policy("bench", ALLOWED, A_DAY))
    line = Line(connect(url, patience=30))
    limiter = RedisLimiter(line)
    await line.ping()
    await asyncio.sleep(max(0.0, start - time.time()))
    started = time.perf_counter()
    verdicts = await asyncio.gather(*(limiter.take([demand]) for _ in range(count)))
    seconds = time.perf_counter() - started
    line.close()
    return sum(verdict.allowed for (verdict,) in verdicts), seconds


def limits(team: Team, options: argparse.Namespace) -> list[dict[str, Any]]:
    """What a take costs, as the gateway makes it, and what it adds to a request."""
    taken = asyncio.run(_takes(team.redis.url, options.requests * options.rounds))
    person = team.owner.invite()
    headers = {"Authorization": f"Bearer {person.tokens['access_token']}", "Host": team.host}
    clients = {"limited": Signed(team.limited.url), "unlimited": Signed(team.unlimited.url)}
    ways: dict[str, Callable[[str], float]] = {
        name: lambda target, client=client: client.ask(target, headers)[0]  # type: ignore[misc]
        for name, client in clients.items()
    }
    asked = ["/v1/memories?limit=1"] * options.requests
    take_turns(ways, asked[:50], rounds=1)
    compared = take_turns(ways, asked, rounds=options.rounds)
    request = _added(compared.all("limited"), compared.all("unlimited"), "")
    request |= _added(compared.quiet("limited"), compared.quiet("unlimited"), "quiet_")
    return [{"what": "one take"} | table.latency(taken), {"what": "a request, without → with limits"} | request]


async def _takes(url: str, times: int) -> list[float]:
    """Seconds per take of a person's and their organisation's account, one after the other."""
    line = Line(connect(url))
    limiter, organisation, person = RedisLimiter(line), new_id(), new_id()
    demands = [
        Demand(tenant_key(organisation, "limit", person), Policy("person", 1_000_000)),
        Demand(tenant_key(organisation, "limit"), Policy("organisation", 10_000_000)),
    ]
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        await limiter.take(demands)
        taken.append(time.perf_counter() - started)
    line.close()
    return taken


def refresh(team: Team, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One person's token refreshed by 32 at once through both gateways, a hundred generations of it."""
    return [asyncio.run(_refreshing(team, options.generations))]


async def _refreshing(team: Team, generations: int) -> dict[str, Any]:
    person = team.owner.invite()
    token = str(person.tokens["refresh_token"])
    urls = [(team.limited.url, team.unlimited.url)[n % 2] + "/v1/sessions/refresh" for n in range(PARALLEL)]
    refused = forked = locked_out = 0
    async with httpx2.AsyncClient(headers={"Host": team.host}, timeout=60, trust_env=False) as client:
        for _ in range(generations):
            answers = await asyncio.gather(*(client.post(url, json={"refresh_token": token}) for url in urls))
            good = [answer.json() for answer in answers if answer.status_code == 200]
            refused += PARALLEL - len(good)
            forked += len({one["refresh_token"] for one in good}) - 1
            token = good[0]["refresh_token"]
            access = {"Authorization": f"Bearer {good[-1]['access_token']}"}
            used = await client.get(team.limited.url + "/v1/memories?limit=1", headers=access)
            locked_out += used.status_code != 200
    return {
        "generations": generations,
        "refreshes": generations * PARALLEL,
        "refused": refused,
        "other_successors": forked,
        "access_tokens_refused": locked_out,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    blocks: dict[str, Callable[[Team, argparse.Namespace], list[dict[str, Any]]]] = {
        "hop": hop,
        "exact": exact,
        "limits": limits,
        "refresh": refresh,
        "revocation": lambda team, options: revoking.measure(team, options.tries),
    }
    parser.add_argument("--data", type=Path, default=Path("../data"))
    parser.add_argument("--only", nargs="+", choices=tuple(blocks), default=tuple(blocks))
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--limit-rounds", type=int, default=5)
    parser.add_argument("--generations", type=int, default=100)
    parser.add_argument("--tries", type=int, default=20)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with team() as instance:
        for name in options.only:
            results[name] = blocks[name](instance, options)
            for row in results[name]:
                table.show(list(row), [list(row.values())])
            print(flush=True)
    table.emit({"bench": "gateway", **results})


if __name__ == "__main__":
    main()
