"""Owns the legs of a search: each asks one index within a deadline; a late one is named, not waited for."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import structlog
from prometheus_client import Counter

from devlore.problems import Problem
from devlore_server.kit.auth import Principal
from devlore_server.kit.telemetry import REGISTRY
from devlore_server.search.analysis import Analyser
from devlore_server.search.bounded import ListingIndex
from devlore_server.search.bounds import Bounds
from devlore_server.search.embedder import Vectors
from devlore_server.search.lexical import IndexUnusable, LexicalMatches, Match
from devlore_server.search.models import Models
from devlore_server.search.place import Listed
from devlore_server.search.rank import MEMORY_ARM, PASSAGE_ARM, VECTOR_ARM, Arm
from devlore_server.search.replica import LexicalReplica
from devlore_server.search.vectors import VectorIndex, VectorMatch, VectorModel, VectorQuery

LEXICAL, VECTOR = "lexical", "vector"
LEADING = 20
"""Superseded memories each arm is asked for besides: those that lead nowhere take nobody's place."""
M = TypeVar("M", Match, VectorMatch)

_DEGRADED = Counter(
    "devlore_search_degraded_legs", "Legs that did not answer a search in time.", ["leg"], registry=REGISTRY
)
_said = structlog.get_logger("devlore.search")


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for.

    `text` may be empty: then the bounds alone decide. `near` is a vector to start from instead of the text's, with the
    model it belongs to; `but` is never a hit; a listing goes on `behind` a place.
    """

    who: Principal
    text: str
    bounds: Bounds
    depth: int
    names: Collection[str] = (LEXICAL, VECTOR)
    facets: Collection[str] = ()
    near: tuple[VectorModel, Vectors] | None = None
    but: UUID | None = None
    behind: Listed | None = None


@dataclass(slots=True)
class Answers:
    """What the legs found. `listing` is set instead of arms when there were no words to rank by."""

    arms: list[Arm] = field(default_factory=list)
    spans: dict[UUID, tuple[int, int]] = field(default_factory=dict)
    listing: list[Listed] | None = None
    facets: dict[str, dict[str, int]] = field(default_factory=dict)
    degraded: list[str] = field(default_factory=list)
    problems: dict[str, Problem] = field(default_factory=dict)


class Legs:
    """Runs the legs of a question at the same time."""

    def __init__(
        self, replica: LexicalReplica, vectors: VectorIndex, models: Models, analyser: Analyser, deadline: float
    ) -> None:
        self._replica = replica
        self._vectors = vectors
        self._models = models
        self._analyser = analyser
        self._deadline = deadline
        self.words_settled: Callable[[], Awaitable[None]] = _at_once
        """Returns when the lexical index knows of everything that was committed before it was asked."""

    async def ask(self, question: Question) -> Answers:
        """Ask every leg named in the question; whatever one does, the others' answers stand."""
        answers = Answers()
        if not question.text.strip():
            await self._within(LEXICAL, lambda: self._list(question, answers), answers)
            if question.facets:
                await self._within("facets", lambda: self._count(question, answers), answers)
            return answers
        async with asyncio.TaskGroup() as group:
            if LEXICAL in question.names:
                group.create_task(self._within(LEXICAL, lambda: self._words(question, answers), answers))
            if question.facets:
                group.create_task(self._within("facets", lambda: self._count(question, answers), answers))
            if VECTOR in question.names:
                # In this task, so at once: the others run while another process works on this one.
                await self._within(VECTOR, lambda: self._meaning(question, answers), answers)
        return answers

    async def _within(self, name: str, leg: Callable[[], Awaitable[None]], answers: Answers) -> None:
        """Run a leg; name it in `degraded` when it is late, away or broken."""
        try:
            async with asyncio.timeout(self._deadline):
                await leg()
            return
        except TimeoutError:
            _said.warning("leg_late", leg=name)
        except Problem as problem:
            answers.problems[name] = problem
        except IndexUnusable:
            pass  # being built again; status says so
        except Exception as error:
            # The message may quote what somebody wrote; the class says enough.
            _said.error("leg_failed", leg=name, error=type(error).__name__)
        _DEGRADED.labels(name).inc()
        answers.degraded.append(name)

    async def _list(self, question: Question, answers: Answers) -> None:
        asked = question.bounds.lexical(question.who, "")
        answers.listing = await self._replica.search(
            lambda index: list(index.newest(asked, question.depth, question.behind))
        )

    async def _words(self, question: Question, answers: Answers) -> None:
        if not self._analyser.query(question.text):
            return  # signs only: no word to look for, and all memories would match
        asked = question.bounds.lexical(question.who, question.text)

        def both(index: ListingIndex) -> tuple[LexicalMatches, LexicalMatches]:
            found = index.search(asked, question.depth + 1)
            if not question.bounds.leads:
                return found, LexicalMatches((), ())
            return found, index.search(question.bounds.superseded().lexical(question.who, question.text), LEADING)

        answers.arms += _word_arms(*await self._replica.search(both), question)

    async def _count(self, question: Question, answers: Answers) -> None:
        # No row confirms a count: what somebody has just withdrawn or erased must not be in it any more.
        await self.words_settled()
        asked = question.bounds.lexical(question.who, question.text)
        names = list(question.facets)
        answers.facets = await self._replica.search(lambda index: index.facets(asked, names, 80))

    async def _meaning(self, question: Question, answers: Answers) -> None:
        model, vector = question.near or await self._models.query_vector(question.text)
        bounds = question.bounds
        leading = LEADING if bounds.leads else 0
        query = VectorQuery(vector, bounds.only_active, bounds.vector_wanted(), bounds.unwanted, leading)
        textual = bool(bounds.phrases or bounds.excluded)
        # Vectors know nothing of phrases: more are fetched, and the lexical index says which satisfy them.
        depth = question.depth * 4 if textual else question.depth + 1
        matches = await self._vectors.nearest(model, question.who, query, depth)
        if textual and matches:
            matches = await self._satisfying(question, matches)
        kept = _but(question, [match for match in matches if not match.superseded])
        besides = [match for match in matches if match.superseded]
        answers.arms.append(Arm(VECTOR_ARM, kept, superseded=besides))
        answers.spans = {match.id: match.span for match in kept}

    async def _satisfying(self, question: Question, matches: list[VectorMatch]) -> list[VectorMatch]:
        asked = question.bounds.lexical(question.who, "")
        ids = [match.id for match in matches]

        def allowed(index: ListingIndex) -> set[UUID]:
            return index.matching(asked, ids)

        satisfying = await self._replica.search(allowed)
        return [match for match in matches if match.id in satisfying]


async def _at_once() -> None:
    """There is nothing to wait for."""


def _word_arms(found: LexicalMatches, besides: LexicalMatches, question: Question) -> list[Arm]:
    arms = []
    for name, matches, ceiling, leading in (
        (MEMORY_ARM, found.memories, found.memory_ceiling, besides.memories),
        (PASSAGE_ARM, found.passages, found.passage_ceiling, besides.passages),
    ):
        arms.append(Arm(name, _but(question, matches), ceiling, counted=True, superseded=leading))
    return arms


def _but(question: Question, matches: Sequence[M]) -> Sequence[M]:
    """As many matches as were asked for, without the one that must not be a hit."""
    if question.but is not None:
        matches = [match for match in matches if match.id != question.but]
    return matches[: question.depth]
