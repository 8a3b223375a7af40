"""What the client does when the server does not answer, or asks to be asked later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sdk.python.tests.samples import ID, hits, memory, page, problem
from sdk.python.tests.scripted import Reply, Scripted

import devlore
from devlore import problems
from devlore.calls import Retry

QUICK = Retry(attempts=4, first=0.01, longest=0.02)


@pytest.fixture
def client(scripted: Scripted) -> Iterator[devlore.Client]:
    with devlore.Client(scripted.url, retry=QUICK) as client:
        yield client


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_get_is_repeated_until_it_succeeds(scripted: Scripted, client: devlore.Client, status: int) -> None:
    scripted.play(Reply(status), Reply(status), Reply(body=memory()))
    assert client.memories.get(ID).title == "Pin psycopg"
    assert len(scripted.seen) == 3


def test_a_post_keeps_its_idempotency_key_over_repetitions(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(drop=True), Reply(503, problem(503, "unavailable")), Reply(201, memory()))
    client.memories.create(title="Pin psycopg")
    keys = {seen.headers["idempotency-key"] for seen in scripted.seen}
    assert len(scripted.seen) == 3
    assert len(keys) == 1
    assert len({seen.body for seen in scripted.seen}) == 1


def test_each_logical_call_has_its_own_key(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(201, memory()))
    client.memories.create(title="a")
    client.memories.create(title="a")
    assert scripted.seen[0].headers["idempotency-key"] != scripted.seen[1].headers["idempotency-key"]


def test_a_key_can_be_given(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(201, memory()))
    client.memories.create(title="a", idempotency_key="mine")
    assert scripted.seen[0].headers["idempotency-key"] == "mine"


def test_retry_after_in_seconds_is_waited_for(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(429, problem(429, "rate-limited"), {"Retry-After": "1"}), Reply(body=memory()))
    began = time.monotonic()
    client.memories.get(ID)
    assert time.monotonic() - began >= 1.0


def test_retry_after_as_a_date_is_waited_for(scripted: Scripted, client: devlore.Client) -> None:
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    scripted.play(Reply(503, headers={"Retry-After": format_datetime(soon, usegmt=True)}), Reply(body=memory()))
    client.memories.get(ID)
    assert datetime.now(UTC) >= soon


def test_a_retry_after_beyond_patience_is_reported_at_once(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(429, problem(429, "rate-limited"), {"Retry-After": "3600"}))
    began = time.monotonic()
    with pytest.raises(problems.RateLimited) as caught:
        client.memories.get(ID)
    assert caught.value.extra["retry_after"] == 3600.0
    assert time.monotonic() - began < 30, "its patience is 60 s"
    assert len(scripted.seen) == 1


def test_it_gives_up_after_the_last_attempt_with_the_servers_problem(
    scripted: Scripted, client: devlore.Client
) -> None:
    scripted.play(Reply(503, problem(503, "unavailable", detail="PostgreSQL is away.")))
    with pytest.raises(problems.Unavailable, match="PostgreSQL is away"):
        client.memories.get(ID)
    assert len(scripted.seen) == QUICK.attempts


def test_a_lasting_503_is_not_repeated(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(503, problem(503, "embedder-changed", detail="Run devlore rebuild search.")))
    with pytest.raises(problems.EmbedderChanged, match="rebuild"):
        client.search("q")
    assert len(scripted.seen) == 1


def test_other_failures_are_not_repeated(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(500, problem(500, "internal")))
    with pytest.raises(problems.Problem):
        client.memories.get(ID)
    assert len(scripted.seen) == 1


def test_nothing_listening_is_unreachable_and_says_where(closed_port: int) -> None:
    client = devlore.Client(f"http://127.0.0.1:{closed_port}", retry=QUICK)
    with client, pytest.raises(devlore.Unreachable, match=f"127.0.0.1:{closed_port}"):
        client.memories.get(ID)


def test_a_slow_server_runs_into_the_timeout(scripted: Scripted) -> None:
    scripted.play(Reply(after=60.0))
    client = devlore.Client(scripted.url, retry=Retry(attempts=2, first=0.01), timeout=0.5)
    with client, pytest.raises(devlore.Unreachable, match="in time"):
        client.memories.get(ID)
    scripted.await_requests(2)
    assert len(scripted.seen) == 2


def test_a_server_that_comes_back_is_found_again(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(drop=True), Reply(drop=True), Reply(body=page(memory())))
    assert len(client.memories.list().items) == 1


def test_a_patch_that_may_have_been_applied_is_not_repeated(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(drop=True), Reply(body=memory(version=2)))
    with pytest.raises(devlore.Unreachable):
        client.memories.update(ID, version=1, title="new")
    assert len(scripted.seen) == 1


def test_a_patch_that_was_surely_not_applied_is_repeated(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(503, problem(503, "unavailable")), Reply(body=memory(version=2)))
    assert client.memories.update(ID, version=1, title="new").version == 2


def test_a_delete_whose_answer_was_lost_counts_as_done(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(drop=True), Reply(404, problem(404, "not-found")))
    client.memories.delete(ID)
    assert len(scripted.seen) == 2


def test_a_delete_of_nothing_is_still_not_found(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(404, problem(404, "not-found")))
    with pytest.raises(problems.NotFound):
        client.memories.delete(ID)


def test_a_post_waits_for_its_own_first_attempt(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(drop=True), Reply(409, problem(409, "in-progress")), Reply(201, memory()))
    assert client.memories.create(title="a").version == 1


def test_another_conflict_is_raised(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(409, problem(409, "conflict", detail="By itself.")))
    with pytest.raises(problems.Conflict, match="By itself"):
        client.memories.supersede(ID, ID)
    assert len(scripted.seen) == 1


def test_a_search_is_repeated_without_a_key(scripted: Scripted, client: devlore.Client) -> None:
    scripted.play(Reply(drop=True), Reply(body=hits(memory())))
    assert client.search("psycopg").items[0].memory.title == "Pin psycopg"
    assert all("idempotency-key" not in seen.headers for seen in scripted.seen)


@given(st.integers(1, 40), st.floats(0.001, 2), st.floats(0.01, 10))
def test_pauses_grow_within_bounds(failures: int, first: float, longest: float) -> None:
    pause = Retry(first=first, longest=longest).pause(failures)
    full = min(longest, first * 2.0 ** (failures - 1))
    assert full / 2 <= pause <= full
