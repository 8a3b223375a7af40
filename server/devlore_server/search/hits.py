"""Owns the way from what the legs found to a page: order, confirm with the rows, collapse, highlight, explain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple
from uuid import UUID

from prometheus_client import Counter

from devlore.types import Count, Explanation, LegScore, Memory, Replaced, SearchHit, Status
from devlore_server.kit.auth import Principal
from devlore_server.kit.telemetry import REGISTRY
from devlore_server.kit.trusted import trusted
from devlore_server.ports import Memories
from devlore_server.search.bounds import Bounds
from devlore_server.search.documents import author_names
from devlore_server.search.highlight import Marker
from devlore_server.search.legs import Answers
from devlore_server.search.place import Listed, Place
from devlore_server.search.rank import Ranked, Traits, adjust, collapse, fuse
from devlore_server.search.successors import in_force

BLOCK = 20
"""Candidates that are confirmed and ordered together. The same for every page, so that pages join without overlap."""
FACET_VALUES = 20

_DROPPED = Counter(
    "devlore_search_dropped_hits", "Hits that Memories.visible did not confirm; 0 in steady state.", registry=REGISTRY
)
_UUID_LENGTH = 36
_COMPARED = 500
_ROUNDING = 1e-6


class Hit(NamedTuple):
    """A ranked memory as its row has it; `replaced` is the one that matched, where that leads to it."""

    ranked: Ranked
    memory: Memory
    replaced: Memory | None = None


@dataclass(slots=True)
class Shown:
    """The hits of one page, and the place to go on from; None at the end."""

    hits: list[Hit]
    next: Place | None


async def shown(
    memories: Memories, who: Principal, answers: Answers, bounds: Bounds, place: Place, limit: int
) -> Shown:
    """The next `limit` hits in order, confirmed by their rows; what is dropped is made up for."""
    if answers.listing is not None:
        return await _listed(memories, who, answers.listing, bounds, place, limit)
    return await _ranked(memories, who, fuse(answers.arms), bounds, place, limit)


async def _ranked(
    memories: Memories, who: Principal, candidates: Sequence[Ranked], bounds: Bounds, place: Place, limit: int
) -> Shown:
    """Works block by block from the start, because a block's order and near-duplicates depend on those before it."""
    done = 0
    ordered: list[Ranked] = []
    found: dict[UUID, Hit] = {}
    page: list[Ranked] = []
    while done < len(candidates) and len(page) <= limit:
        missing = len(place.shown) - len(ordered) + limit
        block = candidates[done : done + max(1, -(-missing // BLOCK)) * BLOCK]
        done += len(block)
        confirmed = await _confirmed(memories, who, block, bounds)
        for start in range(0, len(block), BLOCK):
            fresh = _fresh(block[start : start + BLOCK], confirmed, found)
            found |= fresh
            traits = {id: _traits(hit.memory) for id, hit in fresh.items()}
            ordered += adjust([hit.ranked for hit in fresh.values()], traits, place.moment)
        texts = _alike({id: hit.memory for id, hit in found.items()})
        page = [hit for hit in collapse(ordered, texts) if not place.was_shown(hit.id)]
    more = len(page) > limit or done < len(candidates)
    page = page[:limit]
    return Shown(
        [found[ranked.id]._replace(ranked=ranked) for ranked in page],
        place.after(ranked.id for ranked in page) if page and more else None,
    )


def _fresh(block: Sequence[Ranked], confirmed: Mapping[UUID, Hit], found: Mapping[UUID, Hit]) -> dict[UUID, Hit]:
    """The confirmed hits of a block in order, by memory; one that is found itself and led to has the better place."""
    fresh: dict[UUID, Hit] = {}
    for candidate in block:
        hit = confirmed.get(candidate.id)
        if hit is not None and hit.memory.id not in found:
            fresh.setdefault(hit.memory.id, hit)
    return fresh


async def _listed(
    memories: Memories, who: Principal, listing: Sequence[Listed], bounds: Bounds, place: Place, limit: int
) -> Shown:
    """Without words: newest first, nothing to rank or collapse."""
    seen = await _visible(memories, who, [id for _, id in listing])
    rows = {memory.id: memory for memory in seen if bounds.admit(memory)}
    kept = [one for one in listing if one[1] in rows]
    page = kept[:limit]
    # Everything may have been dropped: then the next page begins behind what was looked at.
    last = page[-1] if len(kept) > limit else listing[-1] if len(listing) > limit else None
    hits = [Hit(Ranked(id, 0.0, 0.0, ()), rows[id]) for _, id in page]
    return Shown(hits, replace(place, behind=last) if last else None)


def _alike(rows: Mapping[UUID, Memory]) -> dict[UUID, str]:
    """The texts of those rows that share half their first words with another: only they can be near-duplicates.

    Comparing all texts in full took longer than the rest of a search.
    """
    words = [(id, set(f"{row.body[:_COMPARED] or row.title}".split())) for id, row in rows.items()]
    words.sort(key=lambda one: len(one[1]))
    alike: set[UUID] = set()
    for place, (one, mine) in enumerate(words):
        most = 2 * len(mine)
        for other, theirs in words[place + 1 :]:
            if len(theirs) > most:
                break  # so is every later one
            if 2 * len(mine & theirs) >= len(theirs):
                alike |= {one, other}
    return {id: f"{rows[id].title}\n{rows[id].body}" for id in alike}


def hits(found: Sequence[Hit], marker: Marker, answers: Answers, explain: bool) -> list[SearchHit]:
    """Ranked rows as the language has them; rows were validated when they were written, so not again here."""
    return [
        trusted(
            SearchHit,
            {
                "memory": memory,
                "instead_of": Replaced.model_construct(id=replaced.id, title=replaced.title) if replaced else None,
                "score": round(ranked.score, 6),
                "highlights": marker.highlights(memory, answers.spans.get(memory.id)),
                "duplicates": ranked.duplicates,
                "explanation": _explanation(ranked, answers) if explain else None,
            },
        )
        for ranked, memory, replaced in found
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


async def _confirmed(
    memories: Memories, who: Principal, candidates: Sequence[Ranked], bounds: Bounds
) -> dict[UUID, Hit]:
    """What to show for each candidate, by its id: its own row, or that of what holds in its place."""
    ranked = {candidate.id: candidate for candidate in candidates}
    seen = await _visible(memories, who, list(ranked))
    shown = {memory.id: Hit(ranked[memory.id], memory) for memory in seen if bounds.admit(memory)}
    if not bounds.leads:
        return shown
    past = bounds.superseded()
    replaced = [memory for memory in seen if memory.id not in shown and past.admit(memory)]
    successors = await in_force(memories, who, replaced)
    for memory in replaced:
        successor = successors.get(memory.id)
        if successor is not None and bounds.admit(successor):
            led = ranked[memory.id]._replace(id=successor.id, matched=memory.id)
            shown[memory.id] = Hit(led, successor, memory)
    return shown


async def _visible(memories: Memories, who: Principal, ids: list[UUID]) -> list[Memory]:
    """The rows among `ids` that the caller may see, as they are now.

    They may have left the bounds since they were indexed; that is lag, not a leak.
    """
    found = await memories.visible(who, ids) if ids else []
    if missing := len(ids) - len(found):
        _DROPPED.inc(missing)
    return found


def _traits(memory: Memory) -> Traits:
    return Traits(memory.occurred_at, memory.importance, memory.pinned, memory.status is Status.ACTIVE)


def _explanation(ranked: Ranked, answers: Answers) -> Explanation:
    legs = [
        LegScore.model_construct(leg=arm.arm, rank=arm.rank, score=arm.score, contribution=round(arm.contribution, 6))
        for arm in ranked.arms
    ]
    factors = {name: round(factor, 6) for name, factor in ranked.factors.items()}
    together = ranked.relevance * prod(ranked.factors.values())
    if together and abs(ranked.score / together - 1) > _ROUNDING:
        factors["bound"] = round(ranked.score / together, 6)  # all factors together are held within a share
    # The legs speak of what matched; its passage is in a text that is not shown.
    passage = None if ranked.matched else answers.spans.get(ranked.id)
    return Explanation.model_construct(legs=legs, factors=factors, passage=passage)


def _is_id(value: str) -> bool:
    if len(value) != _UUID_LENGTH:
        return False
    try:
        UUID(value)
    except ValueError:
        return False
    return True
