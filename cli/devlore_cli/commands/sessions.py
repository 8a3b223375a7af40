"""`devlore sessions`, `devlore passwd`."""

from __future__ import annotations

import sys

import click

from devlore.problems import NotFound
from devlore.types import SessionView
from devlore_cli.dates import absolute, relative
from devlore_cli.failures import EXIT_USAGE, Failure
from devlore_cli.identifiers import Identifier
from devlore_cli.output import clip
from devlore_cli.session import Session, team_command

_WIDEST = 40
"""Columns of a program's name: browsers say far more than helps to tell them apart."""


@click.group()
def sessions() -> None:
    """Where you are signed in."""


@sessions.command("list")
@team_command
def list_(session: Session) -> None:
    """List your sessions, in whichever organisation; * is this one."""
    names = {one.organisation_id: one.organisation_name for one in session.me.organisations}
    session.table(
        session.client.sessions.all(limit=200),
        ["", "program", "organisation", "network", "used", "until", "id"],
        lambda one: _row(one, names.get(one.organisation_id, "")),
    )


def _row(one: SessionView, organisation: str) -> list[str]:
    program = clip(one.user_agent or "unknown", _WIDEST)
    used, until = relative(one.last_seen_at), absolute(one.expires_at)
    return ["*" if one.current else "", program, organisation, one.network or "", used, until, str(one.id)]


@sessions.command()
@click.argument("session_id", metavar="[ID]", type=Identifier("devlore sessions list"), required=False)
@click.option("--others", is_flag=True, help="All of them but this one.")
@team_command
def revoke(session: Session, session_id: str | None, others: bool) -> None:
    """End the session ID, or all your others."""
    if (session_id is None) is not others:
        raise Failure("Name a session, or say --others.", "They are listed by: devlore sessions list", EXIT_USAGE)
    if session_id is None:
        session.client.sessions.revoke_others()
        session.one({"result": "revoked"}, lambda _: session.out.line("All your other sessions have ended."))
        return
    try:
        session.client.sessions.revoke(session_id)
    except NotFound as error:
        raise NotFound(f"You have no session {session_id}. Those you have: devlore sessions list") from error
    session.one({"id": session_id, "result": "revoked"}, lambda one: session.out.line(f"ended {one['id']}"))


@click.command()
@team_command
def passwd(session: Session) -> None:
    """Change your password; your other sessions end. When stdin is no terminal: the old one, then the new one."""
    old = session.secret("Old password")
    new = session.secret("New password")
    if sys.stdin.isatty() and session.secret("New password again") != new:
        raise Failure("The two are not the same; nothing was changed.", code=EXIT_USAGE)
    session.client.identity.change_password(new, old=old)
    session.one({"result": "changed"}, lambda _: session.out.line("Changed. Your other sessions have ended."))
