"""Owns the description of the indexes for whoever looks after them: how far, how fast, what holds them up."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from devlore.types import IndexStatus, SearchStatus
from devlore_server.kit.auth import Principal
from devlore_server.kit.log import Consumer
from devlore_server.search.bounded import NO_FILTERS
from devlore_server.search.bounds import Bounds
from devlore_server.search.lexical import IndexUnusable
from devlore_server.search.models import Models
from devlore_server.search.progress import Progress
from devlore_server.search.rebuild import LexicalRebuild, VectorRebuild
from devlore_server.search.replica import LexicalReplica
from devlore_server.search.vectors import VectorIndex

LEXICAL_INDEX, VECTOR_INDEX = "search.lexical", "search.vector"


class Gauges:
    """The progress of both consumers, shared by those who make it and those who report it."""

    def __init__(self) -> None:
        self.lexical = Progress()
        self.vector = Progress()


async def describe(
    replica: LexicalReplica,
    vectors: VectorIndex,
    models: Models,
    consumers: Sequence[Consumer],
    lexical_rebuild: LexicalRebuild,
    vector_rebuild: VectorRebuild,
    gauges: Gauges,
) -> SearchStatus:
    """The state of every index, and of the running or last rebuild."""
    behind = {consumer.name: (await consumer.lag(), await consumer.parked()) for consumer in consumers}
    lexical = await _lexical(replica, lexical_rebuild, gauges.lexical, behind.get(LEXICAL_INDEX, (0, 0)))
    vector = await _vector(vectors, models, gauges.vector, behind.get(VECTOR_INDEX, (0, 0)))
    active = models.active.embedder.model if models.active else models.configured
    return SearchStatus(
        indexes=[lexical, vector], embedder=active, rebuild=await _rebuild(vector_rebuild, lexical_rebuild)
    )


async def narrowed(
    status: SearchStatus,
    who: Principal,
    replica: LexicalReplica,
    vectors: VectorIndex,
    models: Models,
    consumers: Sequence[Consumer],
) -> SearchStatus:
    """What of the state of the instance is for one caller: their own memories, nothing of what others remember."""
    waiting = {consumer.name: await consumer.lag_seen(who) for consumer in consumers}
    held = {
        LEXICAL_INDEX: await _words_seen(replica, who),
        VECTOR_INDEX: await vectors.seen(models.active.model, who) if models.active else 0,
    }
    return SearchStatus(
        indexes=[
            IndexStatus(
                name=one.name,
                state="ready" if one.state == "catching-up" and not waiting.get(one.name) else one.state,
                documents=held[one.name],
                lag=waiting.get(one.name, 0),
                parked=0,
                model=one.model,
            )
            for one in status.indexes
        ],
        # One that is not loaded yet is known by its setting, which may hold an address.
        embedder=status.embedder if models.active else "",
        rebuild=None,
    )


async def _words_seen(replica: LexicalReplica, who: Principal) -> int:
    everything = Bounds(NO_FILTERS).lexical(who, "")
    try:
        # Each memory has one privacy, so these counts add up to all of them.
        counted = await replica.search(lambda index: index.facets(everything, ["privacy"]))
    except IndexUnusable:
        return 0
    return sum(counted["privacy"].values())


async def _lexical(
    replica: LexicalReplica, rebuild: LexicalRebuild, progress: Progress, behind: tuple[int, int]
) -> IndexStatus:
    lag, parked = behind
    index = replica.current
    if index is None:
        left = max(0, rebuild.total - rebuild.done)
        return IndexStatus(
            name=LEXICAL_INDEX,
            state="rebuilding" if rebuild.running else "unavailable",
            documents=rebuild.done,
            lag=lag,
            parked=parked,
            rate=rebuild.progress.rate(),
            eta_seconds=rebuild.progress.eta(left),
            detail=replica.fault,
        )
    return IndexStatus(
        name=LEXICAL_INDEX,
        state="rebuilding" if rebuild.running else "catching-up" if lag else "ready",
        documents=await replica.search(lambda held: held.count()),
        lag=lag,
        parked=parked,
        rate=progress.rate(),
        eta_seconds=progress.eta(lag),
        detail=progress.trouble,
    )


async def _vector(vectors: VectorIndex, models: Models, progress: Progress, behind: tuple[int, int]) -> IndexStatus:
    lag, parked = behind
    problem = models.problem
    trouble = (problem.detail or problem.title) if problem else progress.trouble
    documents, _ = await vectors.sizes(models.active.model) if models.active else (0, 0)
    working = "rebuilding" if models.building else "catching-up" if lag else "ready"
    return IndexStatus.model_validate(
        {
            "name": VECTOR_INDEX,
            "state": "unavailable" if trouble else working,
            "documents": documents,
            "lag": lag,
            "parked": parked,
            "rate": progress.rate(),
            "eta_seconds": None if trouble and lag else progress.eta(lag),
            "model": models.active.model.name if models.active else None,
            "detail": trouble,
        }
    )


async def _rebuild(vector: VectorRebuild, lexical: LexicalRebuild) -> dict[str, Any] | None:
    state = await vector.state()
    if state is None:
        return None
    shown = {name: value for name, value in asdict(state).items() if name != "scanned_to"}
    if state.state == "running":
        left = max(0, state.total - state.done)
        shown |= {
            "rate": vector.progress.rate(),
            "eta_seconds": vector.progress.eta(left),
            "detail": vector.progress.trouble,
        }
    return shown | {"embedder": shown.pop("spec"), "lexical": "running" if lexical.running else "done"}
