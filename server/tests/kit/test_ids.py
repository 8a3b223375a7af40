"""Identifiers are UUIDv7, unique, and sort by when they were made."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122

import pytest

from devlore_server.kit import ids
from devlore_server.kit.clock import utc_now


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = ids.new_id()
    assert (made.version, made.variant) == (7, RFC_4122)


def test_an_id_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = ids.new_id()
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_ids_increase_strictly_whatever_thread_makes_them() -> None:
    made = [ids.new_id() for _ in range(20_000)]
    assert made == sorted(set(made))
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: [ids.new_id() for _ in range(2_000)], range(8)))
    assert all(run == sorted(run) for run in runs)
    assert len({one for run in runs for one in run}) == 16_000


def test_a_clock_that_goes_back_does_not_make_ids_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids.new_id()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_000_000_000)
    assert before < ids.new_id() < ids.new_id()


def test_the_wall_clock_is_aware_and_in_utc() -> None:
    assert utc_now().utcoffset() is not None
    before, now, after = time.time(), utc_now().timestamp(), time.time()
    assert before - 0.001 <= now <= after + 0.001
