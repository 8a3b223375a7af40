"""Which hits are worth comparing in full: none that is nearly another may be missed."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from devlore_server.search.hits import _alike

BODIES = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=9).map(" ".join), max_size=8)


@given(BODIES)
def test_every_pair_that_shares_half_its_words_is_compared(bodies: list[str]) -> None:
    rows: Any = {UUID(int=n): SimpleNamespace(title="same title", body=body) for n, body in enumerate(bodies, 1)}
    words = {id: set((row.body or row.title).split()) for id, row in rows.items()}
    alike = {
        id
        for pair in combinations(words, 2)
        for id in pair
        if 2 * len(words[pair[0]] & words[pair[1]]) >= max(len(words[one]) for one in pair)
    }
    assert set(_alike(rows)) == alike
