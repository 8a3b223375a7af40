"""Cursors and idempotency keys of Ann in others' hands; and that what she does in private changes nothing for them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from devlore_server.kit.ids import new_id
from tests.isolation.cast import ACME, Cast
from tests.isolation.operations import Operation, operations
from tests.isolation.probes import FULL, Leaks
from tests.isolation.stage import Caller

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1_800 if FULL else 300)]
OTHERS = ["olga", "alan", "ben", "carl", "vera", "gus", "gina", "gil", "ed-home", "ed", "revoked", "nobody"]
ASKERS = OTHERS if FULL else ["carl", "gus", "nobody"]
LISTS = [one for one in operations() if one.method == "GET" and any(slot.kind == "cursor" for slot in one.slots)]
POSTS = [
    one
    for one in operations()
    # A rebuild is the whole server's and takes its time; a switch would leave the session that asks.
    if any(slot.kind == "idempotency key" for slot in one.slots)
    and one.id not in ("rebuild_search_indexes", "switch_organisation", "change_password")
]
PARAMETERS = {"/v1/search": {"q": "pool OR dry"}, "/v1/audit": {"action": "memory.created"}}
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
VOLATILE = frozenset({"took_ms", "last_seen_at", "milliseconds", "score"})
OF_AN_INDEX = frozenset({"state", "lag", "rate", "eta_seconds"})
"""What is another at every moment; and scores, for which see the last test."""
NOT_ASKED = frozenset({"get_metrics", "get_health", "get_readiness", "export_memories"})


def filled(one: Operation, own: dict[str, str]) -> str:
    """The path with what somebody has themselves."""
    url = one.path
    for slot in one.of("path"):
        url = url.replace(f"{{{slot.name}}}", "1" if slot.kind == "number" else own.get(slot.kind, str(new_id())))
    return url


async def pages(cast: Cast, name: str, url: str, first: str | None = None) -> AsyncIterator[dict[str, Any]]:
    """The pages somebody is shown, from the first or from a cursor on."""
    cursor = first
    for _ in range(100):
        params = PARAMETERS.get(url, {}) | ({"cursor": cursor} if cursor else {})
        answer = await cast[name].get(url, params=params)
        if not answer.is_success:
            return
        yield answer.json()
        cursor = answer.json()["next"]
        if cursor is None or url == "/v1/audit":
            return


@pytest.mark.parametrize("name", ASKERS)
async def test_a_cursor_of_anns_shows_nobody_more_than_their_own(cast: Cast, name: str) -> None:
    leaks, tried = Leaks("cursors"), 0
    for one in LISTS:
        for holder in ("ann", "olga"):
            url = filled(one, cast.own[holder])
            params = PARAMETERS.get(url, {}) | {"limit": "1"}
            cursor = (await cast[holder].get(url, params=params)).json().get("next")
            if cursor is None or holder == name:
                continue
            tried += 1
            mine = filled(one, cast.own.get(name, {}))
            shown = [_text(item) async for page in pages(cast, name, mine) for item in page["items"]]
            async for page in pages(cast, name, mine, cursor):
                more = [item for item in map(_text, page["items"]) if item not in shown]
                leaks.same(more, [], f"{name}: {mine} from a cursor of {holder}")
            answer = await cast[name].get(mine, params=params | {"cursor": cursor})
            told = [word for word in cast.forbidden(name) if word in answer.text]
            leaks.same(told, [], f"{name}: {mine} from a cursor of {holder}")
    assert tried > 5, f"{tried} cursors only"
    leaks.assert_none()


def _text(item: dict[str, Any]) -> str:
    return json.dumps(_still(item), sort_keys=True)


def _still(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = VOLATILE | {"highlights"} | (OF_AN_INDEX if "lag" in value else set())
        return {k: _still(v) for k, v in value.items() if k not in left_out}
    return [_still(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ASKERS)
async def test_an_idempotency_key_of_anns_is_nothing_to_others(cast: Cast, name: str) -> None:
    leaks = Leaks("idempotency keys")
    for one in POSTS:
        for url in {filled(one, cast.own["ann"]), filled(one, cast.own.get(name, {}))}:
            key = {"Idempotency-Key": f"key-{new_id()}"}
            body = None if one.media is None else json.dumps(one.body)
            headers = key | ({"Content-Type": one.media} if one.media else {})
            hers = await cast["ann"].client.post(filled(one, cast.own["ann"]), content=body, headers=headers)
            told = await cast[name].client.post(url, content=body, headers=headers)
            leaks.same(told.headers.get("idempotency-replayed"), None, f"{name}: POST {url} is replayed")
            refused = told.json().get("code") if told.status_code in (409, 422) else None
            known = refused in ("idempotency-mismatch", "in-progress")
            leaks.same(known, False, f"{name}: POST {url} says that the key is known: {refused}")
            ids = set(ID.findall(hers.text)) - set(ID.findall(url)) - set(ID.findall(body or ""))
            mine = {cast[name].id, cast[name].organisation}
            if hers.is_success and name not in ACME:
                leaks.same([id for id in ids - mine if id in told.text], [], f"{name}: POST {url}")
    leaks.assert_none()


async def snapshot(cast: Cast, name: str, asked: list[Operation]) -> dict[str, Any]:
    """What somebody is told by every operation that reads, apart from what is another at every moment."""
    found = {}
    for one in asked:
        url = filled(one, cast.own.get(name, {}) if name != "ed" else {})
        answer = await cast[name].get(url, params=PARAMETERS.get(url, {}))
        body = _still(answer.json()) if answer.headers.get("content-type", "").endswith("json") else answer.text
        if isinstance(body, dict) and "degraded" in body:
            body["items"] = sorted(_text(item) for item in body["items"])
        found[one.id] = (answer.status_code, body)
    export = await cast[name].get("/v1/memories/export")
    found["export_memories"] = (export.status_code, sorted(export.text.splitlines()))
    return found


async def in_private(cast: Cast) -> None:
    """Ann does everything that nobody else needs to know of."""
    ann = cast["ann"]
    made = [
        await ann.made("/v1/memories", {"title": f"pool {n} {new_id().hex}", "body": "ran dry", "tags": ["quiet"]})
        for n in range(3)
    ]
    path = f"/v1/memories/{made[0]['id']}"
    merge = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}
    await ann.done("PATCH", path, json={"project": "quiet"}, headers=merge)
    await ann.made(f"{path}/links", {"target_kind": "memory", "target": cast.ids["public memory"][0]})
    await ann.made(
        f"/v1/memories/{cast.ids['public memory'][0]}/links", {"target_kind": "memory", "target": made[0]["id"]}
    )
    await ann.made(f"{path}/supersede", {"by": made[1]["id"]})
    await ann.made(f"/v1/memories/{made[1]['id']}/invalidate", {"reason": "quietly"})
    await ann.done("DELETE", f"/v1/memories/{made[2]['id']}")
    await ann.made("/v1/keys", {"name": "quiet"})
    await ann.get("/v1/search", params={"q": "quiet"})


async def in_acme(cast: Cast) -> None:
    """Acme does what is nobody's business outside."""
    olga = cast["olga"]
    await olga.made("/v1/teams", {"name": f"quiet {new_id().hex}"})
    await olga.made("/v1/people", {"name": "quiet", "role": "viewer"})
    await olga.made(f"/v1/organisations/{olga.organisation}/invitations", {"role": "viewer"})
    await olga.made("/v1/memories", {"title": f"pool {new_id().hex}", "privacy": "public", "tags": ["quiet"]})


async def test_what_is_done_in_private_changes_nothing_for_others(cast: Cast) -> None:
    leaks = Leaks("what others notice")
    reads = [one for one in operations() if one.method == "GET" and one.id not in NOT_ASKED]
    # In Acme the trail tells those who may read it that Ann did something; that is what it is for.
    asked = {name: [one for one in reads if one.id != "read_audit" or name not in ACME] for name in OTHERS}
    whom = OTHERS if FULL else ["olga", "carl", "gus"]
    # What was written before has been indexed, and what is alike in it linked.
    await cast.stage.settled(cast["ann"])
    await cast.stage.consumed("memory.near_duplicates", "search.near_duplicates_found")
    before = {name: await snapshot(cast, name, asked[name]) for name in whom}
    await in_private(cast)
    await cast.stage.settled(cast["ann"])
    for name in whom:
        after = await snapshot(cast, name, asked[name])
        for id, told in after.items():
            leaks.same(told, before[name][id], f"{name}: {id} after what Ann did in private")
    before = {name: await snapshot(cast, name, asked[name]) for name in whom if name not in ACME}
    await in_acme(cast)
    await cast.stage.settled(cast["olga"])
    for name, told_before in before.items():
        for id, told in (await snapshot(cast, name, asked[name])).items():
            leaks.same(told, told_before[id], f"{name}: {id} after what Acme did")
    leaks.assert_none()


@pytest.mark.parametrize("name", ["gus", "carl"])
async def test_how_often_others_write_a_word_is_not_told(cast: Cast, name: str) -> None:
    """Two words of somebody's are equally rare to them, however often Ann writes one of them."""
    leaks, asker, ann = Leaks("what others notice"), cast[name], cast["ann"]
    words = [f"rare{new_id().hex}" for _ in range(2)]
    for word in words:
        await asker.made("/v1/memories", {"title": f"{word} plan", "body": "ours"})
    for number in range(5):
        await ann.made("/v1/memories", {"title": f"{words[1]} {number}", "body": "hers"})
    await cast.stage.settled(ann)
    told = [await scored(asker, word) for word in [*words, " ".join(words)]]
    leaks.same(told[1][0], told[0][0], f"{name}: the scores of a word that Ann writes, too")
    leaks.same(told[2][1], told[2][0], f"{name}: the scores of memories with a word each")
    leaks.assert_none()


async def scored(asker: Caller, words: str) -> list[list[float]]:
    """The scores of each hit, as exactly as anybody could use them."""
    asked = {"q": words, "explain": "true", "legs": "lexical"}
    hits = (await asker.get("/v1/search", params=asked)).json()["items"]
    legs = [[hit["score"], *(leg["score"] for leg in hit["explanation"]["legs"])] for hit in hits]
    assert legs
    assert all(score > 0 for leg in legs for score in leg)
    return [[round(score, 4) for score in leg] for leg in legs]
