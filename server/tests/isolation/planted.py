"""Bugs on purpose, one at a time, in the process and the database of one run of the suite: each has to be noticed.

A pytest plugin: ``ISOLATION_MUTANT=name pytest -p tests.isolation.planted …`` plants that one.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from uuid import UUID

import psycopg
import structlog
import tantivy

from devlore.problems import NotAllowed
from devlore_server.gateway import store as idempotency
from devlore_server.gateway.standings import Standings
from devlore_server.kit import auth, cache, db, migrate
from devlore_server.kit.auth import Principal
from devlore_server.kit.http import signatures
from devlore_server.kit.revocation import Revocations
from devlore_server.memory import transfer
from devlore_server.memory.service import MemoryService
from devlore_server.memory.store import export, links, listing, memories, versions
from devlore_server.search.backends.tantivy import TantivyIndex
from devlore_server.search.backends.tantivy_query import Clauses
from devlore_server.search.lexical import FACETS

SQL_WALLS = "test_sql_walls.py"
DEFINERS = "test_definers.py"
MACHINE = "test_machine.py"
CATALOGUE = "test_catalogue.py"


@dataclass(frozen=True)
class Mutant:
    """One bug: SQL for the migrated database, a change of the running program, or both; and which files hunt it."""

    what: str
    hunters: tuple[str, ...]
    sql: str = ""
    change: Callable[[], None] = lambda: None


def _put(target: Any, name: str, value: Any) -> None:
    patch.object(target, name, value).start()


async def _every_memory(database: Any) -> list[Any]:
    async with database.transaction(None) as connection:
        return await listing.scan(connection, None, 100_000)


def _no_recheck() -> None:
    async def visible(self: MemoryService, who: Principal, ids: list[UUID]) -> list[Any]:
        wanted = set(ids)
        return [one for one in await _every_memory(self._database) if one.id in wanted]

    _put(MemoryService, "visible", visible)


def _export_of_everything() -> None:
    async def page_by_id(connection: Any, who: Principal, **asked: Any) -> list[Any]:
        found = [
            one for one in await listing.scan(connection, None, 100_000) if one.organisation_id == who.organisation
        ]
        return [] if asked["after"] else found[:200]

    _put(transfer, "page_by_id", page_by_id)


def _facets_of_everything() -> None:
    def facets(self: TantivyIndex, query: Any, names: Any, size: int = 20) -> dict[str, dict[str, int]]:
        wanted = [name for name in names if name in FACETS]
        asked = {name: {"terms": {"field": name, "size": size}} for name in wanted}
        counted = self._memories.index.searcher().aggregate(tantivy.Query.all_query(), asked)
        return {name: {b["key"]: b["doc_count"] for b in counted[name]["buckets"]} for name in wanted}

    _put(TantivyIndex, "facets", facets)


def _one_key_for_all() -> None:
    def parameters(self: Any) -> dict[str, object]:
        where = self.who.organisation
        return {"organisation": where, "person": where, "key": self.key, "claim": self.id}

    _put(idempotency.Claim, "parameters", parameters)


def _unverified_header() -> None:
    def verify(header: str, secret: bytes, now: Any, method: str, target: bytes) -> Any:
        payload = auth._decode(header.partition(".")[0])
        with patch("devlore_server.kit.auth.hmac.compare_digest", lambda *_: True):
            return _verify(f"{auth._encode(payload)}.AAAA", secret, now, method, target)

    _verify = auth.verify
    _put(signatures, "verify", verify)


def _forgetful_revocations() -> None:
    async def changed(self: Revocations, organisation: UUID, person: UUID) -> None:
        return None

    _put(Revocations, "changed", changed)
    patch("devlore_server.gateway.standings.KEPT", 3_600.0).start()


def _standing_of_the_person_only() -> None:
    _of = Standings.of

    async def of(self: Standings, credential: Any, ask: Any, whose: Any = None) -> Any:
        return await _of(self, credential if whose is None else whose[1], ask, None)

    _put(Standings, "of", of)


def _key_without_the_organisation() -> None:
    def tenant_key(organisation: UUID | None, area: str, *parts: object) -> cache.Key:
        return cache.Key(":".join(["devlore:{all}", area, *(cache._part(str(part)) for part in parts)]))

    _put(cache, "tenant_key", tenant_key)
    for module in ("devlore_server.kit.revocation", "devlore_server.gateway.limits"):
        patch(f"{module}.tenant_key", tenant_key).start()


def _session_context() -> None:
    _put(db, "_CONTEXT", db._CONTEXT.replace("true", "false"))


def _hidden_is_forbidden() -> None:
    _get = memories.get

    async def get(connection: Any, who: Principal, id: UUID, **options: Any) -> Any:
        known = {one.id for one in await listing.scan(connection, None, 100_000)}
        found = await memories.find_many(connection, who, [id], **options)
        if not found and id in known:
            raise NotAllowed("This is somebody else's memory.")
        return await _get(connection, who, id, **options)

    _put(memories, "get", get)


def _titles_in_the_log() -> None:
    _create = MemoryService.create

    @functools.wraps(_create)
    async def create(self: MemoryService, who: Principal, draft: Any) -> Any:
        structlog.get_logger("devlore.memory").info("created", what=draft.title)
        return await _create(self, who, draft)

    _put(MemoryService, "create", create)


def _links_of_both_ends() -> None:
    _put(links, "_OTHER_END_SEEN", "true")


def _successors_of_everybody() -> None:
    named = memories.COLUMNS.replace(memories._SUCCESSOR, "m.superseded_by")
    assert named != memories.COLUMNS
    for module in (memories, listing, versions, export):
        _put(module, "COLUMNS", named)


def _rarity_in_the_whole_index() -> None:
    _put(Clauses, "seen", lambda *_: None)


def _without(function: str, old: str, new: str) -> str:
    """SQL that takes something out of a function, which must be there."""
    return f"""
        DO $do$ DECLARE was text := pg_get_functiondef('{function}'::regproc); is_now text; BEGIN
            is_now := replace(was, $old${old}$old$, $new${new}$new$);
            IF is_now = was THEN RAISE EXCEPTION 'nothing to plant in {function}'; END IF;
            EXECUTE is_now;
        END $do$;"""


MUTANTS: dict[str, Mutant] = {
    "policy-dropped": Mutant(
        "the tenant wall of memories is gone", (SQL_WALLS, CATALOGUE), "DROP POLICY tenant ON memory.memory"
    ),
    "force-dropped": Mutant(
        "row security does not bind the owner of a table",
        (SQL_WALLS, CATALOGUE),
        "ALTER TABLE memory.memory NO FORCE ROW LEVEL SECURITY",
    ),
    "security-disabled": Mutant(
        "a table has no row security", (SQL_WALLS,), "ALTER TABLE memory.version DISABLE ROW LEVEL SECURITY"
    ),
    "policy-widened": Mutant(
        "everybody of an organisation reads every memory of it",
        (MACHINE, SQL_WALLS),
        "ALTER POLICY may_read ON memory.memory USING (true)",
    ),
    "past-widened": Mutant(
        "what was private before it was published is read by all",
        (SQL_WALLS, MACHINE),
        "ALTER POLICY may_read ON memory.version USING (true)",
    ),
    "people-widened": Mutant(
        "everybody sees everybody's name and address",
        (SQL_WALLS,),
        "ALTER POLICY colleague ON identity.person USING (true)",
    ),
    "sessions-widened": Mutant(
        "an organisation's people see each other's sessions",
        (SQL_WALLS,),
        "ALTER POLICY own ON identity.session USING (organisation_id = current_setting('app.organisation')::uuid)",
    ),
    "index-without-tenant": Mutant(
        "the vector index looks through every organisation",
        (DEFINERS,),
        _without("search.nearest", "p.organisation_id = $4 AND ", "$4 IS NOT NULL AND ")
        + _without("search.nearest", "p.organisation_id = tenant AND ", ""),
    ),
    "key-owner-of-anybody": Mutant(
        "a definer function does not look at the organisation",
        (DEFINERS,),
        _without(
            "identity.owner_of_key",
            "k.organisation_id = (SELECT current_setting('app.organisation')::uuid) AND ",
            "",
        ),
    ),
    "trail-of-everybody": Mutant(
        "the reader of the audit trail does not look at the organisation",
        (DEFINERS,),
        _without("audit.newest", "l.organisation_id = organisation", "true")
        + "ALTER POLICY may_read ON audit.leaf USING (true)",
    ),
    "search-path-open": Mutant(
        "a definer function resolves names as its caller likes", (CATALOGUE,), "ALTER FUNCTION search.reach RESET ALL"
    ),
    "revoked-key-holds": Mutant(
        "a revoked API key goes on",
        ("test_canaries.py",),
        _without("identity.find_key", " AND k.revoked_at IS NULL", ""),
    ),
    "no-recheck": Mutant("search shows what its index says", (MACHINE,), change=_no_recheck),
    "facets-of-all": Mutant("facets count every organisation", (MACHINE,), change=_facets_of_everything),
    "links-of-all": Mutant("links show and name the other end", ("test_canaries.py",), change=_links_of_both_ends),
    "successors-of-all": Mutant(
        "what replaced a memory is named to whoever sees the memory",
        ("test_successors.py", MACHINE),
        change=_successors_of_everybody,
    ),
    "rarity-of-all": Mutant(
        "a score says how rare a word is for everybody together",
        ("test_replays.py",),
        change=_rarity_in_the_whole_index,
    ),
    "export-of-all": Mutant("an export holds every memory", (MACHINE,), change=_export_of_everything),
    "team-kept": Mutant("who left a team is remembered in it", (MACHINE,), change=_forgetful_revocations),
    "standing-of-a-person": Mutant(
        "what a credential is good for is remembered without the organisation",
        (MACHINE,),
        change=_standing_of_the_person_only,
    ),
    "cache-without-tenant": Mutant(
        "cache keys are made without the organisation", ("test_canaries.py",), change=_key_without_the_organisation
    ),
    "shared-idempotency": Mutant(
        "idempotency keys are shared by an organisation", ("test_replays.py",), change=_one_key_for_all
    ),
    "forged-header": Mutant(
        "a service believes a header nobody signed", ("test_forwarding.py",), change=_unverified_header
    ),
    "session-context": Mutant(
        "the context is set for the session, not the transaction", ("test_pool.py",), change=_session_context
    ),
    "hidden-is-forbidden": Mutant(
        "a hidden memory is answered with 403, not 404", ("test_differ.py",), change=_hidden_is_forbidden
    ),
    "words-in-the-log": Mutant("titles are logged", ("test_canaries.py",), change=_titles_in_the_log),
}


def pytest_configure(config: Any) -> None:
    name = os.environ.get("ISOLATION_MUTANT")
    if not name:
        return
    mutant = MUTANTS[name]
    mutant.change()
    if mutant.sql:
        _put(migrate, "migrate", _planting(migrate.migrate, mutant.sql))


def _planting(migrated: Any, statements: str) -> Any:
    async def migrate_and_plant(url: str, *arguments: Any, **options: Any) -> Any:
        done = await migrated(url, *arguments, **options)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statements)
        return done

    return migrate_and_plant
