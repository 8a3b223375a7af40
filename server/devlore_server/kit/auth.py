"""Who is asking: the authenticated context every service call carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

NIL = UUID(int=0)
"""The organisation and person of nobody; row-level security matches no row for it."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller, made by the gateway only; never from a body or a query."""

    organisation: UUID
    person: UUID
    teams: frozenset[UUID] = field(default_factory=frozenset)
    scopes: frozenset[str] = field(default_factory=frozenset)
    session: str | None = None

    def __post_init__(self) -> None:
        if self.organisation == NIL:
            raise ValueError("a Principal needs an organisation")

    @property
    def access_tokens(self) -> list[str]:
        """The index tokens this caller may read: own, team's, organisation's."""
        return [f"o:{self.organisation}", *sorted(f"t:{t}" for t in self.teams), f"p:{self.person}"]
