"""What a draft or patch must satisfy beyond its types: sizes in bytes, times PostgreSQL can hold, teams."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from devlore.problems import Invalid, NotAllowed
from devlore.types import BODY_LIMIT, Memory, MemoryDraft, MemoryPatch, Privacy, TargetKind
from devlore_server.kit.auth import Principal

# A day inside what both PostgreSQL and Python hold, so that no time zone can push a stored time out of range.
_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
_LATEST = datetime(9999, 12, 30, tzinfo=UTC)
_NULLABLE = {"project", "team_id"}
KEY_LIMIT = 2_000
"""Longest value that is part of a key, in bytes of UTF-8: an entry of PostgreSQL's B-tree has 2,704 at most."""

NO_SUCH_TEAM = "You are not a member of such a team."
NO_SUCH_MEMORY = "There is no such memory."


def refuse(pointer: str, detail: str) -> Invalid:
    """A problem with one place of the input."""
    return refuse_all([(pointer, detail)])


def refuse_all(found: list[tuple[str, str]]) -> Invalid:
    """A problem with several places of the input, first one in the detail."""
    pointer, detail = found[0]
    return Invalid(f"{pointer}: {detail}", errors=[{"pointer": where, "detail": what} for where, what in found])


def check_draft(who: Principal, draft: MemoryDraft) -> Invalid | None:
    """Why a draft cannot be stored, or None; links to memories are looked up elsewhere."""
    found = [
        *_check_body(draft.body),
        *check_time("/occurred_at", draft.occurred_at),
        *check_time("/valid_from", draft.valid_from),
        *check_time("/source/updated_at", draft.source.updated_at if draft.source else None),
        *_check_team(who, draft.privacy, draft.team_id),
        *check_key("/source/external_id", draft.source.external_id if draft.source else None),
        *_check_targets(draft),
    ]
    return refuse_all(found) if found else None


def check_patch(who: Principal, before: Memory, patch: MemoryPatch) -> dict[str, Any]:
    """The fields a patch changes, with their new values; raises ``Invalid`` or ``NotAllowed``."""
    sent = {name: getattr(patch, name) for name in patch.model_fields_set - {"allow_secrets"}}
    found = [
        (f"/{name}", "This field cannot be null.")
        for name, value in sorted(sent.items())
        if value is None and name not in _NULLABLE
    ]
    found += _check_body(sent.get("body") or "")
    found += check_time("/occurred_at", sent.get("occurred_at"))
    if not found and "occurred_at" in sent:
        sent["occurred_at"] = sent["occurred_at"].astimezone(UTC)
    if sent.get("tags"):
        sent["tags"] = list(dict.fromkeys(sent["tags"]))
    changed = {name: value for name, value in sent.items() if value != getattr(before, name)}
    if not found and changed.keys() & {"privacy", "team_id"}:
        found += _check_team(who, changed.get("privacy", before.privacy), changed.get("team_id", before.team_id))
        if before.created_by != who.person and not found:
            raise NotAllowed("Only its author may change who sees a memory.")
    if found:
        raise refuse_all(found)
    # Unless somebody set it apart, a memory is valid from when it happened.
    if "occurred_at" in changed and before.valid_from == before.occurred_at:
        changed["valid_from"] = changed["occurred_at"]
    return changed


def memory_targets(draft: MemoryDraft) -> set[UUID]:
    """The memories a checked draft links to."""
    return {UUID(link.target) for link in draft.links if link.target_kind is TargetKind.MEMORY}


def check_visible(draft: MemoryDraft, visible: set[UUID]) -> Invalid | None:
    """Why a checked draft's links cannot be stored: a target that is absent or not the caller's to see."""
    found = [
        (f"/links/{index}/target", NO_SUCH_MEMORY)
        for index, link in enumerate(draft.links)
        if link.target_kind is TargetKind.MEMORY and UUID(link.target) not in visible
    ]
    return refuse_all(found) if found else None


def check_key(pointer: str, value: str | None) -> list[tuple[str, str]]:
    """Why a value cannot be part of a key: it is too long in bytes."""
    if value is not None and len(value) * 4 > KEY_LIMIT and len(value.encode()) > KEY_LIMIT:
        return [(pointer, f"This has at most {KEY_LIMIT} bytes of UTF-8.")]
    return []


def _check_body(body: str) -> list[tuple[str, str]]:
    # Only a body long enough to pass the limit in 4-byte characters is worth encoding.
    if len(body) * 4 > BODY_LIMIT and len(body.encode()) > BODY_LIMIT:
        return [("/body", f"A body has at most {BODY_LIMIT} bytes of UTF-8.")]
    return []


def check_time(pointer: str, moment: datetime | None) -> list[tuple[str, str]]:
    """Why a time cannot be stored: PostgreSQL or Python could not hold it in every time zone."""
    if moment is not None and not _EARLIEST <= moment <= _LATEST:
        return [(pointer, "A time lies between the years 1 and 9999.")]
    return []


def _check_team(who: Principal, privacy: Privacy, team: UUID | None) -> list[tuple[str, str]]:
    if privacy is Privacy.TEAM and team is None:
        return [("/team_id", "A memory for a team names its team.")]
    if team is not None and team not in who.teams:
        return [("/team_id", NO_SUCH_TEAM)]
    return []


def _check_targets(draft: MemoryDraft) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for index, link in enumerate(draft.links):
        pointer = f"/links/{index}/target"
        if link.target_kind is not TargetKind.MEMORY:
            found += check_key(pointer, link.target)
            continue
        try:
            UUID(link.target)
        except ValueError:
            found.append((pointer, "A link to a memory names its id."))
    return found
