"""Erased means erased: of an organisation whose deletion has become final no table holds a word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from devlore.types import (
    ConnectionDraft,
    InvitationDraft,
    MemoryDraft,
    OrganisationPatch,
    Privacy,
    ServiceAccountDraft,
    TeamDraft,
)
from devlore_server.gateway.reactions import StoredAnswers
from devlore_server.integration.departures import Disconnections
from devlore_server.integration.reactions import IntegrationReactions
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.log import START, EventLog
from devlore_server.memory.departures import Departures
from devlore_server.memory.reactions import DepartureReactions
from devlore_server.memory.service import MemoryService
from devlore_server.subscriptions import GATEWAY_ANSWERS, INTEGRATION_DEPARTURES, MEMORY_DEPARTURES
from tests.identity.directory import Directory, Time
from tests.test_erasure import CANARY, tables_with

HELD_BEFORE = {
    "identity.organisation",
    "identity.team",
    "identity.person",
    "identity.invitation",
    "identity.departure",
    "audit.pseudonym",
    "integration.connection",
    "memory.memory",
    "log.event",
}


async def test_an_organisation_that_is_gone_leaves_no_word_in_any_table(
    database: Database, log: EventLog, owner_url: str, tmp_path: Path
) -> None:
    directory = Directory(database, log, owner_url, Time())
    owner, stranger = await directory.found(), await directory.found("Globex")
    await _fill(directory, owner, tmp_path)
    await _fill(directory, stranger, tmp_path, word="elsewhere")
    assert tables_with(owner_url, CANARY) >= HELD_BEFORE
    elsewhere = tables_with(owner_url, "elsewhere")
    await directory.organisations.delete(owner, owner.organisation)
    directory.time.forward(days=31)
    assert await directory.organisations.erase_due() == 1
    await _react(database, log)
    assert tables_with(owner_url, CANARY) == set()
    held = tables_with(owner_url, str(owner.organisation))
    assert held == {"audit.leaf", *_months(), "log.event"}, "that it was there, and when, stays known"
    assert tables_with(owner_url, "elsewhere") == elsewhere


async def _fill(directory: Directory, owner: Principal, folder: Path, *, word: str = CANARY) -> None:
    """Put the word wherever an organisation can say it."""
    organisation = owner.organisation
    await directory.organisations.edit(owner, organisation, OrganisationPatch(name=word), None)
    await directory.teams.create(owner, TeamDraft(name=word))
    await directory.people.create(owner, ServiceAccountDraft(name=word))
    leaver = await directory.people.create(owner, ServiceAccountDraft(name=f"{word} leaver"))
    await directory.people.remove(owner, leaver.id)
    await directory.invitations.create(owner, organisation, InvitationDraft(email=f"{word}@example.org"))
    memories = MemoryService(directory.database, directory.log)
    for privacy in (Privacy.PRIVATE, Privacy.PUBLIC):
        await memories.create(owner, MemoryDraft(title=word, privacy=privacy))
    source = folder / word
    source.mkdir()
    service = IntegrationService(directory.database, memories, local=True)
    await service.connect(owner, ConnectionDraft(connector="markdown", config={"path": str(source)}))


async def _react(database: Database, log: EventLog) -> None:
    """Give every service the events it reads, once."""
    memories = MemoryService(database, log)
    for subscription, apply in (
        (MEMORY_DEPARTURES, DepartureReactions(Departures(database, log)).settle),
        (INTEGRATION_DEPARTURES, IntegrationReactions(Disconnections(database, memories)).disconnect),
        (GATEWAY_ANSWERS, StoredAnswers(database).erase),
    ):
        events = [event for _, event in await log.read(START, subscription.types, 100)]
        await apply([event.model_copy(update={"occurred_at": _soon()}) for event in events])


def _soon() -> datetime:
    # The directory's clock was moved, the services' were not.
    return datetime.now(UTC) + timedelta(days=32)


def _months() -> set[str]:
    now = datetime.now(UTC)
    return {f"audit.leaf_{moment:%Y_%m}" for moment in (now, now + timedelta(days=31))}
