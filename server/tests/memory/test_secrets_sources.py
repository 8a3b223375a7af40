"""Secrets in what connectors bring: masked on the way in, and the same item as before at the next sync."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

import pytest

from devlore.types import LinkDraft, MemoryDraft, Source, Status, TargetKind
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.memory.secrets.screen import OVERRIDE, Screen
from devlore_server.memory.service import Filters, MemoryService
from devlore_server.ports import Ingest, IngestDraft
from tests.kit.audited import leaves
from tests.memory.secrets_formats import checked
from tests.memory.stored import everything_stored

TOKEN = checked(Random(11), "gh" + "p_")
OTHER = checked(Random(12), "gh" + "p_")
SAID = f"It failed with {TOKEN} today."


@pytest.fixture
def screen(database: Database) -> Screen:
    return Screen(database, b"the secret of this instance, long enough")


@pytest.fixture
def service(database: Database, log: EventLog, screen: Screen) -> MemoryService:
    return MemoryService(database, log, screen=screen)


@pytest.fixture
def marker(screen: Screen, who: Principal) -> str:
    """What takes the place of TOKEN in the organisation of ``who``."""
    return f"[[secret:github:token:{screen.fingerprint(who.organisation, TOKEN.encode())}]]"


def batch(*drafts: IngestDraft, connection: UUID, deleted: list[str] | None = None) -> Ingest:
    return Ingest(connection, "markdown", list(drafts), deleted or [], {"at": 1})


def item(name: str, body: str, **more: Any) -> IngestDraft:
    source = Source(connector="markdown", external_id=name, updated_at=datetime(2026, 3, 2, tzinfo=UTC))
    return IngestDraft(MemoryDraft(title="note", body=body, source=source, **more))


async def test_a_source_with_secrets_is_unchanged_when_it_comes_again(
    service: MemoryService, who: Principal, marker: str, owner_url: str
) -> None:
    connection = new_id()
    link = LinkDraft(target_kind=TargetKind.FILE, target=f"a/{TOKEN}.md", note=TOKEN)
    brought = replace(item(f"notes/{TOKEN}.md", SAID, links=[link]), status=Status.INVALIDATED, status_reason=TOKEN)
    first = await service.ingest(who, batch(brought, connection=connection))
    assert (first.created, first.refused) == (1, [])
    again = await service.ingest(who, batch(brought, connection=connection))
    assert (again.unchanged, again.updated) == (1, 0)
    assert TOKEN not in everything_stored(owner_url)
    assert f"notes/{marker}.md" in everything_stored(owner_url)
    assert len([leaf for leaf in leaves(owner_url) if leaf["action"] == "secret.redacted"]) == 1
    rotated = replace(brought, draft=brought.draft.model_copy(update={"body": SAID.replace(TOKEN, OTHER)}))
    assert (await service.ingest(who, batch(rotated, connection=connection))).updated == 1
    gone = await service.ingest(who, batch(connection=connection, deleted=[f"notes/{TOKEN}.md"]))
    assert gone.deleted == 1


async def test_a_source_cannot_override_and_keeps_its_names_under_every_policy(
    service: MemoryService, who: Principal, marker: str
) -> None:
    trusted = replace(who, scopes=who.scopes | {OVERRIDE})
    connection = new_id()
    await service.screen.policies.change(who, "flag")
    brought = item(f"{TOKEN}.md", SAID, allow_secrets=True)
    assert (await service.ingest(trusted, batch(brought, connection=connection))).created == 1
    await service.screen.policies.change(who, "redact")
    assert (await service.ingest(who, batch(brought, connection=connection))).updated == 1
    await service.screen.policies.change(who, "block")
    refused = await service.ingest(who, batch(brought, connection=connection))
    assert refused.refused == [(f"{marker}.md", "/body: This holds a secret (github:token).")]
    assert await service.masked(who, [f"{TOKEN}.md", "plain.md"]) == [f"{marker}.md", "plain.md"]


async def test_a_successor_whose_name_holds_a_secret_is_found(service: MemoryService, who: Principal) -> None:
    old = replace(item("old.md", "old"), status=Status.SUPERSEDED, superseded_by=f"{TOKEN}.md")
    await service.ingest(who, batch(old, item(f"{TOKEN}.md", "new"), connection=new_id()))
    found = {one.body: one for one in await service.page(who, Filters(), 10)}
    assert found["old"].superseded_by == found["new"].id
