"""The integration tables under row-level security alone, and the small state around a sync."""

from __future__ import annotations

import json
from datetime import timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devlore.types import ConnectionDraft, Status
from devlore_server.integration.connector import Batch, Failure, fingerprint, slug
from devlore_server.integration.connectors.markdown.decisions import Statement
from devlore_server.integration.connectors.markdown.folder import File
from devlore_server.integration.connectors.markdown.state import Entry, remembered, under, written
from devlore_server.integration.connectors.markdown.succession import Claim, Place
from devlore_server.integration.progress import Progress
from devlore_server.integration.service import IntegrationService
from devlore_server.integration.store import items
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, rows
from devlore_server.ports import IngestResult
from tests.integration.repositories import Repo

TABLES = ("connection", "sync", "item")


@pytest.fixture
async def filled(service: IntegrationService, database: Database, who: Principal, repo: Repo) -> None:
    """One row in every table, of ``who``."""
    draft = ConnectionDraft(connector="git", config={"path": str(repo.folder)}, watch=True)
    connection, _ = await service.connect(who, draft)
    await service.sync(who, connection.id)
    async with database.transaction(who) as transaction:
        await items.note(transaction, who, connection.id, "git", 0, ["a", "b", "a"])


@pytest.mark.usefixtures("filled")
async def test_row_level_security_alone_hides_every_table(
    database: Database, who: Principal, other: Principal, stranger: Principal
) -> None:
    for table in TABLES:
        for principal, visible in ((who, True), (other, False), (stranger, False), (None, False)):
            async with database.transaction(principal) as transaction:
                found = await rows(transaction, f"SELECT organisation_id FROM integration.{table}")  # type: ignore[arg-type]
                assert bool(found) is visible, (table, principal)
                changed = await transaction.execute(f"UPDATE integration.{table} SET created_by = created_by")  # type: ignore[arg-type]
                assert bool(changed.rowcount) is visible


@pytest.mark.usefixtures("filled")
async def test_nobody_can_write_into_anothers_name(database: Database, who: Principal, other: Principal) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.transaction(who) as transaction:
            await transaction.execute("UPDATE integration.connection SET created_by = %s", (other.person,))


@pytest.mark.usefixtures("filled")
async def test_the_worker_is_told_whose_work_there_is_and_nothing_else(
    service: IntegrationService, database: Database, who: Principal
) -> None:
    (waiting,) = await service.syncs.waiting()
    assert (waiting.organisation, waiting.person) == (who.organisation, who.person)
    ((watched, stored),) = await service.watched()
    assert (watched.owner.person, watched.owner.teams, stored.watch) == (who.person, frozenset(), True)
    assert await service.syncs.claim(waiting)
    assert await service.syncs.waiting() == []
    assert len(await service.syncs.waiting(dead_after=timedelta(seconds=-1))) == 1


async def test_items_tell_what_is_only_here_and_what_was_not_seen_again(
    service: IntegrationService, database: Database, who: Principal, repo: Repo
) -> None:
    one, _ = await service.connect(who, ConnectionDraft(connector="git", config={"path": str(repo.folder)}))
    two, _ = await service.connect(who, ConnectionDraft(connector="markdown", config={"path": str(repo.folder)}))
    async with database.transaction(who) as transaction:
        await items.note(transaction, who, one.id, "git", 1, ["a", "b", "c"])
        await items.note(transaction, who, two.id, "git", 1, ["c"])
        await items.note(transaction, who, one.id, "git", 2, ["b"])
        assert sorted(await items.only_here(transaction, who, one.id, "git", ["a", "b", "c"])) == ["a", "b"]
        assert sorted(await items.only_here(transaction, who, one.id, "other", ["c"])) == ["c"]
        assert sorted(await items.older(transaction, who, one.id, 2, 10)) == ["a", "c"]
        await items.forget(transaction, who, one.id, ["a"])
        assert await items.older(transaction, who, one.id, 2, 10) == ["c"]
        await items.note(transaction, who, one.id, "git", 3, [])


def test_progress_counts_and_goes_on() -> None:
    progress = Progress()
    first = Batch(expected=10, skipped=5, failures=[Failure("x", "y")])
    progress.announce(first)
    assert (progress.total, progress.done, progress.unchanged, progress.failed) == (15, 5, 5, 1)
    progress.add(Batch(drafts=[None] * 4), IngestResult(2, 1, 0, 3, [("z", "bad")]))  # type: ignore[list-item]
    assert (progress.done, progress.created, progress.updated, progress.deleted, progress.failed) == (9, 2, 1, 3, 2)
    # The same pull once more, from its checkpoint on.
    progress.announce(Batch(expected=6, skipped=9, failures=[Failure("x", "y")]))
    assert (progress.total, progress.done, progress.unchanged, progress.failed) == (15, 9, 5, 2)


def test_failures_hold_only_what_can_be_stored() -> None:
    progress = Progress()
    progress.announce(Batch(failures=[Failure("a\0\udcff" + "x" * 5_000, "r" * 5_000)]))
    (failure,) = progress.failures
    assert failure.item.startswith("a??x")
    assert (len(failure.item), len(failure.reason)) == (1_000, 1_000)
    failure.model_dump_json()


_paths = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
_claims = st.builds(
    Claim,
    st.sampled_from(Status),
    st.booleans(),
    st.lists(st.builds(Statement, st.sampled_from(["by", "of"]), _paths, st.booleans()), max_size=3).map(tuple),
)
_places = st.builds(Place, st.sampled_from(Status), st.none() | _paths, st.lists(_paths, max_size=2))
_entries = st.builds(Entry, st.integers(0), st.integers(0), _paths, _claims, _places)


@given(st.dictionaries(_paths, _entries, max_size=5), st.booleans())
def test_a_folders_checkpoint_survives_json(entries: dict[str, Entry], whole: bool) -> None:
    travelled = json.loads(json.dumps(written(entries, settings="s", whole=whole)))
    assert remembered(travelled, "s") == entries
    assert travelled["whole"] is whole
    assert remembered(travelled, "other") is None
    assert remembered({**travelled, "version": -1}, "s") is None
    assert remembered(None, "s") is None


def test_entries_know_their_file() -> None:
    entry = Entry(1, 2, "d", Claim(Status.ACTIVE), Place(Status.ACTIVE))
    assert entry.matches(File("a", 1, 2))
    assert not entry.matches(File("a", 1, 3))
    assert entry.touched(File("a", 9, 2)) == Entry(9, 2, "d", Claim(Status.ACTIVE), Place(Status.ACTIVE))
    assert under("a/b/c.md", ["a/b/"])
    assert not under("a/bc.md", ["a/b/"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("The API", "the-api"),
        ("Größe.js", "groe.js"),
        ("中文", None),
        ("-x-", "x"),
        ("a/b_c", "a/b_c"),
        ("x" * 300, "x" * 100),
    ],
)
def test_slugs(name: str, expected: str | None) -> None:
    assert slug(name) == expected


def test_a_fingerprint_is_of_the_content_not_the_order() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
