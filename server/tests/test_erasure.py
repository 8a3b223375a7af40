"""Erased means erased: after a purge no table of the whole application holds a word of the memory."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import psycopg
from psycopg import sql

CANARY = "canary9c41e7"


def tables_with(owner_url: str, word: str) -> set[str]:
    """The tables of every service in which any row contains ``word``, bytes read as text."""
    with psycopg.connect(owner_url) as owner:
        tables = owner.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        columns = sql.SQL("coalesce(convert_from({}, 'utf8'), '')")
        found = set()
        for schema, table in tables:
            binary = owner.execute(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = %s AND table_name = %s AND data_type = 'bytea' AND column_name = 'body'",
                (schema, table),
            ).fetchall()
            text = sql.SQL(" || ").join(
                [sql.SQL("t::text"), *(columns.format(sql.Identifier(name)) for (name,) in binary)]
            )
            query = sql.SQL("SELECT count(*) FROM {} AS t WHERE {} LIKE %s").format(sql.Identifier(schema, table), text)
            if owner.execute(query, (f"%{word}%",)).fetchone() != (0,):
                found.add(f"{schema}.{table}")
    return found


async def posted(api: httpx2.AsyncClient, path: str, body: dict[str, Any], key: str) -> httpx2.Response:
    answer = await api.post(path, json=body, headers={"Idempotency-Key": key}, timeout=30)
    assert answer.is_success, answer.text
    return answer


async def test_a_purge_leaves_no_word_in_any_table(server: str, owner_url: str) -> None:
    async with httpx2.AsyncClient(base_url=server, trust_env=False, timeout=30) as api:
        draft = {"title": f"{CANARY} pool", "body": f"{CANARY} ran dry", "tags": [CANARY]}
        memory = (await posted(api, "/v1/memories?wait=indexed", draft, "create")).json()
        path = f"/v1/memories/{memory['id']}"
        link = {"target_kind": "url", "target": "https://example.org", "note": CANARY}
        await posted(api, f"{path}/links", link, "link")
        await posted(api, f"{path}/invalidate", {"reason": CANARY}, "invalidate")
        await posted(api, f"{path}/reinstate", {"reason": "no"}, "reinstate")
        await posted(api, "/v1/memories", {"title": "stays"}, "other")
        assert {"memory.memory", "memory.version", "memory.link", "log.event", "gateway.idempotency"} <= tables_with(
            owner_url, CANARY
        )
        assert (await api.delete(f"{path}?purge=true&wait=indexed")).status_code == 204
        async with asyncio.timeout(20):
            while tables_with(owner_url, CANARY):
                await asyncio.sleep(0.05)
        hits = (await api.get("/v1/search", params={"q": CANARY})).json()["items"]
        assert [hit for hit in hits if CANARY in str(hit)] == []
        again = await api.post("/v1/memories?wait=indexed", json=draft, headers={"Idempotency-Key": "create"})
        assert (again.status_code, again.json()["code"]) == (409, "conflict"), "a late repetition brings nothing back"
        assert tables_with(owner_url, CANARY) == set()
        kept = await api.post("/v1/memories", json={"title": "stays"}, headers={"Idempotency-Key": "other"})
        assert kept.headers["idempotency-replayed"] == "true"
