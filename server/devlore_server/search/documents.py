"""Owns what of a memory goes into the indexes, and who may find it there."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from devlore.events import Event
from devlore.types import Memory, Privacy
from devlore_server.search.lexical import LexicalDocument
from devlore_server.search.passages import Passage, split
from devlore_server.search.vectors import Attributes

_NAME_AND_ADDRESS = re.compile(r"(.+?)\s*<([^<>]+)>")


@dataclass(frozen=True, slots=True)
class Change:
    """The newest state of a memory an index has to know: its content, or that version `version` of it is gone."""

    organisation: UUID
    id: UUID
    version: int
    memory: Memory | None


def changes(events: Sequence[Event]) -> list[Change]:
    """What a batch of events comes to, one change per memory: the one of the highest version."""
    newest: dict[tuple[UUID, UUID], Event] = {}
    for event in events:
        held = newest.get((event.organisation_id, event.subject))
        if held is None or held.version < event.version:
            newest[event.organisation_id, event.subject] = event
    return [_change(event) for event in newest.values()]


def change_of(memory: Memory) -> Change:
    """The change that a row as it stands comes to. End-to-end encrypted content is in no index."""
    searchable = memory.deleted_at is None and memory.encryption is None
    return Change(memory.organisation_id, memory.id, memory.version, memory if searchable else None)


def audience(memory: Memory) -> tuple[str, UUID]:
    """Who may find a memory: the kind of audience (`o`, `t` or `p`) and its id."""
    if memory.privacy is Privacy.PUBLIC:
        return "o", memory.organisation_id
    if memory.privacy is Privacy.TEAM and memory.team_id is not None:
        return "t", memory.team_id
    return "p", memory.created_by


def author_names(author: str) -> list[str]:
    """The names an author goes by, first as written: `Ada L <ada@x.org>` is also `ada l` and `ada@x.org`."""
    names = [author, author.lower()]
    if parts := _NAME_AND_ADDRESS.fullmatch(author):
        names += [parts[1].lower(), parts[2].lower()]
    return list(dict.fromkeys(names))


def lexical_document(memory: Memory) -> LexicalDocument:
    """A memory as the lexical index takes it."""
    kind, id = audience(memory)
    return LexicalDocument(
        id=memory.id,
        version=memory.version,
        organisation=memory.organisation_id,
        access=f"{kind}:{id}",
        title=memory.title,
        body=memory.body,
        passages=[passage.text for passage in split(memory.title, memory.body)],
        kind=memory.kind,
        status=memory.status.value,
        privacy=memory.privacy.value,
        created_at=memory.created_at,
        occurred_at=memory.occurred_at,
        project=memory.project,
        tags=memory.tags,
        authors=_authors(memory),
        team=memory.team_id,
        source=memory.source.connector if memory.source else None,
        valid_from=memory.valid_from,
        valid_to=memory.valid_to,
    )


def attributes(memory: Memory) -> Attributes:
    """What the vector index filters a memory by."""
    return Attributes(
        access=audience(memory)[1],
        kind=memory.kind,
        project=memory.project,
        tag=memory.tags,
        author=_authors(memory),
        team=str(memory.team_id) if memory.team_id else None,
        source=memory.source.connector if memory.source else None,
        privacy=memory.privacy.value,
        status=memory.status.value,
        occurred_at=memory.occurred_at,
        valid_from=memory.valid_from,
        valid_to=memory.valid_to,
    )


def passages(memory: Memory) -> list[Passage]:
    """The passages of a memory that are embedded; one without words has none."""
    return split(memory.title, memory.body)


def digest(memory: Memory) -> bytes:
    """Tells whether title or body changed; says nothing about what they are."""
    return hashlib.blake2b(f"{memory.title}\0{memory.body}".encode(), digest_size=16).digest()


def _authors(memory: Memory) -> list[str]:
    written = memory.source.author if memory.source else None
    return [*(author_names(written) if written else ()), str(memory.created_by)]


def _change(event: Event) -> Change:
    if event.type in ("memory.deleted", "memory.purged") or "memory" not in event.data:
        return Change(event.organisation_id, event.subject, event.version, None)
    return change_of(Memory.model_validate(event.data["memory"]))
