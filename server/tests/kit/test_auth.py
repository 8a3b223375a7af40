"""A forwarded caller is believed only when the gateway signed it for this request, only for a moment, only once."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import httpx2
import orjson
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from devlore.problems import Unauthenticated
from devlore_server.kit.auth import HEADER, LIFETIME, NIL, SKEW, Caller, Principal, Visitor, sign, verify
from devlore_server.kit.http import Network, SignedCallers, Who, install
from devlore_server.kit.http.signatures import Nonces
from devlore_server.kit.paging import Paging
from devlore_server.kit.signing import SignedAs

SECRET = b"0123456789abcdef0123456789abcdef"
NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
TARGET = b"/v1/memories?limit=2"
ids = st.uuids().filter(lambda found: found != NIL)
networks = st.none() | st.ip_addresses().map(str)
principals = st.builds(
    Principal,
    organisation=ids,
    person=st.uuids(),
    teams=st.frozensets(ids, max_size=3),
    scopes=st.frozensets(st.sampled_from(["memories:read", "search:admin"])),
    session=st.none() | st.text(max_size=20),
    role=st.sampled_from([None, "owner", "viewer"]),
    network=networks,
    fresh=st.booleans(),
    key=st.none() | st.text(max_size=20),
)


def signed(who: Caller, now: datetime = NOW, secret: bytes = SECRET) -> str:
    return sign(who, secret, now, "GET", TARGET)


def believed(header: str, now: datetime = NOW, method: str = "GET", target: bytes = TARGET) -> Caller:
    return verify(header, SECRET, now, method, target).caller


@given(caller=principals | st.builds(Visitor, networks))
def test_a_signed_caller_comes_back_whole(caller: Caller) -> None:
    header = signed(caller)
    assert believed(header) == caller
    assert header.isascii()
    assert header.isprintable()


def test_it_is_good_for_thirty_seconds(who: Principal) -> None:
    header = signed(who)
    assert believed(header, NOW + timedelta(seconds=LIFETIME - 1)) == who
    for late in (LIFETIME, LIFETIME + 1, 86_400):
        with pytest.raises(Unauthenticated):
            believed(header, NOW + timedelta(seconds=late))


def test_it_is_not_good_long_before_it_was_made(who: Principal) -> None:
    header = signed(who)
    assert believed(header, NOW - timedelta(seconds=SKEW)) == who
    with pytest.raises(Unauthenticated):
        believed(header, NOW - timedelta(seconds=SKEW + 1))


def test_nobody_else_can_sign(who: Principal) -> None:
    with pytest.raises(Unauthenticated):
        believed(signed(who, secret=b"fedcba9876543210fedcba9876543210"))


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", TARGET),
        ("GET", b"/v1/memories"),
        ("GET", b"/v1/memories?limit=3"),
        ("GET", b"/v1/memories/?limit=2"),
        ("", b"GET\n" + TARGET),
        ("GET\n", TARGET),
    ],
)
def test_it_is_good_for_one_request_only(who: Principal, method: str, target: bytes) -> None:
    with pytest.raises(Unauthenticated):
        believed(signed(who), method=method, target=target)


def test_a_signature_fits_one_principal(who: Principal, stranger: Principal) -> None:
    payload, _ = signed(stranger).split(".")
    _, signature = signed(who).split(".")
    with pytest.raises(Unauthenticated):
        believed(f"{payload}.{signature}")


@pytest.mark.parametrize(("claim", "value"), [("s", ["search:admin"]), ("r", "owner"), ("e", 2**40), ("x", "00")])
def test_claims_cannot_be_edited(who: Principal, claim: str, value: object) -> None:
    payload, signature = signed(who).split(".")
    claims = orjson.loads(urlsafe_b64decode(payload + "=="))
    assert claim in claims
    claims[claim] = value
    edited = urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()
    with pytest.raises(Unauthenticated):
        believed(f"{edited}.{signature}")


@pytest.mark.parametrize("header", ["", ".", "a.b", "a", "é.é", "....", "AAAA.AAAA", "\x00", "a" * 10_000])
def test_what_is_no_header_is_refused(header: str) -> None:
    with pytest.raises(Unauthenticated):
        believed(header)


def test_nothing_else_signed_with_the_secret_passes() -> None:
    with pytest.raises(Unauthenticated):
        believed(Paging(SECRET).encode("memories", [1]) + ".")


def test_there_is_no_principal_of_no_organisation(who: Principal) -> None:
    with pytest.raises(ValueError, match="organisation"):
        Principal(NIL, who.person)


def test_a_short_secret_is_refused(who: Principal) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        signed(who, secret=b"short")


def test_every_header_has_a_nonce_of_its_own(who: Principal) -> None:
    nonces = {verify(signed(who), SECRET, NOW, "GET", TARGET).nonce for _ in range(50)}
    assert len(nonces) == 50
    assert all(len(nonce) == 16 for nonce in nonces)


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_a_nonce_is_remembered_as_long_as_a_header_is_good() -> None:
    clock = Clock()
    seen = Nonces(clock)
    assert [seen.first(b"a"), seen.first(b"b"), seen.first(b"a")] == [True, True, False]
    clock.now += timedelta(seconds=LIFETIME + SKEW - 0.1)
    assert not seen.first(b"a")
    clock.now += timedelta(seconds=0.2)
    assert seen.first(b"a"), "its header cannot be good any more"


def service(clock: Clock) -> SignedCallers:
    """Says who asks, and from where."""
    app = FastAPI()
    install(app)

    @app.get("/v1/whoami")
    async def whoami(who: Who) -> str:
        return str(who.person)

    @app.get("/v1/where")
    async def where(network: Network) -> str | None:
        return network

    @app.get("/healthz")
    async def healthz() -> str:
        return "alive"

    return SignedCallers(app, secret=SECRET, clock=clock)


def client(clock: Clock) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(service(clock)), base_url="http://service.test")


async def test_a_header_that_was_seen_is_refused(who: Principal) -> None:
    async with client(Clock()) as service:
        header = {HEADER: sign(who, SECRET, NOW, "GET", b"/v1/whoami")}
        assert (await service.get("/v1/whoami", headers=header)).json() == str(who.person)
        assert (await service.get("/v1/whoami", headers=header)).status_code == 401
        assert (await service.get("/v1/whoami", headers={HEADER: signed(who)})).status_code == 401
        two = [(HEADER, sign(who, SECRET, NOW, "GET", b"/v1/whoami")) for _ in range(2)]
        assert (await service.get("/v1/whoami", headers=two)).status_code == 401


async def test_a_service_answers_nobody_else_but_those_who_watch_it(who: Principal) -> None:
    async with client(Clock()) as service:
        assert (await service.get("/v1/where")).status_code == 401
        assert (await service.get("/healthz")).json() == "alive"


async def test_a_visitor_is_nobody_from_somewhere(who: Principal) -> None:
    clock = Clock()
    async with client(clock) as service:
        visitor = SignedAs(Visitor("192.0.2.0/24"), SECRET, clock)
        assert (await service.get("/v1/where", auth=visitor)).json() == "192.0.2.0/24"
        assert (await service.get("/v1/whoami", auth=visitor)).status_code == 401
