"""Row-level security alone: what the database lets the app see and change of the directory, whatever it asks."""

from __future__ import annotations

from typing import LiteralString

import psycopg
import pytest

from devlore.types import InvitationDraft, TeamDraft, TeamMemberDraft
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import system
from devlore_server.kit.ids import new_id

from .directory import Directory, caller

TABLES: tuple[LiteralString, ...] = (
    "organisation",
    "membership",
    "team",
    "team_member",
    "invitation",
    "departure",
)


async def fill(directory: Directory, owner: Principal) -> None:
    """A row in every table."""
    team = await directory.teams.create(owner, TeamDraft(name="Platform"))
    await directory.teams.put(owner, team.id, owner.person, TeamMemberDraft())
    await directory.invitations.create(owner, owner.organisation, InvitationDraft())
    leaver = await directory.join(owner.organisation, "member", "Leaver")
    await directory.members.remove(owner, owner.organisation, leaver.person)


async def count(directory: Directory, who: Principal | None, query: LiteralString) -> int:
    async with directory.database.transaction(who) as connection:
        return (await connection.execute(query)).rowcount


@pytest.mark.parametrize("table", TABLES)
async def test_a_tenants_rows_are_its_own(
    directory: Directory, owner: Principal, stranger: Principal, table: LiteralString
) -> None:
    await fill(directory, owner)
    own = await count(directory, owner, f"SELECT 1 FROM identity.{table}")
    assert own > 0
    assert await count(directory, None, f"SELECT 1 FROM identity.{table}") == 0
    assert await count(directory, system(new_id()), f"SELECT 1 FROM identity.{table}") == 0
    of_stranger = 1 if table in ("organisation", "membership") else 0
    for statement in (
        f"SELECT 1 FROM identity.{table}",
        f"UPDATE identity.{table} SET organisation_id = organisation_id",
        f"DELETE FROM identity.{table}",
    ):
        assert await count(directory, stranger, statement) == of_stranger
    assert directory.seen(f"SELECT count(*) FROM identity.{table}") == [(own,)]


@pytest.mark.parametrize("table", TABLES)
async def test_nobody_moves_a_row_to_another_organisation(
    directory: Directory, owner: Principal, stranger: Principal, table: LiteralString
) -> None:
    await fill(directory, stranger)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with directory.database.transaction(stranger) as connection:
            await connection.execute(f"UPDATE identity.{table} SET organisation_id = %s", (owner.organisation,))


async def test_nobody_makes_themselves_a_member_of_another_organisation(
    directory: Directory, owner: Principal, stranger: Principal
) -> None:
    insert: LiteralString = (
        "INSERT INTO identity.membership (organisation_id, person_id, role, created_at) VALUES (%s, %s, 'owner', now())"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with directory.database.transaction(stranger) as connection:
            await connection.execute(insert, (owner.organisation, stranger.person))


async def test_a_membership_elsewhere_is_seen_and_not_changed_from_here(
    directory: Directory, owner: Principal, stranger: Principal
) -> None:
    await directory.join(owner.organisation, "viewer", "", person=stranger.person)
    assert await count(directory, stranger, "SELECT 1 FROM identity.membership") == 2
    assert await count(directory, stranger, "SELECT 1 FROM identity.organisation") == 2
    assert await count(directory, stranger, "UPDATE identity.membership SET role = 'owner'") == 1
    assert await count(directory, stranger, "UPDATE identity.organisation SET name = 'mine'") == 1
    role = "SELECT role FROM identity.membership WHERE person_id = %s AND organisation_id = %s"
    assert directory.seen(role, stranger.person, owner.organisation) == [("viewer",)]


async def test_a_person_writes_themselves_only(directory: Directory, owner: Principal, member: Principal) -> None:
    assert await count(directory, owner, "SELECT 1 FROM identity.person") == 2
    assert await count(directory, owner, "UPDATE identity.person SET epoch = epoch + 1") == 1
    insert: LiteralString = "INSERT INTO identity.person (id, kind, name, created_at) VALUES (%s, %s, 'x', now())"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with directory.database.transaction(owner) as connection:
            await connection.execute(insert, (new_id(), "human"))
    for statement in ("UPDATE identity.person SET kind = 'service', email = NULL", "DELETE FROM identity.person"):
        await count(directory, system(member.organisation), statement)
    assert directory.seen("SELECT kind FROM identity.person") == [("human",), ("human",)]


async def test_the_finders_tell_ids_only_and_only_for_what_is_known(directory: Directory, owner: Principal) -> None:
    await fill(directory, owner)
    ((organisation, id, digest),) = directory.seen("SELECT organisation_id, id, digest FROM identity.invitation")
    async with directory.database.transaction(None) as connection:
        found = await (await connection.execute("SELECT * FROM identity.find_invitation(%s)", (digest,))).fetchall()
        assert found == [(organisation, id)]
        for guess in (b"", b"\0" * 32, None):
            wrong = await connection.execute("SELECT * FROM identity.find_invitation(%s)", (guess,))
            assert await wrong.fetchall() == []
        due = await connection.execute("SELECT * FROM identity.due_organisations(now(), 10)")
        assert await due.fetchall() == []


async def test_somebody_elsewhere_is_a_stranger_even_to_their_own_organisations_other(
    directory: Directory, owner: Principal, member: Principal
) -> None:
    """From a third organisation a person sees themselves, and none of those they know elsewhere."""
    elsewhere = caller(new_id(), member.person, "owner")
    assert await count(directory, elsewhere, "SELECT 1 FROM identity.person") == 1
    assert await count(directory, elsewhere, "SELECT 1 FROM identity.membership") == 1
    assert await count(directory, elsewhere, "DELETE FROM identity.membership") == 0
