"""Owns the way from what the legs found to a page: order, confirm with the rows, collapse, highlight, explain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from uuid import UUID

from prometheus_client import Counter

from devlore.types import Count, Explanation, LegScore, Memory, SearchHit, Status
from devlore_server.kit.auth import Principal
from devlore_server.kit.telemetry import REGISTRY
from devlore_server.ports import Memories
from devlore_server.search.bounds import Bounds
from devlore_server.search.documents import author_names
from devlore_server.search.highlight import Marker
from devlore_server.search.legs import Answers
from devlore_server.search.rank import Ranked, Traits, adjust, collapse, fuse

BLOCK = 20
"""Candidates that are confirmed and ordered together. The same for every page, so that pages join without overlap."""
FACET_VALUES = 20

_DROPPED = Counter(
    "devlore_search_dropped_hits", "Hits that Memories.visible did not confirm; 0 in steady state.", registry=REGISTRY
)
_UUID_LENGTH = 36
_COMPARED = 500


@dataclass(slots=True)
class Shown:
    """The hits of one page, and the place in the order to go on from; None at the end."""

    hits: list[tuple[Ranked, Memory]]
    next: int | None


async def shown(
    memories: Memories, who: Principal, answers: Answers, bounds: Bounds, now: datetime, offset: int, limit: int
) -> Shown:
    """Hits `offset` to `offset + limit` in order, confirmed by their rows; what is dropped is made up for.

    Works block by block from the start, because a block's order and near-duplicates depend on the blocks before it.
    """
    candidates = _candidates(answers)
    wanted, done = offset + limit, 0
    ordered: list[Ranked] = []
    rows: dict[UUID, Memory] = {}
    collapsed: list[Ranked] = []
    while done < len(candidates) and len(collapsed) <= wanted:
        blocks = max(1, -(-(wanted - len(collapsed)) // BLOCK))
        block = candidates[done : done + blocks * BLOCK]
        done += len(block)
        confirmed = await _confirmed(memories, who, block, bounds)
        rows |= confirmed
        for start in range(0, len(block), BLOCK):
            ordered += _ordered([h for h in block[start : start + BLOCK] if h.id in confirmed], confirmed, answers, now)
        collapsed = collapse(ordered, _alike(rows)) if answers.listing is None else ordered
    page = collapsed[offset:wanted]
    more = len(collapsed) > wanted or done < len(candidates)
    return Shown([(hit, rows[hit.id]) for hit in page], wanted if page and more else None)


def _alike(rows: Mapping[UUID, Memory]) -> dict[UUID, str]:
    """The texts of those rows that share half their first words with another: only they can be near-duplicates.

    Comparing all texts in full took longer than the rest of a search.
    """
    words = {id: frozenset(f"{row.body[:_COMPARED] or row.title}".split()) for id, row in rows.items()}
    alike: set[UUID] = set()
    for (one, mine), (other, theirs) in combinations(words.items(), 2):
        if 2 * len(mine & theirs) >= max(len(mine), len(theirs)):
            alike |= {one, other}
    return {id: f"{rows[id].title}\n{rows[id].body}" for id in alike}


def hits(found: Sequence[tuple[Ranked, Memory]], marker: Marker, answers: Answers, explain: bool) -> list[SearchHit]:
    """Ranked rows as the language has them; rows were validated when they were written, so not again here."""
    return [
        SearchHit.model_construct(
            memory=memory,
            score=round(ranked.score, 6),
            highlights=marker.highlights(memory, answers.spans.get(memory.id)),
            duplicates=ranked.duplicates,
            explanation=_explanation(ranked, answers) if explain else None,
        )
        for ranked, memory in found
    ]


def facet_counts(answers: Answers) -> dict[str, list[Count]]:
    """Facets as counts. An author is counted once, under the name as written."""
    counted = {}
    for name, values in answers.facets.items():
        others = {other for author in values for other in author_names(author)[1:]} if name == "author" else set()
        named = [(v, n) for v, n in values.items() if v not in others and not (name == "author" and _is_id(v))]
        kept = named[:FACET_VALUES]
        counted[name] = [Count.model_construct(value=value, count=count) for value, count in kept]
    return counted


def _candidates(answers: Answers) -> list[Ranked]:
    if answers.listing is None:
        return fuse(answers.arms)
    return [Ranked(id, 0.0, 0.0, ()) for id in answers.listing]


async def _confirmed(memories: Memories, who: Principal, block: Sequence[Ranked], bounds: Bounds) -> dict[UUID, Memory]:
    """The rows of a block that the caller may see, as they are now."""
    found = await memories.visible(who, [hit.id for hit in block])
    if missing := len(block) - len(found):
        _DROPPED.inc(missing)
    # A row may have left the bounds since it was indexed; that is lag, not a leak.
    return {memory.id: memory for memory in found if bounds.admit(memory)}


def _ordered(block: list[Ranked], rows: dict[UUID, Memory], answers: Answers, now: datetime) -> list[Ranked]:
    if answers.listing is not None:
        return block
    return adjust(block, {hit.id: _traits(rows[hit.id]) for hit in block}, now)


def _traits(memory: Memory) -> Traits:
    return Traits(memory.occurred_at, memory.importance, memory.pinned, memory.status is Status.ACTIVE)


def _explanation(ranked: Ranked, answers: Answers) -> Explanation:
    legs = [
        LegScore.model_construct(leg=arm.arm, rank=arm.rank, score=arm.score, contribution=round(arm.contribution, 6))
        for arm in ranked.arms
    ]
    factors = {name: round(factor, 6) for name, factor in ranked.factors.items()}
    return Explanation.model_construct(legs=legs, factors=factors, passage=answers.spans.get(ranked.id))


def _is_id(value: str) -> bool:
    if len(value) != _UUID_LENGTH:
        return False
    try:
        UUID(value)
    except ValueError:
        return False
    return True
