"""Reading the audit trail over HTTP: who may, filters, pages, following, names, and that reading is audited."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest
import rfc8785
from fastapi import FastAPI

from devlore.problems import BadCursor, NotAllowed
from devlore_server.identity.api.audit import router
from devlore_server.identity.audit import AuditTrail, Filters, Place
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf, Personal
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, system
from devlore_server.kit.http import install
from devlore_server.kit.paging import Paging

from .directory import Directory, admitting

Enter = Callable[[Principal | None], httpx2.AsyncClient]
START = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
async def enter(database: Database) -> AsyncIterator[Enter]:
    app = FastAPI()
    install(app)
    app.include_router(router(AuditTrail(database), Paging(b"a secret of the tests")))
    async with AsyncExitStack() as stack:

        def make(principal: Principal | None) -> httpx2.AsyncClient:
            transport = httpx2.ASGITransport(app=admitting(app, principal), raise_app_exceptions=True)
            client = httpx2.AsyncClient(transport=transport, base_url="http://devlore.test")
            stack.push_async_callback(client.aclose)
            return client

        yield make


async def put(database: Database, who: Principal, *leaves: Leaf, at: datetime = START) -> None:
    async with database.transaction(who) as connection:
        await audit.append(connection, who, *leaves, at=at)


async def read(client: httpx2.AsyncClient, **asked: Any) -> dict[str, Any]:
    answer = await client.get("/v1/audit", params=asked)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def actions(client: httpx2.AsyncClient, **asked: Any) -> list[str]:
    """Of the leaves that were not left by reading."""
    found = [one["action"] for one in (await read(client, **asked))["items"]]
    return [one for one in found if one != "audit.read"]


async def test_owners_and_admins_read_it_and_nobody_else(
    enter: Enter, owner: Principal, admin: Principal, member: Principal, viewer: Principal
) -> None:
    answers = [(await enter(one).get("/v1/audit")).status_code for one in (owner, admin, member, viewer, None)]
    assert answers == [200, 200, 403, 403, 401]


async def test_the_service_asks_for_the_scope_itself(database: Database, member: Principal) -> None:
    for asked in (AuditTrail(database).newest, AuditTrail(database).follow):
        with pytest.raises(NotAllowed):
            await asked(member, Filters(), 10)


async def test_an_organisation_reads_its_own(
    database: Database, enter: Enter, owner: Principal, stranger: Principal
) -> None:
    await put(database, owner, Leaf("team.created"))
    await put(database, stranger, Leaf("team.deleted"))
    assert await actions(enter(owner)) == ["team.created"]
    assert await actions(enter(stranger)) == ["team.deleted"]
    assert await actions(enter(owner), target=str(stranger.person)) == []
    assert await actions(enter(owner), actor=str(stranger.person)) == []


async def test_an_answer_can_be_checked_against_its_hash(database: Database, enter: Enter, owner: Principal) -> None:
    about = [("person", owner.person), ("team", UUID(int=5))]
    said = {"n": 3, "why": 'é "\n', "to": Personal("email", "ada@example.org"), "was": ["b", "a"]}
    await put(database, owner, Leaf("team.member_added", about, "refused", said), at=START)
    await put(database, system(owner.organisation), Leaf("organisation.updated"), at=START + timedelta(microseconds=7))
    items = (await read(enter(owner)))["items"]
    assert len(items) == 2
    for item in items:
        leaf = {name: value for name, value in item.items() if name not in ("hash", "names")}
        assert hashlib.sha256(rfc8785.dumps(leaf)).hexdigest() == item["hash"]
    assert [item["occurred_at"] for item in items] == ["2026-11-23T00:00:00.000007Z", "2026-11-23T00:00:00.000000Z"]


async def test_pseudonyms_are_named_beside_the_leaf(
    database: Database, enter: Enter, owner: Principal, member: Principal
) -> None:
    acting = Principal(owner.organisation, owner.person, network="192.0.2.0/24")
    about = [("person", member.person), ("email", "mary@example.org")]
    await put(database, acting, Leaf("team.member_added", about, context={"by": Personal("person", str(owner.person))}))
    (item,) = (await read(enter(owner)))["items"]
    names = item["names"]
    assert names[item["actor"]["id"]] == {"type": "person", "value": str(owner.person), "name": "Owner of Acme"}
    assert [names[one["id"]]["value"] for one in item["targets"]] == [str(member.person), "mary@example.org"]
    assert names[item["targets"][0]["id"]]["name"] == "Mary"
    assert names[item["context"]["network"]["id"]]["value"] == "192.0.2.0/24"
    assert names[item["context"]["by"]["id"]]["name"] == "Owner of Acme"


async def test_who_was_erased_is_named_no_more(
    database: Database, enter: Enter, owner: Principal, member: Principal
) -> None:
    await put(database, member, Leaf("memory.created"))
    (before,) = (await read(enter(owner)))["items"]
    async with database.transaction(owner) as connection:
        await audit.erase(connection, owner, Personal("person", str(member.person)))
    (after,) = (await read(enter(owner), action="memory.created"))["items"]
    assert before["names"] != {} == after["names"]
    assert (after["hash"], after["actor"]) == (before["hash"], before["actor"])
    assert await actions(enter(owner), actor=str(member.person)) == []


async def test_who_left_is_known_by_their_id(
    database: Database, directory: Directory, enter: Enter, owner: Principal, member: Principal
) -> None:
    await put(database, member, Leaf("memory.created"))
    await directory.members.remove(owner, owner.organisation, member.person)
    (item,) = (await read(enter(owner), action="memory.created"))["items"]
    assert item["names"][item["actor"]["id"]] == {"type": "person", "value": str(member.person), "name": None}


async def test_filters(database: Database, enter: Enter, owner: Principal, member: Principal) -> None:
    other = Leaf("memory.updated", [("memory", UUID(int=4))])
    await put(database, owner, Leaf("team.created", [("person", member.person)]), at=START)
    await put(database, member, Leaf("memory.created", [("memory", UUID(int=4))]), other, at=START + timedelta(hours=1))
    await put(
        database, system(owner.organisation), Leaf("memory.purged", result="failed"), at=START + timedelta(hours=2)
    )
    http = enter(owner)
    hour = (START + timedelta(hours=1)).isoformat()
    assert await actions(http, action="memory.*") == ["memory.purged", "memory.updated", "memory.created"]
    assert await actions(http, action=["team.created", "memory.created"]) == ["memory.created", "team.created"]
    assert await actions(http, actor=str(member.person)) == ["memory.updated", "memory.created"]
    assert await actions(http, actor="system") == ["memory.purged"]
    assert await actions(http, actor="nobody") == []
    assert await actions(http, target=str(UUID(int=4))) == ["memory.updated", "memory.created"]
    assert await actions(http, target=str(member.person), action="team.*") == ["team.created"]
    assert await actions(http, result="failed") == ["memory.purged"]
    assert await actions(http, result=["failed", "refused"], actor=str(owner.person)) == []
    assert await actions(http, after=hour, before=(START + timedelta(hours=2)).isoformat()) == [
        "memory.updated",
        "memory.created",
    ]
    assert await actions(http, before=hour) == ["team.created"]
    assert await actions(http, target=str(uuid4())) == await actions(http, actor=str(uuid4())) == []


@pytest.mark.parametrize(
    "asked",
    [
        {"action": "memory.eaten"},
        {"action": "*"},
        {"action": "memory"},
        {"actor": "ada"},
        {"result": "fine"},
        {"after": "2026-11-23T00:00:00"},
        {"target": "a\0b"},
        {"limit": "0"},
        {"limit": "201"},
        {"cursor": "x"},
        {"follow": "maybe"},
    ],
)
async def test_what_cannot_be_asked(enter: Enter, owner: Principal, asked: dict[str, str]) -> None:
    answer = await enter(owner).get("/v1/audit", params=asked)
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59.999999-12:00"])
async def test_any_time_may_be_asked_for(database: Database, enter: Enter, owner: Principal, edge: str) -> None:
    await put(database, owner, Leaf("team.created"))
    assert (await actions(enter(owner), after=edge)) + (await actions(enter(owner), before=edge)) == ["team.created"]


async def test_pages_follow_each_other_across_months_and_equal_times(
    database: Database, enter: Enter, owner: Principal
) -> None:
    for month in (1, 1, 2, 3):
        await put(database, owner, *[Leaf("team.created")] * 5, at=datetime(2026, month, 1, tzinfo=UTC))
    http, seen, cursor = enter(owner), [], None
    while True:
        page = await read(http, limit=3, action="team.*", **({"cursor": cursor} if cursor else {}))
        seen += [(one["occurred_at"], one["id"]) for one in page["items"]]
        if (cursor := page["next"]) is None:
            break
        # What is added meanwhile neither repeats nor hides others.
        await put(database, owner, Leaf("team.created"), at=datetime(2026, 4, 1, tzinfo=UTC))
    assert len(seen) == len(set(seen)) == 20
    assert seen == sorted(seen, reverse=True)


async def test_a_cursor_is_good_for_its_reader_and_filters_only(
    database: Database, enter: Enter, owner: Principal, admin: Principal, stranger: Principal
) -> None:
    await put(database, owner, Leaf("team.created"), Leaf("team.created"))
    cursor = (await read(enter(owner), limit=1))["next"]
    await read(enter(owner), limit=1, cursor=cursor)
    for reader, asked in (
        (owner, {"action": "team.*"}),
        (owner, {"follow": "true"}),
        (admin, {}),
        (stranger, {}),
    ):
        answer = await enter(reader).get("/v1/audit", params={"cursor": cursor, **asked})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-cursor")


async def test_reading_is_audited_once_for_all_pages(
    database: Database, enter: Enter, owner: Principal, member: Principal, directory: Directory
) -> None:
    await put(database, owner, Leaf("team.created"), Leaf("team.created"))
    page = await read(enter(owner), limit=1)
    await read(enter(owner), limit=1, cursor=page["next"])
    assert directory.trail(owner.organisation, "audit.read") == ["audit.read"]
    await read(enter(owner), actor=str(member.person), action="memory.*")
    newest = (await read(enter(owner), limit=1))["items"][0]
    assert newest["action"] == "audit.read"
    assert newest["names"][newest["targets"][0]["id"]]["value"] == str(member.person)


async def test_reading_that_cannot_be_audited_shows_nothing(
    database: Database, enter: Enter, owner: Principal, directory: Directory
) -> None:
    await put(database, owner, Leaf("team.created"))
    with psycopg.connect(directory.owner_url) as connection:
        connection.execute("REVOKE INSERT ON audit.leaf FROM devlore_app")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await enter(owner).get("/v1/audit")


async def test_following_starts_now_and_misses_nothing(database: Database, enter: Enter, owner: Principal) -> None:
    await put(database, owner, Leaf("team.created"))
    http = enter(owner)
    start = await read(http, follow=True)
    assert start["items"] == []
    assert await read(http, follow=True, cursor=start["next"]) | {"next": ""} != start | {"next": ""}
    seen, cursor = [], start["next"]
    async with database.transaction(owner) as slow:
        await audit.append(slow, owner, Leaf("team.updated"), at=START)
        await put(database, owner, Leaf("team.deleted"))
        page = await read(http, follow=True, cursor=cursor)
        seen += [one["action"] for one in page["items"]]
        assert "team.deleted" not in seen
    page = await read(http, follow=True, cursor=page["next"])
    seen += [one["action"] for one in page["items"]]
    assert seen == ["audit.read", "team.updated", "team.deleted"]
    page = await read(http, follow=True, cursor=page["next"])
    assert page["items"] == []


async def test_following_under_fire_sees_everything_once_in_order(
    database: Database, enter: Enter, owner: Principal
) -> None:
    http = enter(owner)
    cursor = (await read(http, follow=True, action="memory.*"))["next"]
    total, seen = 120, []

    async def write(worker: int) -> None:
        for n in range(total // 6):
            async with database.transaction(owner) as connection:
                for _ in range(2):
                    await audit.append(connection, owner, Leaf("memory.created", context={"n": n, "worker": worker}))
                    await asyncio.sleep(0.001 * (worker + 1))

    writing = asyncio.gather(*(write(worker) for worker in range(6)))
    while not (writing.done() and (writing.exception() or len(seen) >= 2 * total)):
        page = await read(http, follow=True, action="memory.*", cursor=cursor, limit=17)
        seen += [(one["id"], one["context"]["worker"], one["context"]["n"]) for one in page["items"]]
        cursor = page["next"]
    await writing
    assert len(seen) == len(set(seen)) == 2 * total
    for worker in range(6):
        mine = [n for _, of, n in seen if of == worker]
        assert mine == sorted(mine)


async def test_following_with_filters_does_not_look_at_the_rest_twice(
    database: Database, enter: Enter, owner: Principal
) -> None:
    http = enter(owner)
    cursor = (await read(http, follow=True, action="team.*"))["next"]
    await put(database, owner, *[Leaf("memory.created")] * 5)
    page = await read(http, follow=True, action="team.*", cursor=cursor)
    assert page["items"] == []
    assert page["next"] != cursor
    again = await read(http, follow=True, action="team.*", cursor=page["next"])
    assert again["next"] == page["next"]


async def test_a_place_of_before_a_restore_is_refused(
    database: Database, enter: Enter, owner: Principal, directory: Directory
) -> None:
    await put(database, owner, Leaf("team.created"))
    with psycopg.connect(directory.owner_url) as connection:
        (now,) = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() or (0,)
    with pytest.raises(BadCursor):
        await AuditTrail(database).follow(owner, Filters(), 10, Place(now + 1_000_000, UUID(int=1)))
