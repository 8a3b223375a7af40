"""`devlore keys`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

import click

from devlore.types import KeyCreated, KeyView, Scope
from devlore_cli import naming
from devlore_cli.dates import absolute, both, relative
from devlore_cli.failures import EXIT_NOT_ALLOWED, Failure
from devlore_cli.output import one_line
from devlore_cli.session import Session, team_command

_FOR = click.option("--for", "person", metavar="ACCOUNT", help="A service account's (name or id), instead of yours.")
_SCOPES: tuple[Scope, ...] = get_args(Scope)


@click.group()
def keys() -> None:
    """API keys, for programs: set one as DEVLORE_KEY."""


@keys.command()
@click.argument("name")
@click.option("--scope", "-s", "scopes", multiple=True, type=click.Choice(_SCOPES), help="What it may do; all you may.")
@click.option("--days", type=click.IntRange(1, 3_650), help="How long it is good for; until revoked if not given.")
@_FOR
@team_command
def create(session: Session, name: str, scopes: tuple[Scope, ...], days: int | None, person: str | None) -> None:
    """Make a key called NAME, and print it once.

    It never does more than its person may.
    """
    owner = _owner(session, person)
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    made = session.proven(
        lambda: session.client.keys.create(name, scopes=scopes or None, person=owner, expires_at=expires_at)
    )
    session.one(made, lambda one: _made(session, one))


def _made(session: Session, made: KeyCreated) -> None:
    session.out.line(made.key)
    until = f", until {absolute(made.expires_at)}" if made.expires_at else ""
    session.note(f"Keep it: it is not shown again. It may do {_rights(made)}{until}.")


@keys.command("list")
@_FOR
@click.option("--all", "everything", is_flag=True, help="Also those that are revoked or expired.")
@team_command
def list_(session: Session, person: str | None, everything: bool) -> None:
    """List your keys, without their secrets."""
    found = session.client.keys.all(person=_owner(session, person), limit=200)
    session.table(
        (one for one in found if everything or _state(one) == "good"),
        ["name", "key", "may do", "made", "used", "state", "id"],
        _row,
        "No keys. Make one: devlore keys create NAME",
    )


def _row(one: KeyView) -> list[str]:
    used = relative(one.last_used_at) if one.last_used_at else "never"
    state = _state(one)
    if state == "good" and one.expires_at:
        state = f"until {absolute(one.expires_at)}"
    return [one.name, f"dvl_{one.key_id}_…", _rights(one), absolute(one.created_at), used, state, str(one.id)]


def _state(one: KeyView) -> str:
    if one.revoked_at is not None:
        return f"revoked {both(one.revoked_at)}"
    if one.expires_at is not None and one.expires_at <= datetime.now(UTC):
        return f"expired {both(one.expires_at)}"
    return "good"


def _rights(one: KeyView) -> str:
    return "all its person may" if one.scopes is None else " ".join(one.scopes) or "nothing"


@keys.command()
@click.argument("key")
@_FOR
@team_command
def revoke(session: Session, key: str, person: str | None) -> None:
    """End KEY: name, id, or the part that is listed.

    It is refused within two seconds.
    """
    found = naming.key(session.client, key.removeprefix("dvl_").removesuffix("_…"), _owner(session, person))
    session.client.keys.revoke(found.id)
    result = {"id": found.id, "name": found.name, "result": "revoked"}
    session.one(result, lambda one: session.out.line(f"revoked {one['name']}  {one['id']}"))


def _owner(session: Session, person: str | None) -> UUID | None:
    if person is None:
        return None
    found = naming.member(session.client, session.me.organisation.id, person)
    if found.kind != "service" and found.person_id != session.me.person.id:
        raise Failure(
            f"{one_line(found.name)} is no service account: only they see to their keys.", code=EXIT_NOT_ALLOWED
        )
    return found.person_id
