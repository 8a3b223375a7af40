"""`devlore doctor`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click

import devlore
from devlore.calls import Unreachable
from devlore.problems import NotAllowed, Problem, Unauthenticated
from devlore.transport import is_loopback
from devlore_cli import instance
from devlore_cli.commands.status import size
from devlore_cli.failures import EXIT_FAILURE
from devlore_cli.output import quantity
from devlore_cli.session import Session, command

_ENOUGH_DISK = 1_000_000_000


@dataclass(frozen=True)
class _Remedies:
    """What to do about a server: somebody's own they mend themselves, a team's is for whoever runs it."""

    rebuild: str
    parked: str
    away: str


_OWN = _Remedies(
    rebuild="Build them anew: devlore rebuild search",
    parked="Update Devlore if you can. They are tried again at every start: devlore down, then devlore up.",
    away="See the server's log; devlore up",
)
_TEAMS = _Remedies(
    rebuild="Whoever runs the server builds them anew: devlore-server rebuild search",
    parked="They are tried again when whoever runs the server updates it, or starts it again.",
    away="Whoever runs the server finds out why in its log.",
)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; ``advice`` says what to do when it is not well."""

    check: str
    well: bool
    detail: str
    advice: str | None = None


@click.command()
@command
def doctor(session: Session) -> int:
    """Look for trouble: server, versions, PostgreSQL, indexes against memories, parked events, disk."""
    findings = list(_findings(session))
    for finding in findings:
        session.one(asdict(finding), lambda _, finding=finding: _shown(session, finding))  # type: ignore[misc]
    ill = [finding for finding in findings if not finding.well]
    session.note(f"{len(ill)} of {quantity(len(findings), 'check')} found trouble." if ill else "All is well.")
    return EXIT_FAILURE if ill else 0


def _findings(session: Session) -> Iterator[Finding]:
    if is_loopback(session.client.base_url):
        yield from _home()
    reached, remedies = _server(session)
    yield reached
    if not reached.well:
        return
    for check in (_resources, _indexes, _consumers, _syncs):
        yield from _guarded(check, session, remedies)


def _home() -> Iterator[Finding]:
    where = instance.place()
    if not where.home.exists():
        return
    free = shutil.disk_usage(where.home).free
    advice = None if free >= _ENOUGH_DISK else f"Make room: {where.home} needs space to grow."
    yield Finding("disk", free >= _ENOUGH_DISK, f"{size(free)} free at {where.home}", advice)
    mode = where.home.stat().st_mode & 0o077
    if mode & 0o007:
        yield Finding("privacy", False, f"{where.home} can be read by everybody.", f"chmod 700 {where.home}")
    if where.record.exists() and instance.running(where) is None:
        detail = "The last server did not end by itself (killed, or the machine went down)."
        yield Finding("process", instance.probe(where) is not None, detail, "Start it again: devlore up")


def _server(session: Session) -> tuple[Finding, _Remedies]:
    try:
        found = session.client.instance()
    except Unreachable as error:
        own = is_loopback(session.client.base_url)
        advice = "Start it: devlore up" if own else "The address comes from --url, DEVLORE_URL or your last sign-in."
        return Finding("server", False, str(error), advice), _OWN
    except Problem as error:
        advice = "Is another program listening there? Set DEVLORE_URL, or DEVLORE_PORT before devlore up."
        return Finding("server", False, str(error), advice), _OWN
    theirs, ours = str(found.get("version")), devlore.__version__
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        detail = f"It is version {theirs}, this command {ours}."
        return Finding("server", False, detail, "Update the older one."), _OWN
    remedies = _TEAMS if found.get("tier") == "team" else _OWN
    return Finding("server", True, f"version {theirs} at {session.client.base_url}"), remedies


def _resources(session: Session, remedies: _Remedies) -> Iterator[Finding]:
    try:
        found = session.client.instance.ready()
    except Problem as error:
        found = error.extra if "resources" in error.extra else {}
        if not found:
            yield Finding("readiness", False, str(error), remedies.away)
    for resource in found.get("resources", []):
        up = bool(resource.get("up"))
        detail = resource.get("detail") or ("answers" if up else "does not answer")
        yield Finding(str(resource.get("name")), up, str(detail), None if up else remedies.away)


def _indexes(session: Session, remedies: _Remedies) -> Iterator[Finding]:
    lag: dict[str, int] = {}
    # What was applied while it was looked at differs no more the second time; trouble does.
    for _ in range(2):
        before, checked = lag, session.client.search.check()
        if checked.clean:
            yield Finding("indexes", True, f"{quantity(checked.memories, 'memory', 'memories')}, every index agrees")
            return
        lag = {index.name: index.lag for index in session.client.search.status().indexes if not index.parked}
        different = [str(index.get("name")) for index in checked.indexes if not index.get("clean")]
        late = {name: lag.get(name) or before.get(name, 0) for name in different}
        if late and all(late.values()):
            behind = ", ".join(f"{name} is {quantity(events, 'event')} behind" for name, events in late.items())
            yield Finding("indexes", True, f"{behind} and still catching up; see devlore status")
            return
        if not late:
            break
    advice = remedies.rebuild if different else remedies.parked
    yield Finding("indexes", False, "; ".join(checked.problems), advice)


def _consumers(session: Session, remedies: _Remedies) -> Iterator[Finding]:
    for index in session.client.search.status().indexes:
        if index.parked:
            detail = f"{quantity(index.parked, 'event')} could not be applied, and wait apart."
            yield Finding(index.name, False, detail, remedies.parked)
        elif index.state == "unavailable":
            yield Finding(index.name, False, index.detail or "It does not answer.", remedies.rebuild)
        else:
            behind = f", {index.lag:,} behind" if index.lag else ""
            yield Finding(index.name, True, f"{index.state}, {quantity(index.documents, 'document')}{behind}")


def _syncs(session: Session, _: _Remedies) -> Iterator[Finding]:
    for connection in session.client.connections.all():
        latest = next(iter(session.client.connections.syncs(connection.id, limit=1).items), None)
        if latest is not None and latest.state == "failed":
            again = f"Repair it and sync again: devlore sync {connection.connector} {connection.config.get('path', '')}"
            yield Finding(f"sync {connection.name}", False, latest.error or "The last sync failed.", again)


_Check = Callable[[Session, _Remedies], Iterator[Finding]]


def _guarded(check: _Check, session: Session, remedies: _Remedies) -> Iterator[Finding]:
    """A check that fails is itself a finding."""
    try:
        yield from check(session, remedies)
    except Unauthenticated as error:
        yield Finding(check.__name__.strip("_"), False, str(error), "Sign in: devlore login")
    except NotAllowed:
        # It concerns every organisation of a team's instance.
        yield Finding(check.__name__.strip("_"), True, "not looked at: that is for whoever runs the server")
    except Problem as error:
        yield Finding(check.__name__.strip("_"), False, str(error), remedies.away)


def _shown(session: Session, finding: Finding) -> Any:
    mark = session.out.style("✓", "green") if finding.well else session.out.style("✗", "red", "bold")
    session.out.line(f"{mark} {finding.check}: {finding.detail}")
    if finding.advice and not finding.well:
        session.out.line(f"    {finding.advice}")
