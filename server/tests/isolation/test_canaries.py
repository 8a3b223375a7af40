"""A word for each thing somebody keeps, looked for in everything anybody else is told, and in all that lies around."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Iterator
from itertools import product
from typing import Any

import pytest
import redis

from devlore_server.kit.ids import new_id
from tests.isolation.cast import ACME, GLOBEX, Cast
from tests.isolation.conftest import Assembled
from tests.isolation.operations import call, operations
from tests.isolation.probes import FULL, Leaks
from tests.isolation.stage import logged_to

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1_800 if FULL else 300)]
EVERYBODY = [*ACME, *GLOBEX, "ed", "ed-home", "revoked", "nobody"]
ASKERS = EVERYBODY if FULL else ["ben", "carl", "olga", "gus", "ed-home", "nobody"]
KEYLESS = {"AUTH", "CLIENT", "EVALSHA", "HELLO", "PING", "SCRIPT", "SELECT", "TIME"}
KEY = re.compile(r"devlore:\{([0-9a-f-]{36}|visitor)\}:[a-z-]+(:.+)?|devlore:log(:[a-z]+)?")


@pytest.fixture(scope="module", autouse=True)
def logged(everybody: Assembled) -> Iterator[io.StringIO]:
    """All that the server logs, from when everybody came on."""
    text = io.StringIO(everybody.log)
    text.seek(0, io.SEEK_END)
    with logged_to(text):
        yield text


def hidden_ids(cast: Cast, name: str) -> set[str]:
    """Ids that nobody tells this person: not of hidden things, and not of people and places elsewhere."""
    kinds: tuple[str, ...] = ("memory", "link", "connection", "sync", "session", "key", "passkey")
    if name == "ann":
        return set()
    if name not in ACME:
        kinds = (*kinds, "organisation", "person", "team", "invitation", "departure", "account", "public memory")
    ids = {id for kind in kinds for id in cast.ids.get(kind, [])}
    if name == "ben":
        ids.discard(cast.ids["memory"][1])
    return ids - {cast[name].id, cast[name].organisation}


def swept(cast: Cast, name: str, text: str, sent: str = "") -> list[str]:
    """What of a text this person must not be told, unless they have just said it themselves."""
    words = [*cast.forbidden(name), *hidden_ids(cast, name)]
    return [word for word in words if word in text and word not in sent]


async def answers(cast: Cast, name: str) -> AsyncIterator[tuple[str, str, str]]:
    """Everything somebody can ask that changes nothing: what was asked, what was sent, and what was told."""
    own = cast.own.get(name, {})
    ids = {kind: [*known[:1], own.get(kind, str(new_id()))] for kind, known in cast.ids.items()}
    ids["memory"] += cast.ids["public memory"]
    for one in operations():
        if one.method not in ("GET", "HEAD") or one.path == "/metrics":
            continue
        slots = one.of("path")
        for values in product(*(dict.fromkeys(ids.get(slot.kind, ["1"])) for slot in slots)):
            asked = call(one, dict(zip(slots, values, strict=True)))
            answer = await cast[name].client.request(asked.method, asked.url, params={"limit": "100"})
            yield f"{asked.method} {asked.url}", asked.url, answer.text + repr(answer.headers.multi_items())


SEARCHES = ("pool", "dry", "ran dry", '"ran dry"', "kind:note", "status:any", "pool status:any -zebra", "canary", "")
FACETS = [("facets", name) for name in ("kind", "project", "tag", "author", "source", "status", "privacy")]


async def searches(cast: Cast, name: str) -> AsyncIterator[tuple[str, str, str]]:
    """Searches of every kind, for what everybody wrote and for each other's words."""
    alone = [[("legs", "lexical")], [("legs", "vector")]]
    every = [(q, [[], *alone]) for q in SEARCHES]
    every += [(q, [[], *alone] if FULL else [[]]) for q in list(cast.words)[:: 1 if FULL else 12]]
    for q, asked in every:
        for legs in asked:
            params = [("q", q), ("limit", "100"), ("explain", "true"), *FACETS, *legs]
            answer = await cast[name].get("/v1/search", params=params)
            yield f"search {q} by {legs}", q, answer.text
    for deleted in ("false", "true"):
        answer = await cast[name].get("/v1/memories/export", params={"deleted": deleted})
        yield f"export, deleted {deleted}", "", answer.text
        answer = await cast[name].get("/v1/memories", params={"deleted": deleted, "limit": "100"})
        yield f"list, deleted {deleted}", "", answer.text


async def mistakes(cast: Cast, name: str) -> AsyncIterator[tuple[str, str, str]]:
    """Requests that fail for what others have: problems must not explain it."""
    own, ids = cast.own.get(name, {}), cast.ids
    mine = f"/v1/memories/{own.get('memory', str(new_id()))}"
    merge = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}
    tries: list[tuple[str, str, Any, dict[str, str]]] = [
        ("POST", f"{mine}/links", {"target_kind": "memory", "target": ids["memory"][0]}, {}),
        ("POST", f"{mine}/supersede", {"by": ids["memory"][0]}, {}),
        ("PATCH", mine, {"privacy": "team", "team_id": ids["team"][0]}, merge),
        ("POST", "/v1/memories", {"title": "x", "links": [{"target_kind": "memory", "target": ids["memory"][1]}]}, {}),
        ("POST", "/v1/keys", {"name": "x", "person": ids["account"][0]}, {}),
        ("POST", "/v1/sessions/switch", {"organisation": ids["organisation"][0]}, {}),
        ("POST", "/v1/connections", {"connector": "git", "config": {"path": "/tmp"}}, {}),
        ("PUT", f"/v1/teams/{ids['team'][0]}/members/{ids['person'][2]}", {"role": "maintainer"}, {}),
    ]
    for method, url, body, headers in tries:
        allowed = name in ("ben", "ann", "olga", "alan") and "team" in f"{body}{url}"
        if allowed or (name in ACME and url.endswith("/switch")):
            continue
        answer = await cast[name].client.request(method, url, json=body, headers=headers)
        yield f"{method} {url}", f"{url} {body}", answer.text


@pytest.mark.parametrize("name", ASKERS)
async def test_nobody_is_told_a_word_of_anothers(cast: Cast, name: str) -> None:
    leaks, asked, told = Leaks("canaries in answers"), 0, ""
    for ask in (answers, searches, mistakes):
        async for what, sent, text in ask(cast, name):
            asked, told = asked + 1, told + text
            words = swept(cast, name, text, sent)
            if "/v1/audit" in what and name in ACME:
                # That something happened to a memory is what the trail is for; not what it says.
                words = [word for word in words if word in cast.words]
            leaks.same(words, [], f"{name}: {what}")
    assert asked > 100
    if name in (*ACME, *GLOBEX):
        seen = [word for word, readers in cast.words.items() if name in readers and word in told]
        assert len(seen) > 10, "who is told nothing at all proves nothing"
    leaks.assert_none()


async def test_what_replaced_a_memory_is_told_to_those_who_may_see_it(cast: Cast) -> None:
    leaks = Leaks("canaries in answers")
    successor, (*_, replaced) = cast.ids["memory"][0], cast.ids["public memory"]
    path, merge = f"/v1/memories/{replaced}", {"Content-Type": "application/merge-patch+json", "If-Match": "*"}
    edited = await cast["carl"].done("PATCH", path, json={"pinned": True}, headers=merge)
    for asked in ("", "/versions", "/versions/2", "/diff", "/diff?old=1&new=2", "/links"):
        told = await cast["carl"].done("GET", path + asked)
        leaks.same(successor in told.text, False, f"carl: {path}{asked}")
    leaks.same(successor in edited.text, False, "carl: what was edited")
    for asked in ("", "/versions", "/versions/2", "/links"):
        hers = await cast["ann"].done("GET", path + asked)
        assert successor in hers.text, f"what Carl did not know of is still there: {asked}"
    again = await cast["carl"].done("POST", f"{path}/reinstate", json={})
    leaks.same(successor in again.text, False, "carl: what was reinstated")
    assert "supersedes" not in (await cast["ann"].done("GET", path + "/links")).text
    await cast["ann"].made(f"{path}/supersede", {"by": successor})
    leaks.assert_none()


async def test_the_log_holds_no_word_of_anybody(cast: Cast, logged: io.StringIO) -> None:
    leaks = Leaks("canaries lying around")
    for name in ("ann", "gus", "nobody") if FULL else ("ann",):
        async for _ in searches(cast, name):
            pass
    text = logged.getvalue()
    assert text.count('"event":"request"') > 100
    emails = [cast[name].email for name in (*ACME, *GLOBEX)]
    secrets = [cast[name].token for name in (*ACME, *GLOBEX)] + list(cast.keys.values())
    lines = [line for line in text.splitlines() if any(word in line for word in [*cast.words, *emails, *secrets])]
    leaks.same(lines[:5], [], "the log")
    leaks.assert_none()


async def test_metrics_name_nobody(cast: Cast) -> None:
    leaks = Leaks("canaries lying around")
    answer = await cast["nobody"].get("/metrics")
    assert answer.status_code == 200
    assert "devlore_http_requests_total" in answer.text or "devlore_http" in answer.text
    ids = {id for known in cast.ids.values() for id in known} | {cast[name].id for name in (*ACME, *GLOBEX)}
    leaks.same([one for one in [*cast.words, *ids] if one in answer.text], [], "metrics")
    leaks.assert_none()


async def test_redis_is_told_no_word_and_only_keys_of_somebody(cast: Cast) -> None:
    leaks, keys = Leaks("canaries lying around"), set[str]()
    known = [*cast.words, *(cast[name].email for name in (*ACME, *GLOBEX))]
    for words in [line.split(" ") async for line in told_to_redis(cast)]:
        leaks.same([word for word in known if word in " ".join(words)], [], f"Redis: {words[0]}")
        named = [word for word in words if word.startswith("devlore:")]
        leaks.same(bool(named) or words[0].upper() in KEYLESS, True, f"Redis: a key that is nobody's: {words}")
        leaks.same([key for key in named if not KEY.fullmatch(key)], [], f"Redis: {words[0]}")
        keys.update(named)
    assert any(key.startswith(f"devlore:{{{cast['ann'].organisation}}}") for key in keys)
    leaks.assert_none()


async def told_to_redis(cast: Cast) -> AsyncIterator[str]:
    """Every command while three people search; what Redis holds is gone again after moments, or after microseconds."""
    last = new_id().hex
    with redis.Redis.from_url(cast.stage.redis_url) as client, client.monitor() as watched:
        for name in ("ann", "gus", "nobody"):
            await cast[name].get("/v1/search", params={"q": "pool"})
        client.echo(last)
        for told in watched.listen():
            if last in told["command"]:
                return
            yield told["command"]


async def test_the_trail_of_acme_tells_of_ann_but_not_what_she_wrote(cast: Cast) -> None:
    leaks = Leaks("canaries in answers")
    told = ""
    for params in ({"limit": "200"}, {"action": "memory.*", "limit": "200"}, {"actor": cast["ann"].id, "limit": "200"}):
        answer = await cast["olga"].get("/v1/audit", params=params)
        told += answer.text
    assert cast.ids["memory"][0] in told
    kept = [word for word, readers in cast.words.items() if readers <= {"ann", "ben"}]
    leaks.same([word for word in kept if word in told], [], "olga: the audit trail")
    for name in ("gus", "gina"):
        answer = await cast[name].get("/v1/audit", params={"limit": "200"})
        assert answer.status_code == 200
        leaks.same(swept(cast, name, answer.text), [], f"{name}: the audit trail")
    leaks.assert_none()
