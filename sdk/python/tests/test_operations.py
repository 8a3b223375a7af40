"""What each operation sends, and what becomes of the answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import get_type_hints
from uuid import UUID

import pytest
from sdk.python.tests.samples import ID, MOMENT, OTHER, hits, memory, page, problem
from sdk.python.tests.scripted import Reply, Scripted

import devlore
from devlore import problems
from devlore.operations.memories import Changes, DraftFields
from devlore.types import LinkDraft, LinkType, MemoryDraft, MemoryPatch, SearchRequest, Source, TargetKind


@pytest.fixture
def client(scripted: Scripted) -> Iterator[devlore.Client]:
    with devlore.Client(scripted.url, retry=devlore.Retry(attempts=1)) as client:
        yield client


def test_create_sends_only_what_was_given(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(201, memory()))
    made = client.memories.create(title="Pin psycopg", kind="decision", occurred_at=datetime(2026, 1, 2, tzinfo=UTC))
    seen = scripted.seen[0]
    assert (seen.method, seen.path, seen.query) == ("POST", "/v1/memories", {})
    assert seen.json == {"title": "Pin psycopg", "kind": "decision", "occurred_at": "2026-01-02T00:00:00Z"}
    assert made.id == UUID(ID)


def test_create_takes_a_draft_with_links(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(201, memory()))
    link = LinkDraft(type=LinkType.FIXES, target_kind=TargetKind.TICKET, target="#12")
    client.memories.create(MemoryDraft(title="t", links=[link], source=Source(connector="git")), wait=True)
    assert scripted.seen[0].query == {"wait": ["indexed"]}
    assert scripted.seen[0].json["links"] == [{"type": "fixes", "target_kind": "ticket", "target": "#12"}]
    assert scripted.seen[0].json["source"] == {"connector": "git"}


def test_models_among_the_fields_are_sent_as_json(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(201, memory()))
    client.memories.create(title="t", links=[LinkDraft(target_kind=TargetKind.URL, target="https://a.b")])
    assert scripted.seen[0].json["links"][0]["target"] == "https://a.b"


def test_keyword_arguments_are_the_fields_of_the_types() -> None:
    assert set(get_type_hints(DraftFields)) == set(MemoryDraft.model_fields)
    assert set(get_type_hints(Changes)) == set(MemoryPatch.model_fields)


def test_update_sends_a_merge_patch_with_the_version(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(body=memory(version=4)))
    assert client.memories.update(ID, version=3, project=None, title="new").version == 4
    seen = scripted.seen[0]
    assert (seen.method, seen.path) == ("PATCH", f"/v1/memories/{ID}")
    assert seen.headers["if-match"] == '"3"'
    assert seen.headers["content-type"] == "application/merge-patch+json"
    assert seen.json == {"project": None, "title": "new"}


def test_a_stale_version_is_raised_as_its_class(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(412, problem(412, "version-mismatch", version=7)))
    with pytest.raises(problems.VersionMismatch) as caught:
        client.memories.update(ID, version=3, title="new")
    assert caught.value.extra["version"] == 7


def test_filters_become_repeated_parameters(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(body=page()))
    client.memories.list(
        kind=["decision", "bug-fix"], project="api", pinned=False, after=datetime(2026, 1, 2, tzinfo=UTC), limit=5
    )
    assert scripted.seen[0].query == {
        "kind": ["decision", "bug-fix"],
        "project": ["api"],
        "pinned": ["false"],
        "after": ["2026-01-02T00:00:00+00:00"],
        "limit": ["5"],
    }


def test_all_follows_cursors_and_keeps_filters(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(
        Reply(body=page(memory(), next="one")), Reply(body=page(memory(id=OTHER), next="two")), Reply(body=page())
    )
    found = list(client.memories.all(kind="decision"))
    assert [str(item.id) for item in found] == [ID, OTHER]
    assert [seen.query.get("cursor") for seen in scripted.seen] == [None, ["one"], ["two"]]
    assert all(seen.query["kind"] == ["decision"] for seen in scripted.seen)


def test_all_fetches_no_page_before_it_is_needed(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(body=page(memory(), next="one")), Reply(500))
    assert next(client.memories.all()).title == "Pin psycopg"
    assert len(scripted.seen) == 1


def test_search_sends_a_request_and_pages_by_its_body(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(body=hits(memory(), next="more")), Reply(body=hits(memory(id=OTHER))))
    found = list(client.search.all("pool dry", kind="bug-fix", explain=True, limit=1))
    assert [str(hit.memory.id) for hit in found] == [ID, OTHER]
    assert scripted.seen[0].json == {"q": "pool dry", "kind": ["bug-fix"], "explain": True, "limit": 1}
    assert scripted.seen[1].json["cursor"] == "more"


def test_a_search_request_can_be_sent_as_it_is(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(body=hits()))
    client.search.request(SearchRequest(q="x", tag=["a"]), wait=True)
    assert scripted.seen[0].json == {"q": "x", "tag": ["a"]}
    assert scripted.seen[0].query == {"wait": ["indexed"]}


def test_a_bad_query_says_where(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(422, problem(422, "invalid-query", position=4, detail="A quote is not closed.")))
    with pytest.raises(problems.InvalidQuery) as caught:
        client.search('say "x')
    assert caught.value.extra["position"] == 4


def test_delete_and_purge(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(204))
    client.memories.delete(ID)
    client.memories.delete(ID, purge=True, version=2)
    assert scripted.seen[0].query == {}
    assert "if-match" not in scripted.seen[0].headers
    assert scripted.seen[1].query == {"purge": ["true"]}
    assert scripted.seen[1].headers["if-match"] == '"2"'


@pytest.mark.parametrize(
    ("verb", "arguments", "body"),
    [
        ("restore", {"version": 2}, {"version": 2}),
        ("restore", {}, {}),
        ("supersede", {"by": OTHER, "reason": "newer"}, {"by": OTHER, "reason": "newer"}),
        ("invalidate", {"reason": "wrong"}, {"reason": "wrong"}),
        ("reinstate", {}, {}),
    ],
)
def test_the_life_cycle(
    scripted: Scripted, client: devlore.Client, verb: str, arguments: dict[str, str], body: dict[str, str]
) -> None:
    scripted.play(Reply(body=memory()))
    getattr(client.memories, verb)(ID, **arguments)
    assert scripted.seen[0].path == f"/v1/memories/{ID}/{verb}"
    assert scripted.seen[0].json == body
    assert scripted.seen[0].headers["idempotency-key"]


def test_bulk_reports_per_item(scripted: Scripted, client: devlore.Client) -> None:
    items = [
        {"index": 0, "status": 201, "result": "created", "id": ID, "version": 1},
        {
            "index": 1,
            "status": 422,
            "result": "refused",
            "problem": problem(422, "invalid", errors=[{"pointer": "/k"}]),
        },
    ]
    scripted.play(Reply(body={"items": items, "created": 1, "updated": 0, "unchanged": 0, "refused": 1}))
    result = client.memories.bulk([MemoryDraft(title="a"), {"kind": "Not A Kind"}])
    assert scripted.seen[0].json == {"items": [{"title": "a"}, {"kind": "Not A Kind"}]}
    assert result.items[1].problem is not None
    assert result.items[1].problem.errors == [{"pointer": "/k"}]


def test_diff_versions_and_links(scripted: Scripted, client: devlore.Client) -> None:
    change = {"memory_id": ID, "old_version": 1, "new_version": 2, "fields": [], "body": "-a\n+b\n"}
    scripted.play(Reply(body=change))
    assert client.memories.diff(ID, old=1).body == "-a\n+b\n"
    assert scripted.seen[0].query == {"old": ["1"]}
    scripted.play(Reply(body=page()))
    assert list(client.memories.all_versions(ID)) == []
    assert list(client.memories.all_links(ID)) == []
    assert [seen.path.rsplit("/", 1)[1] for seen in scripted.seen[1:]] == ["versions", "links"]


def test_connections_and_syncs(scripted: Scripted, client: devlore.Client) -> None:
    source = {
        "id": ID,
        "connector": "git",
        "name": "api",
        "project": None,
        "config": {"path": "/src"},
        "watch": False,
        "created_at": MOMENT,
        "last_synced_at": None,
        "checkpoint": None,
    }
    scripted.play(Reply(201, source))
    assert client.connections.create("git", config={"path": "/src"}).connector == "git"
    assert scripted.seen[0].json == {"connector": "git", "config": {"path": "/src"}}
    run = dict.fromkeys(["done", "created", "updated", "unchanged", "deleted", "failed"], 0)
    run |= {"id": OTHER, "connection_id": ID, "state": "queued", "total": None, "failures": [], "error": None}
    scripted.play(Reply(202, run | {"started_at": None, "finished_at": None}))
    assert client.connections.sync(ID, full=True).state == "queued"
    assert scripted.seen[1].json == {"full": True}
    assert client.syncs.get(OTHER).connection_id == UUID(ID)
    scripted.play(Reply(204))
    client.syncs.cancel(OTHER)
    assert scripted.seen[3].method == "DELETE"


def test_the_instance_answers_for_itself(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(body={"version": "0.1.0", "tier": "individual"}))
    assert client.instance()["tier"] == "individual"
    client.instance.ready()
    assert [seen.path for seen in scripted.seen] == ["/v1/instance", "/readyz"]


def test_a_newer_server_may_say_more(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(body=memory(mood="cheerful")))
    assert client.memories.get(ID).title == "Pin psycopg"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"id": 1}'])
def test_an_answer_of_something_else_is_named(scripted: Scripted, client: devlore.Client, body: bytes) -> None:
    scripted.play(Reply(body=body))
    with pytest.raises(devlore.Unreadable):
        client.memories.get(ID)


@pytest.mark.parametrize(
    ("status", "cls"),
    [(401, problems.Unauthenticated), (403, problems.NotAllowed), (404, problems.NotFound), (418, problems.Problem)],
)
def test_a_failure_without_a_problem_body_goes_by_its_status(
    scripted: Scripted, client: devlore.Client, status: int, cls: type[problems.Problem]
) -> None:
    scripted.play(Reply(status, b"<html>nope</html>"))
    with pytest.raises(cls) as caught:
        client.memories.get(ID)
    assert type(caught.value) is cls
    assert str(status) in str(caught.value)


@pytest.mark.parametrize(
    ("id", "path"),
    [
        ("a/b", "/v1/memories/a%2Fb"),
        ("../connections", "/v1/memories/..%2Fconnections"),
        ("x?purge=true", "/v1/memories/x%3Fpurge%3Dtrue"),
        ("50%", "/v1/memories/50%25"),
        ("a#b", "/v1/memories/a%23b"),
    ],
)
def test_an_id_stays_one_part_of_the_path(scripted: Scripted, client: devlore.Client, id: str, path: str) -> None:
    scripted.play(Reply(404, problem(404, "not-found")))
    with pytest.raises(problems.NotFound):
        client.memories.delete(id)
    assert (scripted.seen[0].path, scripted.seen[0].query) == (path, {})


@pytest.mark.parametrize("id", ["", ".", ".."])
def test_an_id_that_names_another_path_is_not_sent(scripted: Scripted, client: devlore.Client, id: str) -> None:
    for call in (client.memories.get, client.memories.delete, client.connections.delete, client.syncs.get):
        with pytest.raises(problems.Invalid):
            call(id)
    with pytest.raises(problems.Invalid):
        client.memories.unlink(ID, id)
    assert scripted.seen == []
