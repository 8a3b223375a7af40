"""Secrets over HTTP: the policy and its scopes, refusals that echo nothing, and every way in tried with one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from devlore_server.kit.auth import Principal
from devlore_server.memory.secrets.screen import OVERRIDE
from tests.kit.audited import leaves
from tests.memory.conftest import Enter, created
from tests.memory.secrets_formats import checked
from tests.memory.stored import everything_stored

TOKEN = checked(Random(21), "gh" + "p_")
SECRET = f"here it is: {TOKEN}"
PATH = "/v1/policies/secrets"


@pytest.fixture
def owner(who: Principal) -> Principal:
    """``who`` with the scopes of somebody who may choose for the organisation."""
    return replace(who, scopes=who.scopes | {"organisation:read", "organisation:write", OVERRIDE})


@pytest.fixture
def choosing(enter: Enter, owner: Principal) -> httpx2.AsyncClient:
    return enter(owner)


async def choose(client: httpx2.AsyncClient, action: str) -> None:
    answer = await client.put(PATH, json={"action": action})
    assert answer.status_code == 200, answer.text


async def test_the_policy_is_read_and_chosen(choosing: httpx2.AsyncClient, owner: Principal) -> None:
    assert (await choosing.get(PATH)).json() == {"action": "redact", "changed_at": None, "changed_by": None}
    chosen = (await choosing.put(PATH, json={"action": "block"})).json()
    assert (chosen["action"], chosen["changed_by"]) == ("block", str(owner.person))
    assert (await choosing.get(PATH)).json() == chosen


@pytest.mark.parametrize("body", [{}, {"action": "ignore"}, {"action": "flag", "rules": []}, {"action": None}])
async def test_a_policy_that_is_none_is_refused(choosing: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    assert (await choosing.put(PATH, json=body)).status_code == 422
    assert (await choosing.get(PATH)).json()["changed_at"] is None


async def test_reading_and_choosing_need_their_scopes(enter: Enter, who: Principal) -> None:
    for scopes, reads, writes in (
        ((), 403, 403),
        (("organisation:read",), 200, 403),
        (("organisation:write",), 403, 200),
    ):
        client = enter(replace(who, scopes=frozenset(scopes)))
        assert (await client.get(PATH)).status_code == reads
        assert (await client.put(PATH, json={"action": "flag"})).status_code == writes


async def test_an_answer_holds_the_marker_and_not_the_secret(http: httpx2.AsyncClient) -> None:
    memory = await created(http, title="Leak", body=SECRET)
    assert memory["body"].startswith("here it is: [[secret:github:token:")
    read = await http.get(f"/v1/memories/{memory['id']}")
    assert read.json()["body"] == memory["body"]


async def test_block_answers_422_with_pointer_and_rule(choosing: httpx2.AsyncClient) -> None:
    await choose(choosing, "block")
    answer = await choosing.post("/v1/memories", json={"title": SECRET, "tags": ["a", TOKEN]})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    problem = answer.json()
    assert problem["code"] == "holds-secret"
    assert [(one["pointer"], one["rule"]) for one in problem["errors"]] == [
        ("/title", "github:token"),
        ("/tags/1", "github:token"),
    ]
    assert TOKEN not in answer.text
    bulk = await choosing.post("/v1/memories/bulk", json={"items": [{"title": "fine"}, {"body": SECRET}]})
    items = bulk.json()["items"]
    assert [one["status"] for one in items] == [201, 422]
    assert items[1]["problem"]["errors"][0]["pointer"] == "/items/1/body"


async def test_allow_secrets_needs_its_scope(
    http: httpx2.AsyncClient, choosing: httpx2.AsyncClient, owner_url: str
) -> None:
    for path, body in (
        ("/v1/memories", {"title": SECRET, "allow_secrets": True}),
        ("/v1/memories/bulk", {"items": [{"title": "a"}, {"title": SECRET, "allow_secrets": True}]}),
        ("/v1/memories/import", {"items": [{}], "allow_secrets": True}),
    ):
        refused = await http.post(path, json=body)
        assert (refused.status_code, refused.json()["scope"]) == (403, OVERRIDE)
    kept = (await choosing.post("/v1/memories", json={"title": SECRET, "allow_secrets": True})).json()
    assert kept["title"] == SECRET
    assert "allow_secrets" not in kept
    patch = {"headers": {"If-Match": '"1"'}, "json": {"body": SECRET, "allow_secrets": True}}
    assert (await http.patch(f"/v1/memories/{kept['id']}", **patch)).status_code == 403
    assert (await choosing.patch(f"/v1/memories/{kept['id']}", **patch)).json()["body"] == SECRET
    assert [one["action"] for one in leaves(owner_url)].count("secret.overridden") == 2


@pytest.mark.parametrize(
    "body",
    [
        {TOKEN: 1},
        {"title": "a", "source": {"connector": "git", TOKEN: "x"}},
        {"title": "a", "links": [{"target_kind": "url", "target": "x", TOKEN: "x"}]},
        {"title": {"a": SECRET}},
        {"kind": TOKEN},
        {"project": TOKEN},
        {"title": SECRET * 20},
        {"tags": [SECRET + ","]},
        {"privacy": TOKEN},
        {"occurred_at": TOKEN},
        {"team_id": TOKEN, "privacy": "team"},
        {"source": {"connector": TOKEN}},
        {"links": [{"target_kind": "memory", "target": TOKEN}]},
    ],
)
async def test_no_refusal_echoes_what_was_sent(http: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    record = {"memory": body, "versions": [], "links": []}
    for path, sent in (
        ("/v1/memories", body),
        ("/v1/memories/bulk", {"items": [body]}),
        ("/v1/memories/import", {"items": [record, body]}),
    ):
        answer = await http.post(path, json=sent)
        assert TOKEN not in answer.text, path
        assert answer.status_code == 422 or answer.json()["refused"] == len(sent["items"]), answer.text


async def test_a_refused_record_is_not_pointed_into_by_names_of_its_sender(choosing: httpx2.AsyncClient) -> None:
    await choose(choosing, "block")
    record = {"memory": {"title": SECRET, TOKEN: {"a": SECRET}}, TOKEN: [SECRET]}
    answer = await choosing.post("/v1/memories/import", json={"items": [record]})
    (item,) = answer.json()["items"]
    assert [one["pointer"] for one in item["problem"]["errors"]] == ["/memory/title", "/memory", ""]
    assert item["problem"]["rules"] == ["github:token"]
    assert TOKEN not in answer.text


async def test_a_plain_word_that_does_not_belong_is_still_named(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/v1/memories", json={"titel": "a", "occuredAt": 1})
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/titel", "/occuredAt"]


# --- every way in ---------------------------------------------------------------------------------------------------


def _bodies(memory: dict[str, Any]) -> dict[str, Any]:
    """A body for each operation that takes one, with every text it can hold."""
    draft = {
        "title": "a",
        "body": "b",
        "kind": "note",
        "project": "api",
        "tags": ["t"],
        "links": [{"target_kind": "url", "target": "https://x.dev", "note": "n"}],
        "source": {"connector": "git", "external_id": "e", "url": "https://x.dev", "author": "Ada"},
    }
    record = {"memory": memory | {"source": draft["source"], "status_reason": "r", "tags": ["t"]}, "links": []}
    past = {"memory_id": memory["id"], "version": 1, "change": "created", "changed_at": memory["created_at"]}
    record["versions"] = [past | {"changed_by": memory["created_by"], "reason": "r", "memory": record["memory"]}]
    record["memory"] = record["memory"] | {"version": 2}
    return {
        "create_memory": draft,
        "edit_memory": {name: draft[name] for name in ("title", "body", "kind", "project", "tags")},
        "bulk_memories": {"items": [draft]},
        "import_memories": {"items": [record]},
        "restore_memory": {"version": 1},
        "add_link": draft["links"][0],  # type: ignore[index]
        "supersede_memory": {"by": memory["id"], "reason": "r"},
        "invalidate_memory": {"reason": "r"},
        "reinstate_memory": {"reason": "r"},
        "set_secrets_policy": {"action": "redact"},
    }


def _planted(body: Any) -> Iterator[Any]:
    """The body once for each of its texts, with the secret in the place of that text."""
    if isinstance(body, str):
        yield SECRET
        yield TOKEN
    elif isinstance(body, dict):
        for name, value in body.items():
            yield from (body | {name: one} for one in _planted(value))
    elif isinstance(body, list):
        for index, value in enumerate(body):
            yield from ([*body[:index], one, *body[index + 1 :]] for one in _planted(value))


def _operations(app: FastAPI) -> dict[str, tuple[str, str]]:
    """Every public operation that takes a body: its method and path."""
    return {
        operation["operationId"]: (method, path)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation
    }


@pytest.mark.parametrize("action", ["redact", "block"])
async def test_no_text_of_any_operation_brings_a_secret_in(
    app: FastAPI,
    choosing: httpx2.AsyncClient,
    action: str,
    owner_url: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A new operation fails here until its body stands in ``_bodies``; a new text in a body is tried by itself."""
    operations, bodies = _operations(app), _bodies(await created(choosing))
    assert operations.keys() == bodies.keys()
    await choose(choosing, action)
    tried = 0
    for name, (method, path) in operations.items():
        for body in _planted(bodies[name]):
            target = await created(choosing)
            answer = await choosing.request(
                method, path.replace("{id}", target["id"]), json=body, headers={"If-Match": "*"}
            )
            assert answer.status_code < 500, (name, body)
            assert TOKEN not in answer.text, (name, body)
            tried += 1
    assert tried >= 100
    assert TOKEN not in everything_stored(owner_url)
    assert ("[[secret:github:token:" in everything_stored(owner_url)) is (action == "redact")
    said = capfd.readouterr()
    assert TOKEN not in said.out + said.err
