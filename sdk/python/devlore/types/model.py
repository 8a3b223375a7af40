"""The ground of the language: what every public type shares, its constrained words, pages and problems."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints

KINDS = (
    "decision",
    "bug-fix",
    "snippet",
    "architecture",
    "meeting",
    "insight",
    "tip",
    "documentation",
    "design",
    "ticket",
    "change",
    "incident",
    "question",
    "link",
    "note",
)
"""The kinds every organisation starts with; an organisation may use more."""

TITLE_LIMIT = 500
"""Longest title, in characters."""
BODY_LIMIT = 1_048_576
"""Longest body, in bytes of UTF-8."""
TAGS_LIMIT = 50
"""Most tags of a memory."""
BULK_LIMIT = 1_000
"""Most memories in one bulk request."""

_slug = StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/-]*$", max_length=100)
ALLOW_SECRETS = "Store secrets as they are, whatever the policy; needs the scope `secrets:override` and is audited."
"""What ``allow_secrets`` does, wherever it can be asked for."""

# PostgreSQL's text cannot hold NUL; refusing it here keeps it a 422 with a pointer.
NO_NUL = r"^[^\x00]*$"

Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)]
ProjectSlug = Annotated[str, _slug]
Tag = Annotated[str, StringConstraints(pattern=r"^[^\s,\x00][^,\x00]*$", max_length=100)]
ShortText = Annotated[str, StringConstraints(pattern=NO_NUL, max_length=500)]
Title = Annotated[str, StringConstraints(pattern=NO_NUL, max_length=TITLE_LIMIT, strip_whitespace=True)]
Body = Annotated[str, StringConstraints(pattern=NO_NUL, max_length=BODY_LIMIT)]
Reason = Annotated[str, StringConstraints(pattern=NO_NUL, max_length=2_000, strip_whitespace=True)]


class Privacy(StrEnum):
    """Who may see a memory."""

    PRIVATE = "private"
    TEAM = "team"
    PUBLIC = "public"


class Status(StrEnum):
    """Whether a memory holds now: ``superseded`` was true once, ``invalidated`` never was."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    INVALIDATED = "invalidated"


class Trust(StrEnum):
    """Where a memory's words come from, least trusted last."""

    PERSON = "person"
    CONNECTOR = "connector"
    AGENT = "agent"
    UNTRUSTED = "untrusted"


class LinkType(StrEnum):
    """What a link says: ``<memory> <type> <target>``."""

    RELATES_TO = "relates_to"
    DERIVED_FROM = "derived_from"
    SUPERSEDES = "supersedes"
    CONTRADICTS = "contradicts"
    FIXES = "fixes"
    MENTIONS = "mentions"
    DUPLICATES = "duplicates"
    NEAR_DUPLICATE = "near_duplicate"


class TargetKind(StrEnum):
    """What a link points at."""

    MEMORY = "memory"
    URL = "url"
    COMMIT = "commit"
    FILE = "file"
    TICKET = "ticket"


class Model(BaseModel):
    """Shared behaviour: unknown fields are an error, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Count(Model):
    """How many memories carry a value (a tag, a project, a facet)."""

    value: str
    count: int


T = TypeVar("T")


class Page(Model, Generic[T]):
    """One page; ``next`` is the opaque cursor of the following one, null at the end."""

    items: list[T]
    next: str | None


class ProblemBody(BaseModel):
    """An RFC 9457 problem as it travels; ``errors`` point into the body by JSON pointer (RFC 6901)."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    code: str
    detail: str | None = None
    errors: list[dict[str, Any]] | None = None
