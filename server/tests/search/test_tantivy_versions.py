"""The embedded lexical index: what survives versions, namesakes, crashes and damage."""

import threading
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devlore_server.search.backends.tantivy import TantivyIndex
from devlore_server.search.lexical import (
    IndexCorrupted,
    IndexIncompatible,
)
from tests.search.indexed import ACME, GLOBEX, filled, found, in_passages, memory, query

# ------------------------------------------------------------------ versions


def test_a_newer_version_replaces_the_older() -> None:
    index = filled(memory(1, "old words"))
    assert index.upsert([memory(1, "new words", version=2)]) == 1
    index.commit()
    assert found(index, query("old")) == []
    assert found(index, query("new")) == [1]
    assert in_passages(index, query("words")) == [1]
    assert index.contents() == {(ACME, UUID(int=1)): 2}


def test_a_late_older_version_changes_nothing() -> None:
    index = filled(memory(1, "new", version=3))
    assert index.upsert([memory(1, "old", version=2), memory(1, "same", version=3)]) == 0
    index.commit()
    assert found(index, query("new")) == [1]


def test_a_deleted_memory_is_not_resurrected_by_a_late_older_version() -> None:
    index = filled(memory(1, "pool"))
    assert index.delete({(ACME, UUID(int=1)): 2}) == 1
    assert index.upsert([memory(1, "pool", version=1)]) == 0
    index.commit()
    assert index.upsert([memory(1, "pool", version=2)]) == 0
    index.commit()
    assert (found(index, query("pool")), in_passages(index, query("pool")), index.count(), index.contents()) == (
        [],
        [],
        0,
        {},
    )
    assert index.upsert([memory(1, "pool", version=3)]) == 1
    index.commit()
    assert (found(index, query("pool")), index.count()) == ([1], 1)


def test_a_late_delete_of_an_older_version_changes_nothing() -> None:
    index = filled(memory(1, "pool", version=5))
    assert index.delete({(ACME, UUID(int=1)): 4}) == 0
    index.commit()
    assert found(index, query("pool")) == [1]


def test_a_delete_may_come_before_the_memory() -> None:
    index = TantivyIndex.in_memory()
    index.delete({(ACME, UUID(int=1)): 2})
    index.upsert([memory(1, "pool")])
    index.commit()
    assert index.count() == 0


def test_versions_are_kept_apart_within_one_uncommitted_batch() -> None:
    index = TantivyIndex.in_memory()
    assert index.upsert([memory(1, "second", version=2), memory(1, "first"), memory(1, "third", version=3)]) == 1
    assert index.upsert([memory(1, "second", version=2)]) == 0
    index.commit()
    assert (found(index, query("third")), index.count()) == ([1], 1)


def test_purge_leaves_no_trace() -> None:
    index = filled(memory(1, "pool"), memory(2, "pool"))
    index.delete({(ACME, UUID(int=2)): 2})
    index.purge([(ACME, UUID(int=1)), (ACME, UUID(int=2))])
    index.commit()
    assert (index.count(), index.contents()) == (0, {})
    assert index.upsert([memory(1, "pool"), memory(2, "pool")]) == 2


def test_any_uuid_comes_back_as_it_went_in() -> None:
    odd = [UUID(int=0), UUID(int=2**128 - 1), UUID(int=2**63), UUID(int=2**127 + 5)]
    index = TantivyIndex.in_memory()
    index.upsert([memory(id.int, "pool") for id in odd])
    index.commit()
    assert (
        {id for _, id in index.contents()}
        == set(odd)
        == {match.id for match in index.search(query("pool"), 10).memories}
    )


changes = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6), st.booleans(), st.booleans()), max_size=12)


@settings(max_examples=40, deadline=None)
@given(changes)
def test_in_any_order_the_newest_version_wins(steps: list[tuple[int, int, bool, bool]]) -> None:
    index, newest = TantivyIndex.in_memory(), dict[int, tuple[int, bool]]()
    for number, version, delete, commit in steps:
        if delete:
            index.delete({(ACME, UUID(int=number)): version})
        else:
            index.upsert([memory(number, f"pool v{version}", version)])
        if version > newest.get(number, (0, False))[0]:
            newest[number] = (version, delete)
        if commit:
            index.commit()
    index.commit()
    alive = {number: version for number, (version, deleted) in newest.items() if not deleted}
    assert {id.int: version for (_, id), version in index.contents().items()} == alive
    assert set(found(index, query("pool"))) == set(in_passages(index, query("pool"))) == alive.keys()


# ------------------------------------------------------------------ on disk


def test_what_is_committed_survives_and_the_rest_does_not(tmp_path: Path) -> None:
    index = TantivyIndex.open(tmp_path / "index")
    index.upsert([memory(1, "pool")])
    index.commit()
    index.upsert([memory(2, "pool")])
    index.close()
    again = TantivyIndex.open(tmp_path / "index")
    assert found(again, query("pool")) == [1]
    assert again.upsert([memory(1, "pool"), memory(2, "pool")]) == 1
    again.close()


def test_an_index_of_another_format_is_refused(tmp_path: Path) -> None:
    TantivyIndex.open(tmp_path).close()
    with pytest.raises(IndexIncompatible, match="english"):
        TantivyIndex.open(tmp_path, language="german")


@pytest.mark.parametrize("damage", ["stamp", "half a stamp", "meta"])
def test_a_damaged_index_is_recognised(tmp_path: Path, damage: str) -> None:
    index = TantivyIndex.open(tmp_path)
    index.upsert([memory(1, "pool")])
    index.commit()
    index.close()
    if damage == "stamp":
        (tmp_path / "format.json").unlink()
    elif damage == "half a stamp":
        (tmp_path / "format.json").write_text('{"form')
    else:
        (tmp_path / "memories" / "meta.json").write_text("{ not json")
    with pytest.raises(IndexCorrupted):
        TantivyIndex.open(tmp_path)


def test_a_closed_index_takes_nothing_more(tmp_path: Path) -> None:
    index = TantivyIndex.open(tmp_path)
    index.close()
    with pytest.raises(ValueError, match="closed"):
        index.upsert([memory(1, "pool")])


def test_searches_run_beside_writes(tmp_path: Path) -> None:
    index, failures = TantivyIndex.open(tmp_path), list[BaseException]()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                assert len(found(index, query("pool"), 50)) <= 50
            except BaseException as failure:
                failures.append(failure)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for start in range(0, 200, 20):
        index.upsert([memory(number, "pool", version=start + 1) for number in range(start % 60 + 1, start % 60 + 20)])
        index.commit()
    stop.set()
    reader.join()
    index.close()
    assert failures == []


# ------------------------------------------------------------------ one id in two organisations


def test_the_same_id_in_two_organisations_is_two_memories() -> None:
    """An export taken into another organisation keeps its ids."""
    theirs = memory(1, "pool of theirs", version=7, organisation=GLOBEX)
    index = filled(memory(1, "pool of mine", version=2), theirs)
    in_globex = query("theirs", organisation=GLOBEX)
    assert index.contents() == {(ACME, UUID(int=1)): 2, (GLOBEX, UUID(int=1)): 7}
    assert (found(index, query("mine")), found(index, query("theirs")), found(index, in_globex)) == ([1], [], [1])
    assert (in_passages(index, query("theirs")), in_passages(index, in_globex)) == ([], [1])


def test_what_happens_to_a_memory_leaves_its_namesake_alone() -> None:
    index = filled(memory(1, "pool", version=2), memory(1, "pool", version=7, organisation=GLOBEX))
    in_globex = query("pool", organisation=GLOBEX)
    assert index.upsert([memory(1, "pond", version=3)]) == 1, "another organisation's version is not newer"
    index.commit()
    assert (found(index, query("pond")), found(index, in_globex)) == ([1], [1])
    assert index.delete({(GLOBEX, UUID(int=1)): 8}) == 1
    index.commit()
    assert (found(index, query("pond")), found(index, in_globex), in_passages(index, in_globex)) == ([1], [], [])
    assert index.upsert([memory(1, "pond", version=4)]) == 1, "another organisation's tombstone buries nothing"
    index.purge([(ACME, UUID(int=1))])
    index.commit()
    assert (index.contents(), found(index, query("pond"))) == ({}, [])
    assert index.upsert([memory(1, "pool", version=8, organisation=GLOBEX)]) == 0, "the tombstone is still there"


def test_a_phrase_and_a_choice_of_ids_stay_within_the_organisation() -> None:
    index = filled(memory(1, "a dry pool"), memory(1, "no pool", organisation=GLOBEX))
    assert index.matching(query(phrases=["dry pool"]), [UUID(int=1)]) == {UUID(int=1)}
    assert index.matching(query(phrases=["dry pool"], organisation=GLOBEX), [UUID(int=1)]) == set()
