"""Who reacts to which event: the whole page. The writer of an event does not know its readers; this table does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devlore.events import EventType

MEMORY_CHANGES: Final[tuple[EventType, ...]] = (
    "memory.created",
    "memory.updated",
    "memory.deleted",
    "memory.restored",
    "memory.purged",
)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A consumer by its name in the log, the role that runs it, and the events it is given, in log order."""

    consumer: str
    role: str
    types: tuple[EventType, ...]
    purpose: str


SEARCH_LEXICAL: Final = Subscription(
    "search.lexical", "search", MEMORY_CHANGES, "writes the full-text index; its cursor lies beside the index on disk"
)
SEARCH_VECTOR: Final = Subscription(
    "search.vector", "search", MEMORY_CHANGES, "embeds passages, stores vectors, reports near-duplicates"
)
MEMORY_NEAR_DUPLICATES: Final = Subscription(
    "memory.near_duplicates", "memory", ("search.near_duplicates_found",), "stores near-duplicates as scored links"
)
MEMORY_DEPARTURES: Final = Subscription(
    "memory.departures",
    "memory",
    ("identity.departure_settled", "identity.organisation_erased"),
    "hands over or erases the private memories of those who left, erases those of an organisation that is gone",
)
INTEGRATION_DEPARTURES: Final = Subscription(
    "integration.departures",
    "integration",
    ("identity.member_removed", "identity.organisation_erased"),
    "disconnects the sources of those who left, and of an organisation that is gone",
)
GATEWAY_ANSWERS: Final = Subscription(
    "gateway.answers",
    "gateway",
    ("memory.purged", "identity.organisation_erased"),
    "erases the answers stored under idempotency keys about a memory, and those of an organisation that is gone",
)

SUBSCRIPTIONS: Final = (
    SEARCH_LEXICAL,
    SEARCH_VECTOR,
    MEMORY_NEAR_DUPLICATES,
    MEMORY_DEPARTURES,
    INTEGRATION_DEPARTURES,
    GATEWAY_ANSWERS,
)
