"""What keeping organisations apart costs: row-level security, and their number.

``policies``: one database of 1,000,000 memories in 1,000 organisations of very different sizes; each statement and each
request once as the product does it and once by a role that bypasses row-level security, with the policies' predicates
written into the statements (``without_policies.py``). Both arms must give the same answers.

``growth``: databases of 10 to 10,000 organisations of the same size, each with its own server and index; the same
people of the same organisations search in all of them, in turns.

Vectors: a share of the memories has one (``--vectors``), hashed; a million HNSW insertions would take an hour and
change nothing that is measured, since vectors are found by a function that answers for its audience itself.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psycopg

import corpus
import table
import without_policies
from cluster import Cluster, embedder, indexed, say
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.migrate import app_url
from devlore_server.memory.store import listing, memories
from devlore_server.search.backends.pgvector import PgVectors
from devlore_server.search.lexical import Filters as Bounds
from devlore_server.search.store import SearchStore
from devlore_server.search.vectors import VectorModel, VectorQuery
from embeddings import hashed
from interleaved import Compared, take_turns
from roles import Signed, running
from tenants import Organisation, organisations, zipf

T = TypeVar("T")
WITH, WITHOUT = "policies", "explicit"
GOAL, BAND = 1.3, 0.2
LARGE = 10_000
"""Memories of an organisation that has a row of its own."""
CONFIRMED = 20
"""Hits a search confirms at once."""


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks, and what their search would confirm."""

    who: Principal
    text: str
    project: str
    ids: Sequence[UUID]
    size: int


def questions(url: str, groups: Sequence[Organisation], texts: Sequence[str], count: int) -> list[Question]:
    """Half from organisations drawn by size, as requests come, half from any of them alike."""
    draw = random.Random(17)
    weights = [one.size for one in groups]
    found = []
    with psycopg.connect(url, autocommit=True) as connection:
        for number in range(count):
            group = draw.choices(groups, weights)[0] if number % 2 else draw.choice(groups)
            who = group.caller(draw)
            visible = connection.execute(
                "SELECT id, project FROM memory.memory m WHERE organisation_id = %s AND deleted_at IS NULL"
                " AND (privacy = 'public' OR created_by = %s OR (privacy = 'team' AND team_id = ANY (%s)))"
                " ORDER BY hashtext(id::text || %s) LIMIT %s",
                (group.id, who.person, list(who.teams), str(number), CONFIRMED),
            ).fetchall()
            project = draw.choice(visible)[1]
            found.append(Question(who, draw.choice(texts), project, [id for id, _ in visible], group.size))
    return found


class InDatabase:
    """What list and search ask PostgreSQL, through the stores of the product."""

    def __init__(self, database: Database, *, walled: bool) -> None:
        self._database = database
        self._walled = walled
        self._vectors = PgVectors(database)
        self._model: VectorModel | None = None

    async def open(self) -> None:
        await self._database.open()
        self._model = next(one for one in await SearchStore(self._database).models() if one.state == "active")

    async def close(self) -> None:
        await self._database.close()

    async def list(self, asked: Question, project: str | None) -> list[UUID]:
        """A page of 50 and one more, as `GET /v1/memories` reads it."""
        filters = listing.Filters(project=(project,) if project else ())
        with ExitStack() as stack:
            if not self._walled:
                stack.enter_context(without_policies.explicit())
            async with self._database.transaction(asked.who) as connection:
                return [one.id for one in await listing.find_page(connection, asked.who, filters, 51, None)]

    async def visible(self, asked: Question) -> list[UUID]:
        """The confirmation of a search's first hits."""
        return sorted(one.id for one in await memories.find_visible(self._database, asked.who, asked.ids))

    async def nearest(self, asked: Question, project: str | None) -> list[UUID]:
        """The vector leg. The exact order of the index walk is not compared: it is approximate."""
        assert self._model is not None
        query = VectorQuery(hashed([asked.text])[0], wanted=Bounds(project=(project,) if project else ()))
        found = await self._vectors.nearest(self._model, asked.who, query, 51)
        return sorted(one.id for one in found) if len(found) < 51 else []


async def clocked(work: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = await work
    return time.perf_counter() - started, answer


def in_database(url: str, asked: Sequence[Question], rounds: int) -> list[dict[str, Any]]:
    """Rows of what PostgreSQL is asked, both ways."""
    ways: dict[str, InDatabase] = {
        WITH: InDatabase(Database(app_url(url), max_size=2), walled=True),
        WITHOUT: InDatabase(without_policies.Unwalled(without_policies.url_of(url), max_size=2), walled=False),
    }
    cases: dict[str, Callable[[InDatabase, Question], Any]] = {
        "list": lambda way, q: way.list(q, None),
        "list of a project": lambda way, q: way.list(q, q.project),
        "memory.visible": lambda way, q: way.visible(q),
        "search.nearest": lambda way, q: way.nearest(q, None),
        "search.nearest in a project": lambda way, q: way.nearest(q, q.project),
    }
    with asyncio.Runner() as runner:
        for way in ways.values():
            runner.run(way.open())
        rows = [
            row
            for name, case in cases.items()
            for row in judged(
                f"database: {name}",
                {key: lambda q, way=way, case=case: runner.run(clocked(case(way, q))) for key, way in ways.items()},
                asked,
                rounds,
            )
        ]
        for way in ways.values():
            runner.run(way.close())
    return rows


def over_http(urls: Mapping[str, str], asked: Sequence[Question], rounds: int) -> list[dict[str, Any]]:
    """Rows of whole requests, straight to the roles behind a gateway."""
    clients = {name: Signed(url) for name, url in urls.items()}
    cases: dict[str, tuple[str, Callable[[Question], dict[str, Any]]]] = {
        "GET /v1/memories": ("/v1/memories", lambda q: {}),
        "GET /v1/memories of a project": ("/v1/memories", lambda q: {"project": q.project}),
        "GET /v1/search": ("/v1/search", lambda q: {"q": q.text}),
        "GET /v1/search by words": ("/v1/search", lambda q: {"q": q.text, "legs": "lexical"}),
        "GET /v1/search in a project": ("/v1/search", lambda q: {"q": f"{q.text} project:{q.project}"}),
    }
    rows = []
    for name, (path, parameters) in cases.items():

        def ask(q: Question, key: str, path: str = path, parameters: Any = parameters) -> tuple[float, list[str]]:
            taken, page = clients[key].get(q.who, path, **parameters(q))
            if page.get("degraded"):
                raise RuntimeError(f"a leg did not answer: {page['degraded']}")
            return taken, [one.get("id") or one["memory"]["id"] for one in page["items"]]

        for key in clients:
            for question in asked:
                ask(question, key)  # the vectors of the questions are in the cache from now on
        rows += judged(f"http: {name}", {key: lambda q, key=key: ask(q, key) for key in clients}, asked, rounds)
    return rows


def judged(
    name: str, ways: Mapping[str, Callable[[Question], tuple[float, Any]]], asked: Sequence[Question], rounds: int
) -> list[dict[str, Any]]:
    """Take turns, see that the answers are the same, and give a row for all questions and one for the largest."""
    answers: dict[str, dict[int, Any]] = {key: {} for key in ways}

    def answering(key: str) -> Callable[[tuple[int, Question]], float]:
        def ask(numbered: tuple[int, Question]) -> float:
            taken, answers[key][numbered[0]] = ways[key](numbered[1])
            return taken

        return ask

    numbered = list(enumerate(asked))
    compared = take_turns({key: answering(key) for key in ways}, numbered, rounds=rounds)
    differing = sum(answers[WITH][number] != answers[WITHOUT][number] for number, _ in numbered)
    large = [number for number, question in numbered if question.size >= LARGE]
    parts = {name: compared} | ({f"{name}, ≥ {LARGE:,}": part(compared, large)} if large else {})
    rows = [{"what": what, "differ": differing} | found.row(WITH, WITHOUT) for what, found in parts.items()]
    for row in rows:
        say(str(row))
    return rows


def part(compared: Compared, numbers: Sequence[int]) -> Compared:
    """Some of the questions only."""
    return Compared({way: [times[number] for number in numbers] for way, times in compared.seconds.items()})


def policies(cluster: Cluster, options: argparse.Namespace) -> dict[str, Any]:
    """What row-level security costs."""
    groups = organisations(zipf(options.memories, options.organisations))
    url = cluster.database("skewed", groups, options.vectors, graph=True)
    product = cluster.role("skewed-policies", url)
    twin = cluster.role("skewed-explicit", url, program=(str(Path(without_policies.__file__)), "serve"))
    asked = questions(url, groups, corpus.queries(options.data, 300), options.questions)
    rows = in_database(url, asked, options.rounds)
    if not (twin.home / "search").exists():
        with running(product):
            indexed(product)
        shutil.copytree(product.home / "search", twin.home / "search")
    with running(product, twin):
        rows += over_http({WITH: product.url, WITHOUT: twin.url}, asked, options.rounds)
    table.show(list(rows[0]), [list(row.values()) for row in rows])
    worst = max(row["p95_ratio"] for row in rows if row["questions"] == options.questions)
    print(f"\nworst p95 ratio over all questions {worst} (goal {GOAL})\n")
    return {"memories": options.memories, "organisations": options.organisations, "rows": rows}


def growth(cluster: Cluster, options: argparse.Namespace) -> dict[str, Any]:
    """The same searches beside more and more organisations."""
    texts = corpus.queries(options.data, 100)
    draw = random.Random(23)
    asked: list[tuple[Principal, str]] = []
    with ExitStack() as stack:
        clients: dict[str, Signed] = {}
        for count in options.growth:
            groups = organisations([options.each] * count)
            url = cluster.database(f"even_{count}", groups, 1.0, graph=False)
            role = cluster.role(f"even-{count}", url)
            stack.enter_context(running(role))
            indexed(role)
            clients[f"{count:,}"] = Signed(role.url)
            asked = asked or [(one.caller(draw), draw.choice(texts)) for _ in range(options.questions // 10)
                              for one in groups[:10]]  # fmt: skip
        rows = [grown("search", clients, asked, options.rounds, "/v1/search", True)]
        rows += [grown("search by words", clients, asked, options.rounds, "/v1/search", True, legs="lexical")]
        rows += [grown("list", clients, asked, options.rounds, "/v1/memories", False)]
    for found in rows:
        table.show(["organisations", "p50_ms", "p95_ms", "quiet_p95_ms", "p95_ratio", "quiet_p95_ratio"], found["rows"])
        print(f"  {found['what']}; goal: within ± {BAND:.0%} of the first\n")
    return {"each": options.each, "rows": rows}


def grown(
    what: str,
    clients: Mapping[str, Signed],
    asked: Sequence[tuple[Principal, str]],
    rounds: int,
    path: str,
    words: bool,
    **more: str,
) -> dict[str, Any]:
    """A row per number of organisations."""

    def asking(client: Signed) -> Callable[[tuple[Principal, str]], float]:
        return lambda one: client.get(one[0], path, **({"q": one[1]} if words else {}), **more)[0]

    for name, client in clients.items():
        found = [client.get(one[0], path, **({"q": one[1]} if words else {}), **more)[1] for one in asked]
        if not any(answer["items"] for answer in found):
            raise RuntimeError(f"{name} organisations: nobody finds anything, so nothing is measured")
    compared = take_turns({name: asking(client) for name, client in clients.items()}, asked, rounds=rounds)
    first = next(iter(clients))
    rows = []
    for name in clients:
        p50, p95 = (table.percentile(compared.all(name), share) for share in (0.5, 0.95))
        quiet, row = table.percentile(compared.quiet(name), 0.95), compared.row(name, first)
        times = [round(one * 1e3, 2) for one in (p50, p95, quiet)]
        rows.append([name, *times, row["p95_ratio"], row["quiet_p95_ratio"]])
    return {"what": what, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../data"))
    parser.add_argument("--only", nargs="+", choices=("policies", "growth"), default=("policies", "growth"))
    parser.add_argument("--memories", type=int, default=1_000_000)
    parser.add_argument("--organisations", type=int, default=1_000)
    parser.add_argument("--vectors", type=float, default=0.2, help="share of the memories with a vector")
    parser.add_argument("--growth", type=int, nargs="+", default=[10, 100, 1_000, 10_000])
    parser.add_argument("--each", type=int, default=100, help="memories of an organisation, for growth")
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--home", type=Path, help="keep the databases here and use them again")
    options = parser.parse_args()
    home = options.home or Path(tempfile.mkdtemp(prefix="devlore-isolation-"))
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)
    results: dict[str, Any] = {}
    with embedder() as spec:
        cluster = Cluster(home, options.data, spec)
        try:
            for name, measure in (("policies", policies), ("growth", growth)):
                if name in options.only:
                    results[name] = measure(cluster, options)
        finally:
            cluster.stop()
            if options.home is None:
                shutil.rmtree(home, ignore_errors=True)
    table.emit({"bench": "isolation", **results})


if __name__ == "__main__":
    main()
