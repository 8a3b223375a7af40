"""Many organisations in one database, written by COPY: the commit logs as memories of people in teams, with vectors.

Rows come in order of time across all organisations, as they would have been written: the memories of one of them lie
all over the table. Titles and bodies of the logs are paired anew once every commit has been used. Vectors are those of
the hashing stand-in (``embeddings.py``), one passage for each memory that has one.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

import corpus
from devlore_server.kit.auth import Principal
from embeddings import DIMENSION, hashed

MODEL = "hash-384"
SPAN = timedelta(days=730)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
SCOPES = frozenset({"memories:read", "search:read"})

_MEMORY = (
    "organisation_id, id, team_id, project, kind, title, body, tags, source_connector, source_external_id,"
    " source_author, privacy, status, occurred_at, created_at, updated_at, created_by, changed_by"
)
_DOCUMENT = (
    "organisation_id, model, memory_id, version, live, passages, digest, access, kind, project, author, team, source,"
    " privacy, status, occurred_at"
)
_PASSAGE = "organisation_id, model, memory_id, ordinal, starts, ends, access, active, embedding"


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation: its people, each in one to three of its teams, and how many memories it has."""

    id: UUID
    people: Sequence[UUID]
    teams: Sequence[UUID]
    member: dict[UUID, frozenset[UUID]]
    size: int

    def caller(self, draw: random.Random) -> Principal:
        """One of its people."""
        person = draw.choice(self.people)
        return Principal(self.id, person, self.member[person], SCOPES)


@dataclass(frozen=True, slots=True)
class Row:
    """A memory as a place in the logs and what surrounds it; ``vector``: whether it has a passage in the index."""

    organisation: Organisation
    id: UUID
    title: int
    body: int
    author: UUID
    team: UUID | None
    privacy: str
    status: str
    project: str
    created_at: datetime
    vector: bool

    @property
    def audience(self) -> UUID:
        """Who may find it, as the indexes name it."""
        return {"public": self.organisation.id, "private": self.author}.get(self.privacy) or self.team or self.author


def organisations(sizes: Sequence[int], seed: int = 3) -> list[Organisation]:
    """Organisations of these sizes: a person for every 200 memories (3 to 300), a team for every 5 people."""
    draw = random.Random(seed)
    made = []
    for size in sizes:
        people = [_id(draw) for _ in range(min(300, max(3, size // 200)))]
        teams = [_id(draw) for _ in range(max(2, len(people) // 5))]
        member = {person: frozenset(draw.sample(teams, min(len(teams), draw.randint(1, 3)))) for person in people}
        made.append(Organisation(_id(draw), people, teams, member, size))
    return made


def zipf(total: int, count: int) -> list[int]:
    """Sizes of ``count`` organisations with ``total`` memories: the n-th has a share of 1/n, none fewer than ten."""
    weights = [1 / place for place in range(1, count + 1)]
    sizes = [max(10, int(total * weight / sum(weights))) for weight in weights]
    sizes[0] += total - sum(sizes)
    return sizes


class Tenants:
    """The content of a database: the rows of ``organisations``, of which a share has vectors."""

    def __init__(self, data: Path, organisations: Sequence[Organisation], vectors: float, seed: int = 5) -> None:
        self.organisations = organisations
        self._commits = list(corpus.commits(data))
        self._share = vectors
        self._seed = seed

    def fill(self, url: str, spec: str, *, graph: bool) -> None:
        """Write everything as the superuser, and the statistics; ``graph``: with the HNSW index of the vectors."""
        with psycopg.connect(url, autocommit=True) as connection:
            number = _begin(connection, spec)
            near = connection.execute("SELECT pg_get_indexdef(%s::regclass)", (f"search.passage_{number}_near",))
            definition = str((near.fetchone() or ("",))[0])
            connection.execute(f"DROP INDEX search.passage_{number}_near")
            _copy(connection, "memory.memory", _MEMORY, (self._memory(row) for row in self.rows()))
            found = [row for row in self.rows() if row.vector]
            _copy(connection, "search.document", _DOCUMENT, (self._document(row, number) for row in found))
            _copy(connection, "search.passage", _PASSAGE, self._passages(found, number))
            if graph:
                connection.execute("SET maintenance_work_mem = '1GB'")
                connection.execute(definition)
            connection.execute("VACUUM (ANALYZE) memory.memory")
            connection.execute("VACUUM (ANALYZE) search.document")
            connection.execute("VACUUM (ANALYZE) search.passage")

    def rows(self) -> Iterator[Row]:
        """Every memory in order of time; those of one organisation do not depend on which others there are."""
        streams = [_Stream(number, one, self._share, self._seed) for number, one in enumerate(self.organisations)]
        total = sum(one.size for one in self.organisations)
        draw = random.Random(self._seed)
        bounds = list(accumulate(one.size for one in self.organisations))
        left = [one.size for one in self.organisations]
        for place in range(total):
            number = bisect.bisect_right(bounds, draw.randrange(total))
            while not left[number]:
                number = (number + 1) % len(left)
            left[number] -= 1
            yield streams[number].next(place, total, len(self._commits))

    def _memory(self, row: Row) -> tuple[Any, ...]:
        title, body = self._commits[row.title], self._commits[row.body]
        source = title["source"]
        return (
            row.organisation.id,
            row.id,
            row.team,
            row.project,
            title["kind"],
            title["title"],
            body["body"],
            ["release"] if "elease" in title["title"] else [],
            source["connector"],
            f"{source['external_id']}-{row.id}",
            source["author"],
            row.privacy,
            row.status,
            row.created_at,
            row.created_at,
            row.created_at,
            row.author,
            row.author,
        )

    def _document(self, row: Row, model: int) -> tuple[Any, ...]:
        head = self._commits[row.title]
        author, team = head["source"]["author"], str(row.team) if row.team else None
        return (
            *(row.organisation.id, model, row.id, 1, True, 1, b"", row.audience, head["kind"], row.project),
            *([author, author.lower(), str(row.author)], team, "git", row.privacy, row.status, row.created_at),
        )

    def _passages(self, rows: Sequence[Row], model: int) -> Iterator[tuple[Any, ...]]:
        # A vector of hashed words is the sum of its parts': title and body are hashed once each, not once a memory.
        titles = _sums([one["title"] for one in self._commits])
        bodies = _sums([one["body"][:800] for one in self._commits])
        for row in rows:
            vector = titles[row.title] + bodies[row.body]
            vector /= np.linalg.norm(vector) or 1.0
            text = "[" + ",".join(f"{x:.4g}" if x else "0" for x in vector.tolist()) + "]"
            yield (row.organisation.id, model, row.id, 0, 0, 100, row.audience, row.status == "active", text)


class _Stream:
    """One organisation's memories, newest last."""

    def __init__(self, number: int, organisation: Organisation, share: float, seed: int) -> None:
        self._organisation = organisation
        self._draw = random.Random(f"{seed} {number}")
        self._share = share
        projects = min(20, max(1, organisation.size // 500))
        self._projects = [f"project-{n}" for n in range(1, projects + 1)]
        self._weights = [1 / n for n in range(1, projects + 1)]

    def next(self, place: int, total: int, commits: int) -> Row:
        draw = self._draw
        author = draw.choice(self._organisation.people)
        privacy = draw.choices(("public", "team", "private"), (60, 25, 15))[0]
        team = draw.choice(sorted(self._organisation.member[author])) if privacy == "team" else None
        created_at = FIRST + SPAN * (place / total)
        return Row(
            self._organisation,
            _id(draw, created_at),
            draw.randrange(commits),
            draw.randrange(commits),
            author,
            team,
            privacy,
            draw.choices(("active", "superseded", "invalidated"), (96, 3, 1))[0],
            draw.choices(self._projects, self._weights)[0],
            created_at,
            draw.random() < self._share,
        )


def _id(draw: random.Random, moment: datetime = FIRST) -> UUID:
    """A UUID of version 7 of that moment (RFC 9562)."""
    stamp = int(moment.timestamp() * 1_000) << 80
    return UUID(int=stamp | 7 << 76 | draw.getrandbits(12) << 64 | 2 << 62 | draw.getrandbits(62))


def _sums(texts: Sequence[str]) -> NDArray[np.float32]:
    """Hashed words of texts, scaled back to counts: one word, one."""
    found = np.zeros((len(texts), DIMENSION), dtype=np.float32)
    for first in range(0, len(texts), 1_000):
        part = hashed(list(texts[first : first + 1_000]))
        least = np.where(part == 0, np.inf, np.abs(part)).min(axis=1, keepdims=True)
        found[first : first + len(part)] = part / least
    return found


def _begin(connection: psycopg.Connection[Any], spec: str) -> int:
    """Begin the generation of vectors that a server with this embedder takes for its own."""
    started = connection.execute(
        "SELECT search.begin_model(%s, %s, %s, %s, 'active')", (f"openai:{MODEL}", spec, spec, DIMENSION)
    )
    return int((started.fetchone() or (0,))[0])


def _copy(connection: psycopg.Connection[Any], table: str, columns: str, rows: Iterator[tuple[Any, ...]]) -> None:
    with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:  # type: ignore[arg-type]
        for row in rows:
            copy.write_row(row)
