"""Cursors come back as they were, and in no other listing, from no other server, and never altered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devlore.problems import BadCursor
from devlore_server.kit.paging import Paging, listing

paging = Paging(b"0123456789abcdef")
keys = st.lists(st.text() | st.integers(-(2**53), 2**53) | st.none() | st.floats(allow_nan=False, allow_infinity=False))


@given(key=keys, name=st.text())
def test_a_cursor_returns_its_key(key: list[Any], name: str) -> None:
    cursor = paging.encode(name, key)
    assert paging.decode(name, cursor) == key
    assert cursor.isascii()
    assert not set(cursor) & set("+/= &?#")


@given(key=keys, flipped=st.integers(min_value=0), bit=st.sampled_from("ABab01-_"))
def test_an_altered_cursor_is_refused(key: list[Any], flipped: int, bit: str) -> None:
    cursor = paging.encode("memories", key)
    at = flipped % len(cursor)
    altered = cursor[:at] + bit + cursor[at + 1 :]
    try:
        assert paging.decode("memories", altered) == key  # the unused bits of the last character say nothing
        assert at == len(cursor) - 1 or altered == cursor
    except BadCursor:
        pass


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "é", "\ud800", "a" * 5_000, "%00", "!!!!", "====", "A" * 22])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        paging.decode("memories", cursor)


def test_a_cursor_belongs_to_its_listing_and_filters() -> None:
    cursor = paging.encode(listing("memories", kind=["decision"]), [1])
    with pytest.raises(BadCursor):
        paging.decode(listing("memories", kind=["ticket"]), cursor)
    with pytest.raises(BadCursor):
        paging.decode(listing("versions", kind=["decision"]), cursor)
    assert paging.decode(listing("memories", kind=["decision"]), cursor) == [1]


def test_a_cursor_belongs_to_its_server() -> None:
    with pytest.raises(BadCursor):
        Paging(b"another secret, another server").decode("memories", paging.encode("memories", [1]))


def test_cursors_outlive_a_restart() -> None:
    assert Paging(b"0123456789abcdef").decode("memories", paging.encode("memories", ["x"])) == ["x"]


def test_a_listing_is_the_same_however_its_filters_are_ordered() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    one = listing("memories", tag={"b", "a"}, after=moment, team=UUID(int=1))
    two = listing("memories", team=UUID(int=1), after=moment, tag=frozenset({"a", "b"}))
    assert one == two
    assert one != listing("memories", tag={"a"}, after=moment, team=UUID(int=1))


def test_the_name_of_a_listing_cannot_run_into_the_key() -> None:
    with pytest.raises(BadCursor):
        paging.decode("a", paging.encode("a[", [1]))


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Paging(b"short")
