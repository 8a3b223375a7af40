"""Appending leaves: in the writer's transaction, hashed, pseudonymous, and never silently left out."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from structlog.contextvars import bound_contextvars

from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf, NotAudited, Personal, append
from devlore_server.kit.auth import NIL, Principal
from devlore_server.kit.db import Database, system
from tests.kit.audited import leaves, pseudonyms, rehash

AT = datetime(2026, 11, 23, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
def caller(who: Principal) -> Principal:
    """``who``, by a session from somewhere."""
    return Principal(who.organisation, who.person, network="192.0.2.0/24", session="a session", key="a key")


async def put(database: Database, who: Principal, *given: Leaf, at: datetime = AT) -> None:
    async with database.transaction(who) as connection:
        await append(connection, who, *given, at=at)


async def test_a_leaf_says_who_did_what_to_which(database: Database, caller: Principal, owner_url: str) -> None:
    with bound_contextvars(request_id="r1"):
        await put(database, caller, Leaf("team.created", [("team", UUID(int=9))], context={"size": 0}))
    (row,) = leaves(owner_url)
    known = pseudonyms(owner_url)
    assert (row["organisation_id"], row["action"], row["result"]) == (caller.organisation, "team.created", "ok")
    assert (row["actor_type"], known[str(row["actor_id"])]) == ("person", str(caller.person))
    assert row["occurred_at"] == AT
    assert row["targets"] == [{"type": "team", "id": str(UUID(int=9))}]
    network = row["context"].pop("network")
    assert (network["type"], known[network["id"]]) == ("network", "192.0.2.0/24")
    assert row["context"] == {"request": "r1", "session": "a session", "key": "a key", "size": 0}


async def test_the_stored_row_has_the_hash_of_what_it_says(
    database: Database, caller: Principal, owner_url: str
) -> None:
    context = {"text": 'é "\\ \u2028\x1f', "list": ["b", "a"], "on": True, "off": None, "n": -(2**53 - 1)}
    one = Leaf("member.role_changed", [("person", caller.person), ("x", "y\0")], "refused", context)
    with bound_contextvars(request_id="r2"):
        await put(database, caller, one, Leaf("audit.read"))
    stored = leaves(owner_url)
    assert [rehash(row) for row in stored] == [row["hash"] for row in stored]
    assert len({row["hash"] for row in stored}) == 2


async def test_personal_data_is_nowhere_in_a_leaf(database: Database, caller: Principal, owner_url: str) -> None:
    about = [("person", caller.person), ("email", "ada@example.org")]
    context = {"to": Personal("email", "bo@example.org"), "place": Personal("network", "192.0.2.0/24")}
    await put(database, caller, Leaf("session.started", about, context=context))
    with psycopg.connect(owner_url) as connection:
        text = str(connection.execute("SELECT l::text FROM audit.leaf l").fetchone())
    for secret in (str(caller.person), "ada@", "bo@", "192.0.2"):
        assert secret not in text


async def test_a_value_has_one_pseudonym_in_an_organisation_and_another_elsewhere(
    database: Database, caller: Principal, stranger: Principal, owner_url: str
) -> None:
    for who in (caller, caller, system(stranger.organisation)):
        await put(database, who, Leaf("session.started", [("email", "ada@example.org")]))
    first, second, elsewhere = (row["targets"][0]["id"] for row in leaves(owner_url))
    assert first == second != elsewhere


async def test_erasing_a_person_leaves_leaves_that_no_longer_resolve(
    database: Database, caller: Principal, owner_url: str
) -> None:
    await put(database, caller, Leaf("team.created"), Leaf("member.removed", [("person", caller.person)]))
    before = leaves(owner_url)
    async with database.transaction(caller) as connection:
        gone = await audit.erase(connection, caller, Personal("person", str(caller.person)))
    assert gone == 1
    assert leaves(owner_url) == before
    assert str(caller.person) not in pseudonyms(owner_url).values()
    assert str(before[0]["actor_id"]) not in pseudonyms(owner_url)


async def test_who_was_erased_and_comes_back_is_somebody_new(
    database: Database, caller: Principal, owner_url: str
) -> None:
    await put(database, caller, Leaf("team.created"))
    async with database.transaction(caller) as connection:
        await audit.erase(connection, caller, Personal("person", str(caller.person)))
    await put(database, caller, Leaf("team.created"))
    first, second = leaves(owner_url)
    assert first["actor_id"] != second["actor_id"]
    assert str(second["actor_id"]) in pseudonyms(owner_url)


async def test_erasing_is_of_one_organisation(
    database: Database, caller: Principal, stranger: Principal, owner_url: str
) -> None:
    there = Principal(stranger.organisation, caller.person)
    await put(database, caller, Leaf("team.created"))
    await put(database, there, Leaf("team.created"))
    async with database.transaction(there) as connection:
        assert await audit.erase(connection, there, Personal("person", str(caller.person))) == 1
        assert await audit.erase(connection, caller, Personal("person", str(caller.person))) == 0
    assert list(pseudonyms(owner_url).values()).count(str(caller.person)) == 1


async def test_an_erased_organisation_has_no_names_left(
    database: Database, caller: Principal, other: Principal, stranger: Principal, owner_url: str
) -> None:
    for who in (caller, other, stranger):
        await put(database, who, Leaf("team.created"))
    async with database.transaction(system(caller.organisation)) as connection:
        assert await audit.erase_all(connection, caller) == 3  # two people and a network
    assert list(pseudonyms(owner_url).values()) == [str(stranger.person)]


async def test_a_pseudonym_of_a_transaction_that_was_rolled_back_is_not_used_again(
    database: Database, caller: Principal, owner_url: str
) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        async with database.transaction(caller) as connection:
            await append(connection, caller, Leaf("team.created"))
            raise RuntimeError("on purpose")
    assert leaves(owner_url) == []
    await put(database, caller, Leaf("team.created"))
    (row,) = leaves(owner_url)
    assert pseudonyms(owner_url)[str(row["actor_id"])] == str(caller.person)


async def test_without_a_person_the_actor_is_the_system(database: Database, who: Principal, owner_url: str) -> None:
    await put(database, system(who.organisation), Leaf("organisation.erased"))
    (row,) = leaves(owner_url)
    assert (row["actor_type"], row["actor_id"], row["context"]) == ("system", None, {})


async def test_many_at_once_meet_over_the_same_new_names(database: Database, caller: Principal, owner_url: str) -> None:
    given = [Leaf("session.started", [("email", name), ("email", "z")]) for name in "abcdefgh"]
    await asyncio.gather(*(put(database, caller, one, other) for one, other in zip(given, given[::-1], strict=True)))
    stored = leaves(owner_url)
    assert len(stored) == 16
    assert len({row["actor_id"] for row in stored}) == 1
    assert len(pseudonyms(owner_url)) == 2 + 9


async def test_leaves_of_one_transaction_keep_their_order(
    database: Database, caller: Principal, owner_url: str
) -> None:
    given = [Leaf("memory.created", [("memory", UUID(int=n))]) for n in range(1_000)]
    await put(database, caller, *given)
    assert [int(UUID(row["targets"][0]["id"])) for row in leaves(owner_url)] == list(range(1_000))


async def test_no_leaves_is_nothing(database: Database, caller: Principal, owner_url: str) -> None:
    await put(database, caller)
    assert (leaves(owner_url), pseudonyms(owner_url)) == ([], {})


async def test_a_leaf_of_another_organisation_than_the_contexts_is_refused(
    database: Database, caller: Principal, stranger: Principal, owner_url: str
) -> None:
    await put(database, caller, Leaf("team.created"))
    with pytest.raises((psycopg.errors.InsufficientPrivilege, NotAudited)):
        async with database.transaction(stranger) as connection:
            await append(connection, caller, Leaf("team.created"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.transaction(stranger) as connection:
            await append(connection, system(caller.organisation), Leaf("team.created"))
    assert len(leaves(owner_url)) == 1


async def test_nobodys_context_stores_nothing(database: Database, caller: Principal, owner_url: str) -> None:
    with pytest.raises(psycopg.Error):
        async with database.transaction(None) as connection:
            await append(connection, system(caller.organisation, NIL), Leaf("team.created"))
    assert leaves(owner_url) == []


@pytest.mark.parametrize(
    "broken",
    [
        "REVOKE INSERT ON audit.leaf FROM devlore_app",
        "REVOKE EXECUTE ON FUNCTION audit.append FROM devlore_app",
        "DROP POLICY may_add ON audit.leaf",
        "ALTER TABLE audit.leaf ADD CHECK (action <> 'team.created')",
    ],
)
async def test_what_cannot_be_audited_is_not_done(
    database: Database, caller: Principal, owner_url: str, broken: str
) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("CREATE TABLE public.change (n int)")
        connection.execute("GRANT ALL ON public.change TO devlore_app")
        connection.execute(broken)  # type: ignore[call-overload]
    with pytest.raises(psycopg.Error):
        async with database.transaction(caller) as connection:
            await connection.execute("INSERT INTO public.change VALUES (1)")
            await append(connection, caller, Leaf("team.created"))
    with psycopg.connect(owner_url) as connection:
        assert connection.execute("SELECT count(*) FROM public.change").fetchone() == (0,)
