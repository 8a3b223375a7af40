"""`devlore login`, `devlore logout`, `devlore whoami`."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from contextlib import suppress

import click

from devlore.authentication import from_environment
from devlore.problems import DeviceExpired, DevicePending, Problem, SlowDown, Unavailable
from devlore.types import DeviceGrant, Tokens, WhoAmI
from devlore_cli import accounts, naming
from devlore_cli.accounts import KeptSession
from devlore_cli.failures import EXIT_USAGE, Failure
from devlore_cli.progress import Progress
from devlore_cli.session import Session, command, team_command

_STEP = 0.1
_HASTY = 5
"""Seconds more to wait when the server says "slow down" and nothing else (RFC 8628 §3.5)."""


@click.command()
@click.option("--email", help="Sign in with this address and a password, here instead of in the browser.")
@click.option("--organisation", "-o", help="Which of yours to work in; by name or id.")
@team_command
def login(session: Session, email: str | None, organisation: str | None) -> None:
    """Sign in to a team's Devlore; commands that name no server talk to this one from now on.

    \b
    devlore login --url https://devlore.example.org      # in the browser, here or on another device
    devlore login --email ada@example.org                # asks for the password; stdin when it is no terminal
    """
    _refuse_what_is_given()
    kept = KeptSession(session.client.base_url)
    tokens = _with_password(session, email) if email else _with_device(session)
    _adopted(session, kept, tokens)
    if organisation is not None:
        place = naming.membership(session.client, organisation).organisation_id
        if place != tokens.organisation_id:
            session.client.adopt(session.client.sessions.switch(place))
    accounts.remember(session.client.base_url)
    session.one(session.me, lambda me: _welcomed(session, me, kept))


def _refuse_what_is_given() -> None:
    if from_environment():
        message = "DEVLORE_TOKEN or DEVLORE_KEY is set, and says who you are."
        raise Failure(message, "Unset it to sign in.", EXIT_USAGE)


def _adopted(session: Session, kept: KeptSession, tokens: Tokens) -> None:
    """Go on in the new session, and end the one it takes the place of."""
    before = None
    with suppress(Failure):
        before = kept.load()
    session.client.adopt(tokens)
    if before is not None and before.session_id != str(tokens.session_id):
        # It may be another person's, or gone.
        with suppress(Problem):
            session.client.sessions.revoke(before.session_id)


def _with_password(session: Session, email: str) -> Tokens:
    return session.client.sessions.sign_in(email, session.secret("Password"))


def _with_device(session: Session) -> Tokens:
    grant = session.client.sessions.begin_device()
    if session.as_json:
        session.json(grant.model_dump(mode="json", exclude={"device_code"}))
        session.out.stream.flush()
    opened = not session.as_json and _opened(grant.verification_uri_complete)
    session.err.line(f"{'Your browser opens' if opened else 'Open'} {grant.verification_uri}")
    session.err.line(f"and there approve the code  {session.err.style(grant.user_code, 'bold')}")
    session.err.stream.flush()
    with Progress(session.err, "Waiting for that") as progress:
        return _approved(session, grant, progress)


def _approved(session: Session, grant: DeviceGrant, progress: Progress) -> Tokens:
    began, interval = time.monotonic(), grant.interval
    while True:
        ask_at = time.monotonic() + interval
        while (now := time.monotonic()) < ask_at:
            progress.waiting(now - began)
            time.sleep(min(_STEP, ask_at - now))
        try:
            return session.client.sessions.poll_device(grant.device_code)
        except DevicePending as error:
            hasty = _HASTY if isinstance(error, SlowDown) else 0
            interval = int(error.extra.get("interval") or interval + hasty)
        except DeviceExpired as error:
            raise _too_late() from error
        except Unavailable:
            # The line may come back before the code runs out.
            interval += _HASTY
        if time.monotonic() - began > grant.expires_in:
            raise _too_late()


def _too_late() -> Failure:
    return Failure("Nobody approved the code in time.", "Begin again: devlore login")


def _opened(url: str) -> bool:
    """Open the page in a browser of this desktop; one inside the terminal would take its place."""
    desktop = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if not desktop or not sys.stderr.isatty() or not url.startswith(("https://", "http://")):
        return False
    with suppress(webbrowser.Error, OSError):
        return webbrowser.open(url)
    return False


def _welcomed(session: Session, me: WhoAmI, kept: KeptSession) -> None:
    who = f"{me.person.name} <{me.person.email}>" if me.person.email else me.person.name
    where = session.out.style(session.client.base_url, "bold")
    session.out.line(f"Signed in to {where} as {who}, {me.role} of {me.organisation.name}.")
    session.note(f"Your session is in {kept.place}. Sign out with: devlore logout")


@click.command()
@command
def logout(session: Session) -> None:
    """Sign out: end the session and forget it here."""
    if from_environment():
        raise Failure("DEVLORE_TOKEN or DEVLORE_KEY says who you are.", "Unset it.", EXIT_USAGE)
    url = session.client.base_url
    kept = KeptSession(url)
    was_in, ended = kept.path.exists(), False
    if was_in:
        with suppress(Problem, Failure):
            session.client.sessions.revoke()
            ended = True
        session.client.forget()
    accounts.forget(url)
    result = {"url": url, "signed_out": was_in, "ended": ended}
    session.one(result, lambda _: session.out.line(f"Signed out of {url}." if was_in else "You were not signed in."))
    if was_in and not ended:
        session.note("The server did not hear of it: the session ends there when it has not been used for a month.")


@click.command()
@team_command
def whoami(session: Session) -> None:
    """Say who is signed in, where, and with what rights."""
    session.one(session.me, lambda me: _told(session, me))


def _told(session: Session, me: WhoAmI) -> None:
    # A key may know its teams, and not what they are called.
    named = me.teams and "people:read" in me.scopes
    names = {one.id: one.name for one in session.client.teams.all(limit=200)} if named else {}
    others = [one.organisation_name for one in me.organisations if one.organisation_id != me.organisation.id]
    rows = [
        ("person", me.person.name),
        ("e-mail", me.person.email or ""),
        ("kind", "" if me.person.kind == "human" else "service account"),
        ("organisation", me.organisation.name),
        ("role", me.role),
        ("teams", ", ".join(sorted(names.get(id, str(id)) for id in me.teams))),
        ("also in", ", ".join(others)),
        ("may", " ".join(me.scopes)),
        ("server", session.client.base_url),
    ]
    session.facts(rows)
