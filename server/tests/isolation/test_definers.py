"""Every function that runs as its owner, called by the app for somebody else, with everybody's arguments and with none.

A new one has to be said to be one of four kinds, or the test fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from tests.isolation.cast import Cast
from tests.isolation.catalogue import SCHEMAS, rows
from tests.isolation.probes import Leaks
from tests.isolation.test_sql_walls import Context, acting, outsiders

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOWHERE: LiteralString = "00000000-0000-0000-0000-000000000000"
FAR: LiteralString = "'infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '-infinity'"
NO_FILTER: LiteralString = "NULL, NULL, NULL, NULL, NULL, 1000"

OF_THE_CONTEXT: dict[str, list[LiteralString]] = {
    "audit.newest": [f"audit.newest({FAR}, {NO_FILTER})"],
    "audit.follow": [f"audit.follow('0', '{NOWHERE}', '-infinity', 'infinity', {NO_FILTER})"],
    "audit.settled": ["audit.settled()"],
    "gateway.erase": ["gateway.erase(%(acme)s, %(memories)s)", "gateway.erase(NULL, %(memories)s)"],
    "gateway.erase_all": ["gateway.erase_all(%(acme)s)", "gateway.erase_all(NULL)"],
    "identity.keys_left_by": ["identity.keys_left_by(%(ann)s)", "identity.keys_left_by(%(gil)s)"],
    "identity.owner_of_key": ["identity.owner_of_key(%(key)s)"],
    "integration.disconnect": [
        "integration.disconnect(%(ann)s, 'infinity')",
        "integration.disconnect(NULL, 'infinity')",
    ],
    "memory.erase_some": ["memory.erase_some(1000)"],
    "memory.hand_over": ["memory.hand_over(%(gil)s, %(memories)s)", "memory.hand_over(%(ann)s, %(memories)s)"],
}
"""Whatever the arguments say, these see and change rows of the organisation of the context only."""

BY_SECRET: dict[str, list[LiteralString]] = {
    "identity.find_by_device": ["identity.find_by_device(sha256(%(guess)s))"],
    "identity.find_by_passkey": ["identity.find_by_passkey(%(guess)s)"],
    "identity.find_cookie": ["identity.find_cookie(sha256(%(guess)s), now())"],
    "identity.find_invitation": ["identity.find_invitation(sha256(%(guess)s))"],
    "identity.find_key": ["identity.find_key('x', sha256(%(guess)s), now())"],
    "identity.find_refresh": ["identity.find_refresh(sha256(%(guess)s))"],
}
"""Whoever holds the secret is found, before it is known where they belong; nobody else is."""

BY_NAME = {
    "identity.find_by_email": "an id, for a sign-in that then fails or holds by the password",
    "identity.is_familiar": "whether somebody signed in from a network, for a gateway that otherwise has them wait",
    "identity.find_session": "the standing of a session whose token was verified; its id is no secret",
}
"""Found by what others may know, too: the services that ask say nothing of it to anybody."""

OF_THE_SERVER = {
    "audit.ensure_month": "a partition",
    "gateway.forget_expired": "a count",
    "identity.due_organisations": "ids of organisations to erase",
    "identity.forget_credentials": "a count",
    "identity.forget_networks": "a count",
    "integration.waiting_syncs": "ids of syncs to run",
    "integration.watched_connections": "ids of connections to watch",
    "log.adopt": "a transaction's number",
    "log.ends": "positions",
    "log.lag": "a count",
    "log.parked_count": "a count",
    "log.read_after": "events of every organisation, for consumers",
    "log.read_parked": "events of every organisation, for consumers",
    "memory.count_all": "a count",
    "memory.scan": "memories of every organisation, to build indexes from",
    "search.begin_model": "partitions",
    "search.contents": "ids and versions, to compare indexes",
    "search.drop_model": "partitions",
    "search.near_duplicates": "ids and scores of a named organisation",
    "search.nearest": "ids, places and scores of a named organisation's audiences",
    "search.nearest_superseded": "the same, of what something else has replaced",
    "search.reach": "a count",
    "search.sizes": "counts",
}
"""What the server does for all organisations at once, and the most that comes of it."""
WITH_WORDS = {"log.read_after", "log.read_parked", "memory.scan"}
"""The only ones whose answers hold what somebody wrote; `test_reach` keeps callers away from them."""


def arguments(cast: Cast) -> dict[str, Any]:
    return {
        "acme": cast["ann"].organisation,
        "ann": cast["ann"].id,
        "gil": cast["gil"].id,
        "memories": cast.ids["memory"] + cast.ids["public memory"],
        "key": cast.ids["key"][0],
        "guess": b"a guess",
    }


def called(connection: psycopg.Connection[Any], call: LiteralString, given: dict[str, Any]) -> list[Any] | str:
    """What a function answered, without what is nothing; or the SQLSTATE it was refused with."""
    query: LiteralString = f"SELECT to_jsonb(x) FROM {call.replace('%(memories)s', '%(memories)s::uuid[]')} AS x"
    try:
        with connection.transaction():
            found = connection.execute(query.replace("%(guess)s", "%(guess)s::bytea"), given).fetchall()
    except psycopg.Error as error:
        return error.sqlstate or "?"
    return [row for (row,) in found if row not in (None, 0, "")]


def fingerprint(url: str) -> list[tuple[Any, ...]]:
    """What is in every table that one of these functions could change."""
    tables = ("memory.memory", "memory.version", "integration.connection", "gateway.idempotency", "identity.api_key")
    query = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, count(*), sum(hashtextextended(t::text, 0)) FROM {} AS t").format(
            table, sql.Identifier(*table.split("."))
        )
        for table in tables
    )
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


async def test_every_definer_function_is_of_a_known_kind(cast: Cast) -> None:
    query: LiteralString = (
        "SELECT DISTINCT n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE p.prosecdef AND n.nspname = ANY (%s)"
    )
    found = {name for (name,) in rows(cast.stage.owner_url, query, list(SCHEMAS))}
    kinds = [*OF_THE_CONTEXT, *BY_SECRET, *BY_NAME, *OF_THE_SERVER]
    assert found == set(kinds), "say what a new definer function is, and call it here"
    assert len(kinds) == len(found)


async def test_they_see_and_change_rows_of_the_context_only(cast: Cast) -> None:
    leaks, given, url = Leaks("definer functions"), arguments(cast), cast.stage.owner_url
    hers = {"acme", *cast.ids["memory"], cast["ann"].organisation, cast["ann"].id}
    for name, calls in OF_THE_CONTEXT.items():
        for call in calls:
            for context in outsiders(cast):
                before = fingerprint(url)
                with acting(url, context) as connection:
                    told = called(connection, call, given)
                    seen = [one for one in told if hers & set(_strings(one))] if isinstance(told, list) else []
                    leaks.same(seen, [], f"{context.name} calls {call}")
                    _commit_unless_own(connection, context)
                changed = [b for b, a in zip(before, fingerprint(url), strict=True) if a != b]
                leaks.same(changed, [], f"{context.name} calls {name}, and it changes")
    leaks.assert_none()


def _commit_unless_own(connection: psycopg.Connection[Any], context: Context) -> None:
    # What Gil does to rows of his own is his to do, and would spoil the comparison.
    if not context.name.startswith("gil"):
        connection.commit()


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _strings(inner)]
    return [str(value)]


async def test_nobody_reads_the_audit_trail(cast: Cast) -> None:
    leaks, url = Leaks("definer functions"), cast.stage.owner_url
    for name in ("audit.newest", "audit.follow", "audit.settled"):
        for context in (Context("nobody"), Context("nobody, as Ann", person=cast["ann"].id)):
            with acting(url, context) as connection:
                told = called(connection, OF_THE_CONTEXT[name][0], {})
                leaks.same(told, "42501", f"{context.name} calls {name}")
    leaks.assert_none()


async def test_a_guess_finds_nobody(cast: Cast) -> None:
    leaks, given, url = Leaks("definer functions"), arguments(cast), cast.stage.owner_url
    for calls in BY_SECRET.values():
        for call in calls:
            for context in outsiders(cast):
                with acting(url, context) as connection:
                    leaks.same(called(connection, call, given), [], f"{context.name} calls {call}")
    leaks.assert_none()


@pytest.fixture
def superseded(cast: Cast) -> Iterator[None]:
    """Every memory of the index as if something had replaced it."""
    with psycopg.connect(cast.stage.owner_url) as connection:
        held = connection.execute("SELECT model, memory_id, status FROM search.document").fetchall()
        connection.execute("UPDATE search.document SET status = 'superseded' WHERE live")
    yield
    with psycopg.connect(cast.stage.owner_url) as connection:
        for model, id, status in held:
            connection.execute(
                "UPDATE search.document SET status = %s WHERE model = %s AND memory_id = %s", (status, model, id)
            )


async def test_the_index_refuses_nobody_and_shows_no_other_organisation(cast: Cast, superseded: None) -> None:
    leaks, url = Leaks("definer functions"), cast.stage.owner_url
    ((model,),) = rows(url, "SELECT id FROM search.model WHERE state = 'active'")
    vector = "[" + ",".join(["0.1"] * 64) + "]"
    nearest: LiteralString = (
        "search.nearest(%(tenant)s, %(audiences)s::uuid[], %(model)s::smallint, %(vector)s::public.halfvec, 1000,"
        " false, '{}', '{}', NULL)"
    )
    past: LiteralString = (
        "search.nearest_superseded(%(tenant)s, %(audiences)s::uuid[], %(model)s::smallint, %(vector)s::public.halfvec,"
        " 1000, '{}', '{}')"
    )
    near: LiteralString = "search.near_duplicates(%(tenant)s, %(model)s::smallint, %(memories)s, -1::real, 1000, NULL)"
    ann, gil = cast["ann"], cast["gil"]
    given = arguments(cast) | {"model": model, "vector": vector}
    everything = [ann.organisation, ann.id, cast.ids["team"][0], gil.organisation, gil.id]
    hers = {*cast.ids["memory"], *cast.ids["public memory"], cast.own["ben"]["memory"]}
    with acting(url, Context("gil", gil.organisation, gil.id)) as connection:
        for tenant in (None, NOWHERE):
            for call in (nearest, past, near):
                told = called(connection, call, given | {"tenant": tenant, "audiences": everything})
                leaks.same(told, "P0001", f"the index answers for {tenant}")
        # With every audience there is, an organisation still finds its own only.
        asked = given | {"tenant": gil.organisation, "audiences": everything}
        others = asked | {"tenant": ann.organisation, "audiences": [gil.organisation, gil.id]}
        for call in (nearest, past):
            found = called(connection, call, asked)
            assert isinstance(found, list)
            assert found
            leaks.same([one for one in found if hers & set(_strings(one))], [], "Globex finds Acme's memories")
            leaks.same(called(connection, call, others), [], "Acme's memories for an audience of Globex")
        leaks.same(called(connection, near, asked), [], "Globex compares Acme's memories")
    leaks.assert_none()


async def test_what_the_index_answers_holds_no_word(cast: Cast) -> None:
    leaks, url = Leaks("definer functions"), cast.stage.owner_url
    words = list(cast.words)
    calls: list[LiteralString] = [
        "identity.due_organisations('infinity', 1000)",
        "integration.waiting_syncs('infinity')",
        "integration.watched_connections()",
        "log.ends()",
        "memory.count_all()",
        f"search.contents((SELECT max(id) FROM search.model), '{NOWHERE}', '{NOWHERE}', 1000)",
        "search.sizes((SELECT max(id) FROM search.model))",
    ]
    assert {call.partition("(")[0] for call in calls}.isdisjoint(WITH_WORDS)
    for call in calls:
        with acting(url, Context("nobody")) as connection:
            told = repr(called(connection, call, {}))
        leaks.same([word for word in words if word in told], [], f"nobody calls {call}")
    leaks.assert_none()
