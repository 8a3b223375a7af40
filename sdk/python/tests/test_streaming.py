"""The export stream: line by line, exact, and never silently short."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sdk.python.tests.samples import ID, OTHER, memory, problem
from sdk.python.tests.scripted import Reply, Scripted

import devlore
from devlore import problems
from devlore.calls import Lines


@pytest.fixture
def client(scripted: Scripted) -> Iterator[devlore.Client]:
    with devlore.Client(scripted.url, retry=devlore.Retry(attempts=3, first=0.01)) as client:
        yield client


def ndjson(*records: dict[str, object]) -> bytes:
    return b"".join(json.dumps({"memory": record}, ensure_ascii=False).encode() + b"\n" for record in records)


def test_records_come_one_by_one(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(body=ndjson(memory(), memory(id=OTHER, body="line\u2028separator\x85next"))))
    found = list(client.memories.export())
    assert [str(record.memory.id) for record in found] == [ID, OTHER]
    assert found[1].memory.body == "line\u2028separator\x85next"


def test_a_stream_that_breaks_is_an_error(scripted: Scripted, client: devlore.Client) -> None:
    content = ndjson(memory(), memory(id=OTHER))
    scripted.play(Reply(body=content, cut_after=len(content) // 2 + 20))
    with pytest.raises(devlore.Unreachable):
        list(client.memories.export())
    assert len(scripted.seen) == 1


def test_a_stream_that_did_not_start_is_repeated(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(drop=True), Reply(503), Reply(body=ndjson(memory())))
    assert len(list(client.memories.export())) == 1


def test_a_refused_stream_raises_the_problem(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(403, problem(403, "not-allowed")))
    with pytest.raises(problems.NotAllowed):
        list(client.memories.export())


def test_a_line_that_is_no_memory_is_named(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(body=b'{"memory": {}}\n'))
    with pytest.raises(devlore.Unreadable):
        list(client.memories.export())


def test_import_sends_records_whole(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(body=ndjson(memory())))
    records = list(client.memories.export())
    scripted.play(Reply(body={"items": [], "created": 1, "updated": 0, "unchanged": 0, "refused": 0}))
    assert client.memories.import_records(records).created == 1
    assert scripted.seen[1].json["items"][0]["memory"]["id"] == ID


@given(st.lists(st.binary(min_size=1).filter(lambda line: b"\n" not in line and line.strip())), st.integers(1, 7))
def test_any_cut_of_the_stream_gives_the_same_lines(lines: list[bytes], size: int) -> None:
    whole = b"\n".join(lines)
    cut = Lines()
    found = [line for start in range(0, len(whole), size) for line in cut.feed(whole[start : start + size])]
    assert found + cut.last() == lines
