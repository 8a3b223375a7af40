"""Every operation of both clients against a real server: memories, their history and links, and search."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sdk.python.tests.either import KINDS, done, every, first, opened

from devlore import problems
from devlore.types import (
    Count,
    Diff,
    Link,
    LinkDraft,
    LinkType,
    Memory,
    MemoryDraft,
    MemoryPatch,
    Page,
    SearchPage,
    SearchRequest,
    SearchStatus,
    Source,
    Status,
    TargetKind,
    Version,
)

LONG_AGO = datetime(2019, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(params=KINDS)
async def client(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Any]:
    async with opened(request.param, url) as client:
        yield client


async def remembered(client: Any, project: str, *titles: str, **fields: Any) -> list[Memory]:
    return [await done(client.memories.create(title=title, project=project, **fields)) for title in titles]


async def test_a_draft_keeps_every_field(client: Any, project: str) -> None:
    source = Source(connector="wiki", external_id=project, url="https://w.example/1", author="Ada")
    draft = MemoryDraft(
        title="连接池 🐘", body="x\u2028y\n", kind="insight", project=project, tags=["b", "a"], source=source,
        occurred_at=LONG_AGO, valid_from=LONG_AGO, importance=0.0, pinned=True,
    )  # fmt: skip
    made = await done(client.memories.create(draft))
    assert isinstance(made, Memory)
    for name in ("title", "body", "kind", "project", "source", "occurred_at", "valid_from", "importance", "pinned"):
        assert getattr(made, name) == getattr(draft, name), name
    assert set(made.tags) == {"a", "b"}
    assert await done(client.memories.get(made.id)) == made
    assert await done(client.memories.get(str(made.id))) == made


async def test_the_same_source_again_updates_and_an_older_one_does_not(client: Any, project: str) -> None:
    def page(text: str, at: datetime) -> MemoryDraft:
        source = Source(connector="wiki", external_id=project, updated_at=at)
        return MemoryDraft(title=text, project=project, source=source)

    first_made = await done(client.memories.create(page("one", LONG_AGO)))
    newer = await done(client.memories.create(page("two", LONG_AGO + timedelta(days=1))))
    older = await done(client.memories.create(page("zero", LONG_AGO - timedelta(days=1))))
    assert first_made.id == newer.id == older.id
    assert (newer.version, older.version, older.title) == (2, 2, "two")


async def test_a_patch_changes_what_it_names_and_clears_what_is_null(client: Any, project: str) -> None:
    (made,) = await remembered(client, project, "A", body="kept", tags=["t"])
    changed = await done(client.memories.update(made.id, MemoryPatch(title="B", project=None), version=1))
    assert (changed.title, changed.project, changed.body, changed.tags, changed.version) == (
        "B",
        None,
        "kept",
        ["t"],
        2,
    )
    same = await done(client.memories.update(made.id, version=2, title="B"))
    assert same.version == 2


async def test_filters_narrow_a_listing(client: Any, project: str) -> None:
    mine = await remembered(client, project, "old", kind="decision", occurred_at=LONG_AGO, tags=["x"])
    mine += await remembered(client, project, "new", kind="bug-fix", pinned=True)

    async def titles(**filters: Any) -> set[str]:
        return {memory.title for memory in await every(client.memories.all(project=project, **filters))}

    assert await titles() == {"old", "new"}
    assert await titles(kind=["decision", "insight"]) == {"old"}
    assert await titles(tag="x") == {"old"}
    assert await titles(pinned=True) == {"new"}
    assert await titles(pinned=False) == {"old"}
    assert await titles(before=LONG_AGO + timedelta(days=1)) == {"old"}
    assert await titles(after=LONG_AGO + timedelta(days=1)) == {"new"}
    assert await titles(status="invalidated") == set()
    assert await titles(deleted=True) == set()


async def test_an_iterator_crosses_pages_without_gaps_or_repetitions(client: Any, project: str) -> None:
    await done(client.memories.bulk([MemoryDraft(title=f"n{n}", project=project) for n in range(23)]))
    found = await every(client.memories.all(project=project, limit=5))
    assert sorted(memory.title for memory in found) == sorted(f"n{n}" for n in range(23))
    assert [m.created_at for m in found] == sorted((m.created_at for m in found), reverse=True)
    page = await done(client.memories.list(project=project, limit=5))
    assert isinstance(page, Page) and page.next is not None
    rest = await done(client.memories.list(project=project, limit=5, cursor=page.next))
    assert {m.id for m in page.items}.isdisjoint(m.id for m in rest.items)
    assert (await first(client.memories.all(project=project, limit=2))).id == found[0].id


async def test_a_cursor_belongs_to_its_listing(client: Any, project: str) -> None:
    await remembered(client, project, "a", "b")
    page = await done(client.memories.list(project=project, limit=1))
    with pytest.raises(problems.BadCursor):
        await done(client.memories.list(project="another", limit=1, cursor=page.next))


async def test_delete_restore_and_purge(client: Any, project: str) -> None:
    (made,) = await remembered(client, project, "A")
    with pytest.raises(problems.VersionMismatch):
        await done(client.memories.delete(made.id, version=7))
    assert await done(client.memories.delete(made.id, version=1)) is None
    with pytest.raises(problems.NotFound):
        await done(client.memories.get(made.id))
    back = await done(client.memories.restore(made.id))
    assert (back.title, back.deleted_at) == ("A", None)
    with pytest.raises(problems.Conflict):
        await done(client.memories.restore(made.id))
    await done(client.memories.delete(made.id, purge=True))
    with pytest.raises(problems.NotFound):
        await done(client.memories.versions(made.id))


async def test_the_life_cycle_with_reasons(client: Any, project: str) -> None:
    old, new = await remembered(client, project, "MySQL", "PostgreSQL")
    gone = await done(client.memories.supersede(old.id, new.id, reason="JSON"))
    assert (gone.status, gone.superseded_by, gone.status_reason) == (Status.SUPERSEDED, new.id, "JSON")
    assert gone.valid_to is not None
    back = await done(client.memories.reinstate(old.id, reason="no"))
    assert (back.status, back.superseded_by, back.valid_to) == (Status.ACTIVE, None, None)
    wrong = await done(client.memories.invalidate(old.id, reason="never built"))
    assert wrong.status is Status.INVALIDATED
    with pytest.raises(problems.Conflict):
        await done(client.memories.invalidate(old.id))
    with pytest.raises(problems.Problem) as caught:
        await done(client.memories.supersede(new.id, uuid.uuid4()))
    assert caught.value.status in (404, 409, 422)


async def test_versions_and_what_differs(client: Any, project: str) -> None:
    (made,) = await remembered(client, project, "A", body="one\ntwo\n")
    await done(client.memories.update(made.id, version=1, body="one\n2\n"))
    await done(client.memories.update(made.id, version=2, title="B", tags=["t"]))
    found = await every(client.memories.all_versions(made.id, limit=1))
    assert all(isinstance(state, Version) for state in found)
    assert [(state.version, state.change) for state in found] == [(3, "edited"), (2, "edited"), (1, "created")]
    page = await done(client.memories.versions(made.id, limit=2))
    assert [state.version for state in page.items] == [3, 2]
    assert (await done(client.memories.version(made.id, 1))).memory.body == "one\ntwo\n"
    last = await done(client.memories.diff(made.id))
    assert isinstance(last, Diff)
    assert {change.field: (change.old, change.new) for change in last.fields} == {
        "title": ("A", "B"),
        "tags": ([], ["t"]),
    }
    whole = await done(client.memories.diff(made.id, old=1, new=3))
    assert "-two" in whole.body and "+2" in whole.body
    with pytest.raises(problems.NotFound, match="99"):
        await done(client.memories.version(made.id, 99))
    assert (await done(client.memories.restore(made.id, version=1))).body == "one\ntwo\n"


def drawn(links: list[Link]) -> list[Link]:
    """The links that were asked for, without those that search draws to other tests' memories."""
    return [link for link in links if link.type is not LinkType.NEAR_DUPLICATE]


async def test_links_of_every_kind(client: Any, project: str) -> None:
    one, two = await remembered(client, project, "One", "Two")
    made = await done(client.memories.link(one.id, str(two.id), type="contradicts", note="n"))
    assert isinstance(made, Link) and made.direction == "outgoing"
    for kind, target in (("url", "https://x.example"), ("commit", "0badc0de"), ("file", "a.py#L3"), ("ticket", "#1")):
        draft = LinkDraft(type=LinkType.MENTIONS, target_kind=TargetKind(kind), target=target)
        assert (await done(client.memories.add_link(one.id, draft))).target == target
    found = drawn(await every(client.memories.all_links(one.id, limit=2)))
    assert len(found) == len({link.id for link in found}) == 5
    (back,) = drawn((await done(client.memories.links(two.id))).items)
    assert (back.direction, back.memory_id, back.note) == ("incoming", one.id, "n")
    assert await done(client.memories.unlink(one.id, made.id)) is None
    assert drawn((await done(client.memories.links(two.id))).items) == []
    with pytest.raises(problems.NotFound):
        await done(client.memories.unlink(one.id, made.id))
    with pytest.raises(problems.Invalid):
        await done(client.memories.link(one.id, str(one.id)))


async def test_tags_and_projects_are_counted(client: Any, project: str) -> None:
    tags = [f"{project}-{n}" for n in range(3)]
    await remembered(client, project, "a", "b", tags=tags)
    counted = {count.value: count.count for count in await every(client.memories.all_tags(limit=2))}
    assert {tag: counted[tag] for tag in tags} == dict.fromkeys(tags, 2)
    assert Count(value=project, count=2) in await every(client.memories.all_projects(limit=1))
    assert len((await done(client.memories.tags(limit=1))).items) == 1
    assert len((await done(client.memories.projects(limit=1))).items) == 1


async def test_bulk_names_the_refused_and_keeps_the_rest(client: Any, project: str) -> None:
    items = [MemoryDraft(title="a", project=project), {"title": "b", "tags": [1]}, {"title": "c", "project": project}]
    result = await done(client.memories.bulk(items))
    assert (result.created, result.refused) == (2, 1)
    assert [item.status for item in result.items] == [201, 422, 201]
    assert result.items[1].problem.errors[0]["pointer"].endswith("/tags/0")
    assert len(await every(client.memories.all(project=project))) == 2
    with pytest.raises(problems.Invalid):
        await done(client.memories.bulk([]))


async def test_a_bulk_under_one_key_happens_once(client: Any, project: str) -> None:
    key = uuid.uuid4().hex
    results = [
        await done(client.memories.bulk([{"title": "a", "project": project}], idempotency_key=key)) for _ in "ab"
    ]
    assert results[0] == results[1]
    assert len(await every(client.memories.all(project=project))) == 1


async def test_search_with_everything_that_narrows_it(client: Any, project: str) -> None:
    old, new = await remembered(client, project, "The pool ran dry", "The pool is sized by cores", tags=["db"])
    await done(client.memories.supersede(old.id, new.id))

    async def titles(q: str = "pool", **options: Any) -> list[str]:
        page = await done(client.search(q, project=project, wait=True, **options))
        assert isinstance(page, SearchPage)
        return [hit.memory.title for hit in page.items]

    assert await titles() == [new.title]
    assert set(await titles(status="any")) == {old.title, new.title}
    assert await titles(status=["superseded"]) == [old.title]
    assert await titles("pool -cores") == []
    assert await titles(kind=["decision"]) == []
    assert await titles(tag=["db", "other"], legs=["lexical"]) == [new.title]
    assert await titles(before=LONG_AGO) == []
    assert await titles(as_of=LONG_AGO) == []
    page = await done(client.search("pool", project=project, explain=True, facets=["kind", "tag"]))
    assert page.facets["tag"] == [Count(value="db", count=1)]
    assert page.items[0].explanation.legs
    for mark in page.items[0].highlights:
        assert all(0 <= start < end <= len(mark.excerpt) for start, end in mark.spans)
    asked = SearchRequest(q="pool", project=[project], status=["any"], limit=1)
    assert len((await done(client.search.request(asked, wait=True))).items) == 1
    assert (await done(client.memories.search("pool", project=project))).items[0].memory.id == new.id


async def test_hits_page_without_gaps_or_repetitions(client: Any, project: str) -> None:
    await done(client.memories.bulk([MemoryDraft(title=f"Zebra {n}", project=project) for n in range(14)], wait=True))
    found = await every(client.search.all("zebra", project=project, legs=["lexical"], limit=4))
    assert sorted(hit.memory.title for hit in found) == sorted(f"Zebra {n}" for n in range(14))


async def test_similar_memories_are_found_without_words(client: Any, project: str) -> None:
    made, alike = await remembered(
        client, project, "Database sessions ran out", "No database session was left", wait=True
    )
    await done(client.search("database", wait=True))
    for similar in (client.search.similar, client.memories.similar):
        found = [hit.memory.id for hit in (await done(similar(made.id, limit=50))).items]
        assert made.id not in found
        assert alike.id in found
    with pytest.raises(problems.NotFound):
        await done(client.search.similar(uuid.uuid4()))


async def test_the_indexes_can_be_looked_at_and_checked(client: Any, project: str) -> None:
    await remembered(client, project, "One", wait=True)
    status = await done(client.search.status())
    assert isinstance(status, SearchStatus)
    assert {index.name for index in status.indexes} == {"search.lexical", "search.vector"}
    assert all(index.parked == 0 for index in status.indexes)
    checked = await done(client.search.check())
    assert checked.memories > 0
    assert {index["name"] for index in checked.indexes} == {"search.lexical", "search.vector"}


async def test_no_rebuild_to_cancel_and_no_such_embedder(client: Any) -> None:
    with pytest.raises(problems.NotFound, match="No rebuild"):
        await done(client.search.cancel_rebuild())
    with pytest.raises(problems.Problem, match="nonsense"):
        await done(client.search.rebuild(embedder="nonsense"))


async def test_text_that_json_cannot_say_is_refused_before_it_is_sent(client: Any, project: str) -> None:
    with pytest.raises(problems.Invalid, match="surrogates"):
        await done(client.memories.create(title="half \ud83d", project=project))
    with pytest.raises(problems.Invalid) as caught:
        await done(client.memories.create(title="nul \x00", project=project))
    assert caught.value.extra["errors"][0]["pointer"] == "/title"
    assert await every(client.memories.all(project=project)) == []
