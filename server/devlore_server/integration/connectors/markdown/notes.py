"""A Markdown file read as a note, and a note as a memory."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from datetime import datetime

from devlore.types import TITLE_LIMIT, LinkDraft, LinkType, MemoryDraft, Source, Status, TargetKind, Trust
from devlore_server.integration.connector import linkable, slug
from devlore_server.integration.connectors.markdown.decisions import Standing, standing
from devlore_server.integration.connectors.markdown.document import Document
from devlore_server.integration.connectors.markdown.frontmatter import FrontMatter, moment, split
from devlore_server.integration.connectors.markdown.kinds import kind_of
from devlore_server.integration.connectors.markdown.succession import Place
from devlore_server.ports import IngestDraft

_LINKS = 50
_TAGS = 50
_DATED = re.compile(r"(\d{4})[-_](\d\d)[-_](\d\d)")


@dataclass(frozen=True, slots=True)
class Note:
    """What a file says, before it is known what others say of it. ``written`` is None when it names no date."""

    path: str
    title: str
    body: str
    kind: str
    tags: list[str]
    project: str | None
    author: str | None
    written: datetime | None
    links: list[str]
    standing: Standing
    fault: str | None


def note_of(path: str, text: str, *, home: str = "") -> Note:
    """Read a file. Front matter that cannot be read stays in the body and is named in ``fault``.

    ``home`` is where the folder lies, with a ``/`` at the end: notes in ``docs/adr/`` are decisions, also when
    that is the folder that was named.
    """
    matter, body = split(text)
    document = Document(body)
    kind = kind_of(home + path, matter, document)
    project = matter.text("project")
    return Note(
        path=path,
        title=_title(home + path, matter, document),
        body=(text if matter.fault else body).strip("\n"),
        kind=kind,
        tags=_tags(matter),
        project=slug(project) if project else None,
        author=", ".join(matter.texts("author", "authors", "deciders", "decision-makers"))[:500] or None,
        written=_written(path, matter, document),
        links=document.relative_links[:_LINKS],
        standing=standing(matter, document, decision=kind == "decision"),
        fault=f"Its front matter cannot be read, so it was stored without: {matter.fault}" if matter.fault else None,
    )


def _title(path: str, matter: FrontMatter, document: Document) -> str:
    stem = posixpath.basename(path).rpartition(".")[0]
    if stem.lower() in ("readme", "index") and "/" in path:
        stem = posixpath.basename(posixpath.dirname(path))
    title = matter.text("title") or document.title or re.sub(r"[-_]+", " ", stem).strip() or stem
    title = " ".join(title.split())
    return title if len(title) <= TITLE_LIMIT else title[: TITLE_LIMIT - 1] + "…"


def _tags(matter: FrontMatter) -> list[str]:
    found = matter.texts("tags", "tag", "keywords", "labels")
    if len(found) == 1 and not isinstance(matter.values.get("tags"), list):
        found = re.split(r"[,;]" if re.search(r"[,;]", found[0]) else r"\s+", found[0])
    cleaned = (" ".join(tag.replace(",", " ").split()).lstrip("#").strip()[:100] for tag in found)
    return list(dict.fromkeys(tag for tag in cleaned if tag))[:_TAGS]


def _written(path: str, matter: FrontMatter, document: Document) -> datetime | None:
    said = matter.moment("date", "created", "created-at", "created-on") or moment(document.fact("date"))
    if said is None and (dated := _DATED.search(path)):
        said = moment("-".join(dated.groups()))
    return said


def draft_of(
    note: Note, place: Place, *, identity: str, base: str, project: str | None, changed: datetime
) -> IngestDraft:
    """The memory of a note. ``identity`` leads to its external id, ``base`` to its path in the repository.

    ``changed`` is when the file was last changed, for a note that names no date of its own.
    """
    named = note.project or project
    draft = MemoryDraft(
        title=note.title,
        body=note.body,
        kind=note.kind,
        **({"project": named} if named else {}),  # a project given by hand is not taken away
        tags=note.tags,
        links=_links(note, place, base),
        source=Source(connector="markdown", external_id=identity + note.path, author=note.author),
        occurred_at=note.written or changed,
        trust=Trust.CONNECTOR,
    )
    reason = note.standing.reason
    if place.successor is not None and note.standing.status is Status.ACTIVE:
        reason = f"Superseded by {place.successor}"
    successor = identity + place.successor if place.successor else None
    return IngestDraft(draft, place.status, reason, successor)


def _links(note: Note, place: Place, base: str) -> list[LinkDraft]:
    folder = posixpath.dirname(base + note.path)
    found = [
        LinkDraft(type=LinkType.SUPERSEDES, target_kind=TargetKind.FILE, target=base + old, note="in part")
        for old in place.replaced_partly[:_LINKS]
        if linkable(base + old)
    ]
    for link in note.links:
        path, _, anchor = link.partition("#")
        target = posixpath.normpath(posixpath.join(folder, path.partition("?")[0]))
        # What lies above the repository is somebody's machine, not part of it.
        if path and not target.startswith(("../", "/")) and target not in ("..", "."):
            lines = f"#{anchor}" if re.fullmatch(r"L\d+(?:-L\d+)?", anchor) else ""
            if linkable(target + lines):
                found.append(LinkDraft(target_kind=TargetKind.FILE, target=target + lines))
    return list({(one.type, one.target): one for one in found}.values())
