"""Failures of both clients: each problem as its own class, timeouts, broken answers, addresses that are none."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from sdk.python.tests.either import KINDS, done, every, first, opened
from sdk.python.tests.samples import ID, OTHER, hits, memory, page, problem
from sdk.python.tests.scripted import Reply, Scripted

import devlore
from devlore import problems
from devlore.calls import Retry

QUICK = Retry(attempts=3, first=0.01, longest=0.02)


def classes() -> list[type[problems.Problem]]:
    """Every class of problem a server may answer with."""
    known = [found for found in vars(problems).values() if isinstance(found, type)]
    return [found for found in known if issubclass(found, problems.Problem)]


@pytest.fixture(params=KINDS)
async def client(request: pytest.FixtureRequest, scripted: Scripted) -> AsyncIterator[Any]:
    async with opened(request.param, scripted.url, retry=QUICK) as client:
        yield client


@pytest.mark.parametrize("expected", classes(), ids=lambda found: found.code)
async def test_each_problem_is_raised_as_its_own_class(
    scripted: Scripted, client: Any, expected: type[problems.Problem]
) -> None:
    body = problem(expected.status, expected.code, detail="Why.", errors=[{"pointer": "/x", "detail": "no"}], more=1)
    scripted.play(Reply(expected.status, body, {"Content-Type": "application/problem+json"}))
    with pytest.raises(problems.Problem) as caught:
        await done(client.memories.get(ID))
    assert type(caught.value) is expected
    assert (caught.value.detail, str(caught.value), caught.value.status) == ("Why.", "Why.", expected.status)
    assert (caught.value.extra["errors"][0]["pointer"], caught.value.extra["more"]) == ("/x", 1)


@pytest.mark.parametrize("status", [400, 418, 500, 599])
async def test_a_code_of_a_newer_server_is_a_plain_problem(scripted: Scripted, client: Any, status: int) -> None:
    scripted.play(Reply(status, problem(status, "from-the-future", detail="Why.")))
    with pytest.raises(problems.Problem, match="Why") as caught:
        await done(client.memories.get(ID))
    assert caught.value.body()["status"] == status


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[]", b"null", b"\xff\xfe"])
async def test_an_answer_that_is_not_ours_is_said_as_that(scripted: Scripted, client: Any, body: bytes) -> None:
    scripted.play(Reply(200, body))
    for call in (lambda: client.memories.get(ID), client.instance, lambda: client.search("x")):
        with pytest.raises(devlore.Unreadable):
            await done(call())
    assert len(scripted.seen) == 3


async def test_a_search_and_a_listing_survive_a_restart_between_pages(scripted: Scripted, client: Any) -> None:
    scripted.play(
        Reply(body=page(memory(), next="two")), Reply(drop=True), Reply(503), Reply(body=page(memory(id=OTHER)))
    )
    assert [str(found.id) for found in await every(client.memories.all(kind="note"))] == [ID, OTHER]
    assert [seen.query.get("cursor") for seen in scripted.seen] == [None, ["two"], ["two"], ["two"]]
    assert all(seen.query["kind"] == ["note"] for seen in scripted.seen)
    scripted.play(Reply(body=hits(memory(), next="two")), Reply(drop=True), Reply(body=hits(memory(id=OTHER))))
    assert len(await every(client.search.all("x"))) == 2


async def test_a_failure_on_a_later_page_comes_after_the_earlier_items(scripted: Scripted, client: Any) -> None:
    scripted.play(Reply(body=page(memory(), next="two")), Reply(400, problem(400, "bad-cursor")))
    assert str((await first(client.memories.all())).id) == ID
    scripted.play(Reply(body=page(memory(), next="two")), Reply(400, problem(400, "bad-cursor")))
    with pytest.raises(problems.BadCursor):
        await every(client.memories.all())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_timeout_counts_each_attempt(scripted: Scripted, kind: str) -> None:
    scripted.play(Reply(after=60.0))
    began = time.monotonic()
    async with opened(kind, scripted.url, retry=Retry(attempts=2, first=0.01), timeout=0.5) as client:
        with pytest.raises(devlore.Unreachable, match="in time") as caught:
            await done(client.memories.get(ID))
    assert 1.0 <= time.monotonic() - began < 30
    scripted.await_requests(2)
    assert len(scripted.seen) == 2
    assert caught.value.extra["address"] == scripted.url


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("address", ["nonsense", "localhost:7700", "ftp://127.0.0.1"])
async def test_what_is_no_address_is_said_at_once(kind: str, address: str) -> None:
    began = time.monotonic()
    async with opened(kind, address, retry=Retry(first=100.0, longest=100.0)) as client:
        with pytest.raises(devlore.Unreachable, match="begin with http"):
            await done(client.instance())
    assert time.monotonic() - began < 50, "one pause is at least that long"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_starts_late_is_waited_for(kind: str, closed: socket.socket, closed_port: int) -> None:
    """As after `devlore up` in another window."""
    async with opened(kind, f"http://127.0.0.1:{closed_port}", retry=Retry(attempts=20, first=0.05)) as client:
        assert await asked_early(client, kind, closed) == {"version": "1"}


async def asked_early(client: Any, kind: str, port: socket.socket) -> Any:
    """Ask for the instance while a server starts at the port a little later."""

    async def serve() -> asyncio.Server:
        await asyncio.sleep(0.3)
        return await asyncio.start_server(answer, sock=port)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"version": "1"}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    starting = asyncio.create_task(serve())
    asked = asyncio.to_thread(client.instance) if kind == "blocking" else client.instance()
    found = await asked
    (await starting).close()
    return found


async def test_retry_after_as_a_date_is_kept(scripted: Scripted, client: Any) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    scripted.play(Reply(429, problem(429, "rate-limited"), {"Retry-After": later}))
    with pytest.raises(problems.RateLimited) as caught:
        await done(client.memories.list())
    assert 3_500 < caught.value.extra["retry_after"] <= 3_600
    assert len(scripted.seen) == 1


async def test_an_unreadable_retry_after_is_no_reason_to_fail(scripted: Scripted, client: Any) -> None:
    scripted.play(Reply(503, problem(503, "unavailable"), {"Retry-After": "soon"}), Reply(body=memory()))
    assert (await done(client.memories.get(ID))).version == 1


async def test_nothing_is_sent_that_json_cannot_say(scripted: Scripted, client: Any) -> None:
    for broken in ("\ud800", "fine until \udfff"):
        with pytest.raises(problems.Invalid):
            await done(client.memories.create(title=broken))
        with pytest.raises(problems.Invalid):
            await done(client.search(broken))
        with pytest.raises(problems.Invalid):
            await done(client.memories.bulk([{"title": broken}]))
    assert scripted.seen == []


async def test_a_stream_is_cut_into_lines_at_line_feeds_only(scripted: Scripted, client: Any) -> None:
    texts = ["a\u2028b", "c\x85d", "e\r", "🐘" * 3_000, ""]
    lines = [json.dumps({"memory": memory(body=text)}, ensure_ascii=False) for text in texts]
    scripted.play(Reply(body=("\n".join(lines) + "\n\n").encode(), headers={"Content-Type": "application/x-ndjson"}))
    assert [record.memory.body for record in await every(client.memories.export())] == texts
    assert scripted.seen[0].headers["accept"] == "application/x-ndjson"


async def test_a_stream_that_ends_early_keeps_what_came_and_fails(scripted: Scripted, client: Any) -> None:
    line = (json.dumps({"memory": memory()}) + "\n").encode()
    scripted.play(Reply(body=line * 3, cut_after=len(line) * 2 + 5))
    assert str((await first(client.memories.export())).memory.id) == ID
    scripted.seen.clear()
    with pytest.raises(devlore.Unreachable, match="broke"):
        await every(client.memories.export())
    assert len(scripted.seen) == 1
