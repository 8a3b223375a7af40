"""An organisation that is gone is gone from every table there is: also from those somebody adds tomorrow."""

from __future__ import annotations

import asyncio

import pytest
from psycopg import sql

from devlore_server.identity.organisations import Organisations
from devlore_server.kit.db import Database
from devlore_server.kit.log import EventLog
from devlore_server.kit.migrate import app_url
from tests.isolation.cast import Cast
from tests.isolation.catalogue import rows, tables
from tests.isolation.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEVER_FILLED: set[str] = set()
"""Tables that nothing of Acme's is in before, each with a reason beside it: none so far."""
KEPT = {
    "audit.leaf": "that something happened, under pseudonyms that nothing resolves any more",
    "search.document": "which memories were erased, by id: an index being rebuilt may still bring one of them",
    "log.event": "that memories and the organisation were erased, for consumers that have yet to hear of it",
}


SOON_GONE = {"identity.device"}
"""Approved and not yet fetched: a code runs out in ten minutes and its row within the hour."""


def held(stage: Stage, organisation: str) -> dict[str, int]:
    """How many rows of an organisation each table with an ``organisation_id`` holds."""
    names = [table.name for table in tables(stage.owner_url) if table.tenant and not table.partition]
    counted = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, count(*) FROM {} WHERE organisation_id = {}").format(
            name, sql.Identifier(*name.split(".")), organisation
        )
        for name in names
    )
    return dict(stage.rows(counted.as_string()))


def outside(stage: Stage, organisation: str) -> set[str]:
    """Tables without an ``organisation_id`` that say the organisation's id all the same."""
    names = [table.name for table in tables(stage.owner_url) if not table.tenant]
    query = sql.SQL("SELECT count(*) FROM {} AS t WHERE strpos(t::text, {}) > 0")
    asked = {name: query.format(sql.Identifier(*name.split(".")), organisation).as_string() for name in names}
    return {name for name, text in asked.items() if stage.rows(text) != [(0,)]}


async def erased(stage: Stage, organisation: str) -> None:
    """Let the thirty days pass at once, and the services hear of it."""
    database = Database(app_url(stage.owner_url))
    await database.open()
    try:
        stage.rows(
            "UPDATE identity.organisation SET delete_after = now() - interval '1 s' WHERE organisation_id = %s",
            organisation,
        )
        assert await Organisations(database, EventLog(database)).erase_due() == 1
    finally:
        await database.close()


async def test_every_table_of_acme_is_empty_afterwards_and_none_of_globex(company: Cast) -> None:
    stage, olga = company.stage, company["olga"]
    acme, globex = olga.organisation, company["gus"].organisation
    before, elsewhere = held(stage, acme), held(stage, globex)
    unfilled = {name for name, count in before.items() if not count}
    assert unfilled == NEVER_FILLED, "the cast has to put something of Acme's there, or nobody knows that it goes"
    asked = await olga.done("DELETE", f"/v1/organisations/{acme}")
    assert asked.json()["delete_after"] is not None
    await erased(stage, acme)
    for _ in range(100):
        left = {name: count for name, count in held(stage, acme).items() if count}
        if left.keys() <= KEPT.keys():
            break
        await asyncio.sleep(0.1)
    assert left.keys() == KEPT.keys(), left
    assert outside(stage, acme) == SOON_GONE
    # Globex only hears that time passes.
    assert {name: count for name, count in held(stage, globex).items() if count < elsewhere[name]} == {}


async def test_what_stays_names_nobody(company: Cast) -> None:
    stage, acme = company.stage, company["olga"].organisation
    events = stage.rows("SELECT DISTINCT type, data::text FROM log.event WHERE organisation_id = %s", acme)
    assert {type for type, _ in events} == {"memory.purged", "identity.organisation_erased"}
    assert {data for _, data in events} == {"{}"}
    tombstones = stage.rows(
        "SELECT DISTINCT to_jsonb(d) - 'memory_id' - 'version' FROM search.document d WHERE organisation_id = %s", acme
    )
    for (found,) in tombstones:
        assert {name for name, value in found.items() if value} == {"organisation_id", "model"}, found
    people = {caller.id for caller in company.people.values() if caller.id}
    words = [*people, *company.words]
    for table in KEPT:
        name = sql.Identifier(*table.split("."))
        # Whom an erasure is news to is an id, too: of the person who erased it, if nobody else knew the memory.
        query = (
            sql.SQL("SELECT (to_jsonb(t) - 'audience')::text FROM {} AS t WHERE organisation_id = {}")
            .format(name, acme)
            .as_string()
        )
        texts = [text for (text,) in stage.rows(query)]
        assert texts
        assert [word for word in words if any(word in text for text in texts)] == [], table


async def test_nobody_comes_in_any_more(company: Cast) -> None:
    for name in ("olga", "ann", "vera"):
        async with asyncio.timeout(10):
            # Whoever asked a moment ago is let in for another one, and finds nothing.
            while (status := (await company[name].get("/v1/identity")).status_code) != 401:
                assert status == 404
                await asyncio.sleep(0.1)
    assert (await company["gus"].get("/v1/identity")).status_code == 200
    assert rows(company.stage.owner_url, "SELECT count(*) FROM identity.organisation") == [(2,)]
