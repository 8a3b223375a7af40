"""A forwarded Principal is believed only when the gateway signed it, and only for a moment."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devlore.problems import Unauthenticated
from devlore_server.kit.auth import LIFETIME, NIL, SKEW, Principal, sign, verify
from devlore_server.kit.paging import Paging

SECRET = b"0123456789abcdef0123456789abcdef"
NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
ids = st.uuids().filter(lambda found: found != NIL)
principals = st.builds(
    Principal,
    organisation=ids,
    person=st.uuids(),
    teams=st.frozensets(ids, max_size=3),
    scopes=st.frozensets(st.sampled_from(["memories:read", "search:admin"])),
    session=st.none() | st.text(max_size=20),
)


@given(principal=principals)
def test_a_signed_principal_comes_back_whole(principal: Principal) -> None:
    header = sign(principal, SECRET, NOW)
    assert verify(header, SECRET, NOW) == principal
    assert header.isascii()
    assert header.isprintable()


def test_it_is_good_for_thirty_seconds(who: Principal) -> None:
    header = sign(who, SECRET, NOW)
    assert verify(header, SECRET, NOW + timedelta(seconds=LIFETIME - 1)) == who
    for late in (LIFETIME, LIFETIME + 1, 86_400):
        with pytest.raises(Unauthenticated):
            verify(header, SECRET, NOW + timedelta(seconds=late))


def test_it_is_not_good_long_before_it_was_made(who: Principal) -> None:
    header = sign(who, SECRET, NOW)
    assert verify(header, SECRET, NOW - timedelta(seconds=SKEW)) == who
    with pytest.raises(Unauthenticated):
        verify(header, SECRET, NOW - timedelta(seconds=SKEW + 1))


def test_nobody_else_can_sign(who: Principal) -> None:
    with pytest.raises(Unauthenticated):
        verify(sign(who, b"fedcba9876543210fedcba9876543210", NOW), SECRET, NOW)


def test_a_signature_fits_one_principal(who: Principal, stranger: Principal) -> None:
    payload, _ = sign(stranger, SECRET, NOW).split(".")
    _, signature = sign(who, SECRET, NOW).split(".")
    with pytest.raises(Unauthenticated):
        verify(f"{payload}.{signature}", SECRET, NOW)


def test_claims_cannot_be_edited(who: Principal) -> None:
    payload, signature = sign(who, SECRET, NOW).split(".")
    claims = orjson.loads(urlsafe_b64decode(payload + "=="))
    claims["s"] = ["search:admin"]
    edited = urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()
    with pytest.raises(Unauthenticated):
        verify(f"{edited}.{signature}", SECRET, NOW)


@pytest.mark.parametrize("header", ["", ".", "a.b", "a", "é.é", "....", "AAAA.AAAA", "\x00", "a" * 10_000])
def test_what_is_no_header_is_refused(header: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(header, SECRET, NOW)


def test_nothing_else_signed_with_the_secret_passes() -> None:
    with pytest.raises(Unauthenticated):
        verify(Paging(SECRET).encode("memories", [1]) + ".", SECRET, NOW)


def test_there_is_no_principal_of_no_organisation(who: Principal) -> None:
    with pytest.raises(ValueError, match="organisation"):
        Principal(NIL, who.person)


def test_a_short_secret_is_refused(who: Principal) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        sign(who, b"short", NOW)
