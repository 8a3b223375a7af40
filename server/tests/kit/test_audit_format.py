"""The leaf's final form and its hash: documented vectors, and agreement with an RFC 8785 library whatever it says."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as some

from devlore_server.kit.audit.leaf import Leaf, Personal, digest, documents, moment, personal

DOCS = Path(__file__).parents[3] / "docs" / "ops" / "audit.md"
ORGANISATION = UUID(int=7)
AT = datetime(2026, 11, 23, 3, 4, 5, 6, tzinfo=UTC)

text = some.text(max_size=40)
values = some.one_of(
    text,
    some.integers(),
    some.booleans(),
    some.none(),
    some.lists(text, max_size=4),
    some.uuids(),
    some.builds(Personal, some.sampled_from(["person", "email", "network"]), some.text("abc@./\x00\ud800", max_size=9)),
)
names = some.from_regex(r"[a-z][a-z0-9_]{2,12}", fullmatch=True).filter(
    lambda n: n not in {"request", "session", "key"}
)
said = some.dictionaries(names.filter(lambda name: name != "network"), values, max_size=6)
told = some.lists(some.tuples(some.sampled_from(["memory", "person", "email", "x"]), text), max_size=2)


def made(leaf: Leaf) -> dict[str, Any]:
    known = {one: UUID(int=n) for n, one in enumerate(leaf.personal(), 100)}
    actor = {"type": "system", "id": None}
    (one,) = documents([leaf], organisation=ORGANISATION, at=AT, actor=actor, about={}, pseudonyms=known)
    return one


@given(said, told)
def test_every_hash_is_that_of_the_rfc_8785_form(context: dict[str, Any], targets: list[tuple[str, str]]) -> None:
    one = made(Leaf("memory.created", targets, context=context))
    assert digest(one) == hashlib.sha256(rfc8785.dumps(one)).digest()


@given(said, told)
def test_what_is_hashed_comes_back_the_same_from_json(context: dict[str, Any], targets: list[tuple[str, str]]) -> None:
    one = made(Leaf("memory.created", targets, context=context))
    again = json.loads(json.dumps(one))
    assert again == one
    assert "\\u0000" not in json.dumps(one)


def test_the_documented_vectors_have_the_documented_hashes() -> None:
    blocks = re.findall(r"```json\n(.+?)\n```\n+SHA-256: `([0-9a-f]{64})`", DOCS.read_text(), re.DOTALL)
    assert len(blocks) >= 3
    for leaf, documented in blocks:
        assert digest(json.loads(leaf)).hex() == documented
        assert hashlib.sha256(rfc8785.dumps(json.loads(leaf))).hexdigest() == documented


def test_a_leaf_has_exactly_these_members() -> None:
    one = made(Leaf("memory.created", [("memory", UUID(int=3))]))
    members = {"v", "id", "organisation", "occurred_at", "actor", "action", "targets", "result", "context"}
    assert set(one) == members
    assert (one["v"], one["occurred_at"]) == (1, "2026-11-23T03:04:05.000006Z")
    assert one["targets"] == [{"type": "memory", "id": str(UUID(int=3))}]


def test_times_are_utc_with_six_digits() -> None:
    assert moment(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2025-12-31T23:00:00.000000Z"


def test_people_addresses_and_networks_become_pseudonyms() -> None:
    leaf = Leaf(
        "member.role_changed",
        [("person", UUID(int=1)), ("team", UUID(int=2))],
        context={"to": Personal("person", str(UUID(int=1))), "by": Personal("email", "ada@example.org")},
    )
    assert set(leaf.personal()) == {personal("person", UUID(int=1)), Personal("email", "ada@example.org")}
    text = json.dumps(made(leaf))
    assert str(UUID(int=1)) not in text
    assert "ada@example.org" not in text
    assert str(UUID(int=2)) in text


def test_what_json_or_a_double_cannot_hold_is_kept_as_text() -> None:
    one = made(Leaf("memory.created", context={"big": 2**60, "nul": "a\0b", "half": "\ud800", "long": "x" * 999}))
    assert one["context"] == {"big": str(2**60), "nul": "a\ufffdb", "half": "\ufffd", "long": "x" * 500}


@pytest.mark.parametrize("name", ["request", "session", "key", "network", "Ünder", "", "a b", "A"])
def test_a_context_cannot_pretend_to_be_the_requests_own(name: str) -> None:
    with pytest.raises(ValueError, match="context"):
        Leaf("memory.created", context={name: 1})
