"""Owns which embedding models the vector index is of: the one that answers, the one being built, and why none can."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devlore.problems import EmbedderChanged, EmbedderUnavailable, Problem
from devlore_server.search import embedder as port
from devlore_server.search.embedder import Embedder
from devlore_server.search.store import SearchStore
from devlore_server.search.vectors import VectorModel

Vector = NDArray[np.float32]
_QUERIES_KEPT = 2_048


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of the vector index with the embedder its vectors come from."""

    model: VectorModel
    embedder: Embedder


class Models:
    """The generations in use by this process. `make` turns an embedder setting into an embedder, without loading it.

    The setting `configured` decides at first start. A rebuild may switch to another model; that outlives restarts for
    as long as the setting stays what it was. When the setting is changed by hand, the index belongs to another model:
    vectors neither answer nor grow until a rebuild says so, since vectors of two models do not compare.
    """

    def __init__(self, store: SearchStore, make: Callable[[str], Embedder], configured: str) -> None:
        self._store = store
        self._make = make
        self._embedders: dict[str, Embedder] = {}
        self._queries: OrderedDict[tuple[int, str], Vector] = OrderedDict()
        self._opening = asyncio.Lock()
        self._retired: list[VectorModel] = []
        self.configured = configured
        self.problem: Problem | None = EmbedderUnavailable("The embedding model has not been looked at yet.")
        self.active: Generation | None = None
        self.building: Generation | None = None

    async def open(self) -> None:
        """Find the generations; begin the first. What prevents it becomes `problem`, and may be tried again."""
        async with self._opening:
            try:
                await self._open()
            except Problem as problem:
                self.problem = problem

    async def refresh(self) -> None:
        """See what another process, or the end of a rebuild, changed."""
        await self.open()

    def embedder(self, spec: str) -> Embedder:
        """The embedder of a setting, made once. Raises EmbedderUnavailable."""
        held = self._embedders.get(spec)
        if held is None:
            try:
                held = self._embedders[spec] = self._make(spec)
            except port.EmbedderUnavailable as error:
                raise EmbedderUnavailable(str(error)) from error
        return held

    def usable(self) -> list[Generation]:
        """The generations to keep up to date. Raises why the active one cannot be."""
        if self.active is None:
            raise self.problem or EmbedderUnavailable()
        return [held for held in (self.active, self.building) if held is not None]

    async def begin_building(self, spec: str) -> Generation:
        """Begin a generation of `spec` beside the active one; the one that was being built is taken out."""
        if self.building is not None:
            await self._store.retire(self.building.model)
        embedder = self.embedder(spec)
        width = await _dimension(embedder)
        model = await self._store.begin(embedder.model, spec, self.configured, width, "building")
        self.building = Generation(model, embedder)
        return self.building

    async def promote(self, built: Generation) -> bool:
        """Let a generation answer, if its model still does and it was not given up meanwhile.

        Raises EmbedderUnavailable: one whose model is away would take the place of one that answers.
        """
        await embed(built, ["ping"], query=True)
        async with self._opening:  # whoever looks at the generations sees both of the next two, or neither
            promoted = await self._store.promote(built.model)
            if promoted:
                self.active, self.building, self.problem = built, None, None
        if not promoted:
            await self.refresh()
        return promoted

    async def drop_building(self) -> None:
        """Give up the generation that was being built."""
        if self.building is not None:
            model, self.building = self.building.model, None
            await self._store.retire(model)

    async def drop_retired(self) -> None:
        """Drop the vectors of generations that were retired before the last call: nobody may still be reading them."""
        retired = [model for model in await self._store.models() if model.state == "retired"]
        for model in retired:
            if model in self._retired:
                await self._store.drop(model)
        self._retired = retired

    async def query_vector(self, text: str) -> tuple[VectorModel, Vector]:
        """The active model and the vector of a query in it, kept for the next time. Raises why there is none."""
        if self.active is None:
            raise self.problem or EmbedderUnavailable()
        model = self.active.model
        key = (model.id, text)
        held = self._queries.get(key)
        if held is None:
            held = (await embed(self.active, [text], query=True))[0]
            self._queries[key] = held
            if len(self._queries) > _QUERIES_KEPT:
                self._queries.popitem(last=False)
        else:
            self._queries.move_to_end(key)
        return model, held

    async def close(self) -> None:
        """Release every embedder."""
        for embedder in self._embedders.values():
            await embedder.close()

    async def _open(self) -> None:
        held = {model.state: model for model in await self._store.models()}
        active = held.get("active")
        if active is None:
            await self._begin_first()
        elif self.active is None or self.active.model.id != active.id:
            await self._adopt(active)
        building = held.get("building")
        if building is None:
            self.building = None
        elif self.building is None or self.building.model.id != building.id:
            self.building = Generation(building, self.embedder(building.spec))

    async def _begin_first(self) -> None:
        embedder = self.embedder(self.configured)
        width = await _dimension(embedder)
        model = await self._store.begin(embedder.model, self.configured, self.configured, width, "active")
        self.active, self.problem = Generation(model, embedder), None

    async def _adopt(self, model: VectorModel) -> None:
        """Use a stored generation if its vectors are of the model that is wanted."""
        self.active = None
        unchanged = model.configured == self.configured
        embedder = self.embedder(model.spec if unchanged else self.configured)
        if embedder.model != model.name:
            raise EmbedderChanged(
                f"The vectors in the index are of {model.name}, the configured embedder is {embedder.model}."
                f" Run: devlore rebuild search --embedder {self.configured}"
                f" (or set DEVLORE_EMBEDDER back to {model.spec}). Until then only full text answers."
            )
        if not unchanged:
            await self._store.confirm(model, self.configured)
        self.active, self.problem = Generation(model, embedder), None


async def embed(generation: Generation, texts: list[str], *, query: bool = False) -> Vector:
    """The vectors of texts, row by row. Raises EmbedderUnavailable, the problem, whatever way the model fails."""
    try:
        vectors = await generation.embedder.embed(texts, query=query)
    except (port.EmbedderUnavailable, port.EmbedderMismatch) as error:
        raise EmbedderUnavailable(str(error)) from error
    width, wanted = vectors.shape[1], generation.model.dimension
    if width != wanted:
        # Nothing is concluded about the index: what answers there now may be the wrong server.
        raise EmbedderUnavailable(
            f"{generation.model.name} answers with {width} dimensions, the vectors in the index have {wanted}."
            f" If that is meant, run: devlore rebuild search --embedder {generation.model.spec}"
        )
    return vectors


async def _dimension(embedder: Embedder) -> int:
    try:
        return embedder.dimension
    except port.EmbedderUnavailable:
        pass
    try:
        await embedder.ping()
        return embedder.dimension
    except (port.EmbedderUnavailable, port.EmbedderMismatch) as error:
        raise EmbedderUnavailable(str(error)) from error
