"""What somebody who left kept private: an heir's or erased, once, with its past, and nothing of anybody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest

from devlore.events import DepartureSettled, Event
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, system
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import START, EventLog
from devlore_server.memory import departures as module
from devlore_server.memory.departures import Departures
from devlore_server.memory.reactions import DepartureReactions

from .conftest import Enter, created

LATER = timedelta(minutes=1)


@pytest.fixture
def departures(database: Database, log: EventLog) -> Departures:
    return Departures(database, log)


@pytest.fixture
def heir(who: Principal) -> Principal:
    """A colleague of ``who``, in no team."""
    return Principal(who.organisation, new_id(), scopes=who.scopes)


@pytest.fixture
def owner(who: Principal) -> Principal:
    """Who decides."""
    return Principal(who.organisation, new_id(), scopes=who.scopes)


def transfer(who: Principal, heir: Principal, owner: Principal) -> DepartureSettled:
    return DepartureSettled(person=who.person, action="transfer", to=heir.person, settled_by=owner.person)


def purge(who: Principal, owner: Principal) -> DepartureSettled:
    return DepartureSettled(person=who.person, action="purge", to=None, settled_by=owner.person)


def now() -> datetime:
    return datetime.now(UTC) + LATER


def rows(owner_url: str, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(owner_url) as connection:
        return connection.execute(query, values).fetchall()


async def test_the_heir_gets_what_was_private_and_nothing_else(
    enter: Enter, departures: Departures, who: Principal, other: Principal, heir: Principal, owner: Principal
) -> None:
    mine, of_heir = enter(who), enter(heir)
    private = [await created(mine, title=f"private {n}", body="a secret plan") for n in range(3)]
    public = await created(mine, privacy="public")
    team = await created(mine, privacy="team", team_id=str(next(iter(who.teams))))
    colleagues = await created(enter(other))
    gone = await created(mine, title="deleted")
    await mine.delete(f"/v1/memories/{gone['id']}")
    assert await departures.settle(who.organisation, transfer(who, heir, owner), now()) == 4
    for memory in private:
        got = (await of_heir.get(f"/v1/memories/{memory['id']}")).json()
        assert (got["created_by"], got["version"]) == (str(heir.person), 2)
        assert got["body"] == "a secret plan"
        assert (await mine.get(f"/v1/memories/{memory['id']}")).status_code == 404
        assert (await enter(owner).get(f"/v1/memories/{memory['id']}")).status_code == 404
    restored = await of_heir.post(f"/v1/memories/{gone['id']}/restore", json={})
    assert (restored.status_code, restored.json()["title"]) == (200, "deleted")
    assert (await of_heir.get(f"/v1/memories/{public['id']}")).json()["created_by"] == str(who.person)
    for hidden in (team, colleagues):
        assert (await of_heir.get(f"/v1/memories/{hidden['id']}")).status_code == 404
    assert (await of_heir.delete(f"/v1/memories/{private[0]['id']}?purge=true")).status_code == 204, "it is theirs"


async def test_the_past_goes_with_a_memory_as_far_as_it_was_private(
    enter: Enter, departures: Departures, who: Principal, heir: Principal, owner: Principal
) -> None:
    mine, of_heir = enter(who), enter(heir)
    memory = await created(mine, title="one", privacy="team", team_id=str(next(iter(who.teams))))
    path = f"/v1/memories/{memory['id']}"
    await mine.patch(path, json={"privacy": "private"}, headers={"If-Match": "*"})
    await mine.patch(path, json={"title": "three"}, headers={"If-Match": "*"})
    await departures.settle(who.organisation, transfer(who, heir, owner), now())
    versions = (await of_heir.get(f"{path}/versions")).json()["items"]
    found = [(one["version"], one["change"], one["changed_by"]) for one in versions]
    assert found[0] == (4, "transferred", str(owner.person))
    assert [version for version, *_ in found] == [4, 3, 2], "the version for a team is for that team"
    assert (await of_heir.get(f"{path}/versions/3")).json()["memory"]["title"] == "three"
    assert (await mine.get(f"{path}/versions/3")).status_code == 404


async def test_the_heirs_own_memory_of_the_same_source_stays_the_sources(
    enter: Enter, departures: Departures, who: Principal, heir: Principal, owner: Principal
) -> None:
    sourced = {"source": {"connector": "git", "external_id": "abc", "url": "https://example.org/abc"}}
    of_giver = await created(enter(who), title="the giver's", **sourced)
    other = await created(enter(who), title="another", source={"connector": "git", "external_id": "def"})
    of_heir = await created(enter(heir), title="the heir's", **sourced)
    assert await departures.settle(who.organisation, transfer(who, heir, owner), now()) == 2
    http = enter(heir)
    got = (await http.get(f"/v1/memories/{of_giver['id']}")).json()
    assert got["source"]["external_id"] is None
    assert got["source"]["url"] == "https://example.org/abc"
    assert (await http.get(f"/v1/memories/{other['id']}")).json()["source"]["external_id"] == "def"
    again = await http.post("/v1/memories", json={"title": "synced again"} | sourced)
    assert (again.status_code, again.json()["id"]) == (200, of_heir["id"])


async def test_purging_erases_every_word_of_what_was_private(
    enter: Enter, departures: Departures, who: Principal, other: Principal, owner: Principal, owner_url: str
) -> None:
    mine = enter(who)
    private = await created(mine, title="canary one")
    await mine.patch(f"/v1/memories/{private['id']}", json={"title": "canary two"}, headers={"If-Match": "*"})
    public = await created(mine, privacy="public", title="stays")
    link = {"target_kind": "memory", "target": private["id"]}
    assert (await mine.post(f"/v1/memories/{public['id']}/links", json=link)).status_code == 201
    theirs = await created(enter(other), title="theirs")
    assert await departures.settle(who.organisation, purge(who, owner), now()) == 1
    for table in ("memory.memory", "memory.version", "memory.link", "log.event", "audit.leaf"):
        query = f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%%canary%%'"
        assert rows(owner_url, query) == [(0,)], table
    assert rows(owner_url, "SELECT count(*) FROM memory.link") == [(0,)]
    assert (await enter(other).get(f"/v1/memories/{public['id']}")).status_code == 200
    assert (await enter(other).get(f"/v1/memories/{theirs['id']}")).status_code == 200


async def test_indexes_and_the_trail_hear_of_it(
    enter: Enter,
    departures: Departures,
    log: EventLog,
    who: Principal,
    heir: Principal,
    owner: Principal,
    owner_url: str,
) -> None:
    memory = await created(enter(who))
    await departures.settle(who.organisation, transfer(who, heir, owner), now())
    (_, event) = (await log.read(START, ["memory.updated"], 10))[-1]
    assert (event.subject, event.version, event.audience) == (UUID(memory["id"]), 2, heir.person)
    assert event.data["memory"]["created_by"] == str(heir.person)
    await departures.settle(heir.organisation, purge(heir, owner), now())
    (_, event) = (await log.read(START, ["memory.purged"], 10))[-1]
    assert (event.subject, event.version) == (UUID(memory["id"]), 3)
    pseudonym = "SELECT p.value FROM audit.leaf l JOIN audit.pseudonym p ON p.id = l.actor_id WHERE l.action = %s"
    for action in ("memory.transferred", "memory.purged"):
        assert rows(owner_url, pseudonym, action) == [(str(owner.person),)], action


async def test_done_again_nothing_is_left_to_do(
    enter: Enter, departures: Departures, who: Principal, heir: Principal, owner: Principal
) -> None:
    memory = await created(enter(who))
    event = Event(
        id=new_id(),
        type="identity.departure_settled",
        organisation_id=who.organisation,
        subject=new_id(),
        version=1,
        audience=owner.person,
        occurred_at=now(),
        data=transfer(who, heir, owner).model_dump(mode="json"),
    )
    for _ in range(2):
        await DepartureReactions(departures).settle([event, event])
    assert (await enter(heir).get(f"/v1/memories/{memory['id']}")).json()["version"] == 2


async def test_whoever_came_back_keeps_what_they_stored_since(
    enter: Enter, departures: Departures, who: Principal, owner: Principal
) -> None:
    old = await created(enter(who), title="before")
    decided_at = datetime.now(UTC)
    new = await created(enter(who), title="since")
    assert await departures.settle(who.organisation, purge(who, owner), decided_at) == 1
    assert (await enter(who).get(f"/v1/memories/{old['id']}")).status_code == 404
    assert (await enter(who).get(f"/v1/memories/{new['id']}")).status_code == 200


async def test_more_than_one_batch(
    enter: Enter,
    departures: Departures,
    who: Principal,
    heir: Principal,
    owner: Principal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    for number in range(5):
        await created(enter(who), title=str(number))
    assert await departures.settle(who.organisation, transfer(who, heir, owner), now()) == 5
    titles = [one["title"] for one in (await enter(heir).get("/v1/memories")).json()["items"]]
    assert sorted(titles) == ["0", "1", "2", "3", "4"]
    assert await departures.settle(who.organisation, purge(heir, owner), now()) == 5
    assert (await enter(heir).get("/v1/memories")).json()["items"] == []


async def test_an_organisation_that_is_gone_leaves_nothing_and_others_everything(
    enter: Enter,
    departures: Departures,
    who: Principal,
    other: Principal,
    stranger: Principal,
    owner_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    for person in (who, other):
        for privacy in ("private", "public", "team"):
            await created(enter(person), title="canary", privacy=privacy, team_id=str(next(iter(person.teams))))
    kept = await created(enter(stranger), title="stays")
    event = Event(
        id=new_id(),
        type="identity.organisation_erased",
        organisation_id=who.organisation,
        subject=who.organisation,
        version=1,
        audience=who.organisation,
        occurred_at=now(),
        data={},
    )
    for _ in range(2):
        await DepartureReactions(departures).settle([event])
    assert rows(owner_url, "SELECT organisation_id FROM memory.memory") == [(stranger.organisation,)]
    assert rows(owner_url, "SELECT count(*) FROM log.event e WHERE e::text LIKE '%%canary%%'") == [(0,)]
    purged = "SELECT count(*) FROM log.event WHERE type = 'memory.purged' AND organisation_id = %s"
    assert rows(owner_url, purged, who.organisation) == [(6,)]
    assert (await enter(stranger).get(f"/v1/memories/{kept['id']}")).status_code == 200


@pytest.mark.parametrize("as_whom", ["stranger", "nobody", "colleague"])
async def test_what_the_database_lets_the_app_hand_over_is_its_contexts_own(
    enter: Enter,
    database: Database,
    who: Principal,
    other: Principal,
    stranger: Principal,
    as_whom: str,
    owner_url: str,
) -> None:
    """Row-level security alone: the functions act for the organisation and person of the context, whatever is asked."""
    private = await created(enter(who))
    public = await created(enter(who), privacy="public")
    ids = [UUID(private["id"]), UUID(public["id"])]
    context = {"stranger": stranger, "nobody": None, "colleague": other}[as_whom]
    async with database.transaction(context) as connection:
        await connection.execute("SELECT memory.hand_over(%s, %s)", (other.person, ids))
    if as_whom != "colleague":
        async with database.transaction(context) as connection:
            assert (await connection.execute("SELECT memory.erase_some(10)")).rowcount == 0
    async with database.transaction(system(who.organisation, who.person)) as connection:
        await connection.execute("SELECT memory.hand_over(%s, %s)", (other.person, [UUID(public["id"])]))
    creators = rows(owner_url, "SELECT created_by FROM memory.memory")
    assert creators == [(who.person,), (who.person,)]
