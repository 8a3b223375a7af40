"""One credential at a time, whole, and a browser's only for our own pages."""

from __future__ import annotations

from typing import Any

import pytest

from devlore.problems import NotAllowed, Unauthenticated
from devlore_server.gateway.credentials import LONGEST, Browser, Token, credential_of
from devlore_server.kit.credentials import COOKIE, digest, new_api_key, new_secret, read_api_key

ORIGIN = b"https://lore.example"
SECRET = new_secret()
KEY = new_api_key()


def request(method: str = "GET", **headers: str | list[str]) -> dict[str, Any]:
    several = ((name, values if isinstance(values, list) else [values]) for name, values in headers.items())
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, values in several for value in values]
    return {"type": "http", "method": method, "headers": pairs}


def test_nothing_makes_a_visitor() -> None:
    assert credential_of(request(), ORIGIN) is None
    assert credential_of(request(cookie="theme=dark; x=__Host-devlore=1"), ORIGIN) is None
    assert credential_of(request(devlore_principal="forged"), ORIGIN) is None


@pytest.mark.parametrize("header", ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c "])
def test_a_bearer_token_is_taken_as_it_is(header: str) -> None:
    assert credential_of(request(authorization=header), ORIGIN) == Token("a.b.c")


def test_an_api_key_is_read_and_only_its_digest_goes_on() -> None:
    found = credential_of(request(authorization=f"Bearer {KEY}"), ORIGIN)
    assert found == read_api_key(KEY)
    assert KEY not in repr(found)


def test_a_cookie_is_found_among_others() -> None:
    assert credential_of(request(cookie=f"a=1; {COOKIE}={SECRET}; b=2"), ORIGIN) == Browser(digest(SECRET))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Token a.b.c",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY[:-1]}{'0' if KEY[-1] != '0' else '1'}",
        f"Bearer {KEY}x",
        "Bearer dvl_",
        "Bearer " + "a" * LONGEST,
    ],
    # The key is new in each process; pytest-xdist wants the same names in all.
    ids=[
        "nothing",
        "scheme",
        "blank",
        "basic",
        "other-scheme",
        "cut-key",
        "wrong-checksum",
        "longer-key",
        "half-key",
        "oversized",
    ],
)
def test_what_is_no_credential_is_refused(header: str) -> None:
    with pytest.raises(Unauthenticated):
        credential_of(request(authorization=header), ORIGIN)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": ["Bearer a.b.c", "Bearer a.b.c"]},
        {"authorization": f"Bearer {KEY}", "cookie": f"{COOKIE}={SECRET}"},
        {"cookie": f"{COOKIE}={SECRET}; {COOKIE}=other"},
        {"cookie": [f"{COOKIE}={SECRET}", f"{COOKIE}={SECRET}"]},
    ],
)
def test_several_credentials_are_none(headers: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated, match="one credential"):
        credential_of(request(**headers), ORIGIN)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_browser_changes_things_for_our_own_pages(method: str) -> None:
    own = {"cookie": f"{COOKIE}={SECRET}", "origin": ORIGIN.decode(), "sec_fetch_site": "same-origin"}
    assert credential_of(request(method, **own), ORIGIN) == Browser(digest(SECRET))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": ORIGIN.decode()},
        {"sec_fetch_site": "same-origin"},
        {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
        {"origin": "https://evil.example", "sec_fetch_site": "same-origin"},
        {"origin": ORIGIN.decode(), "sec_fetch_site": "cross-site"},
        {"origin": ORIGIN.decode(), "sec_fetch_site": "same-site"},
        {"origin": ORIGIN.decode(), "sec_fetch_site": "none"},
        {"origin": "https://sub.lore.example", "sec_fetch_site": "same-site"},
        {"origin": "http://lore.example", "sec_fetch_site": "same-origin"},
        {"origin": "https://lore.example:8443", "sec_fetch_site": "same-origin"},
        {"origin": "null", "sec_fetch_site": "same-origin"},
        {"origin": [ORIGIN.decode(), "https://evil.example"], "sec_fetch_site": "same-origin"},
        {"origin": ORIGIN.decode(), "sec_fetch_site": ["same-origin", "cross-site"]},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_another_sites_page_changes_nothing(method: str, headers: dict[str, Any]) -> None:
    with pytest.raises(NotAllowed):
        credential_of(request(method, cookie=f"{COOKIE}={SECRET}", **headers), ORIGIN)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "https://other.example"},
        {"origin": "https://other.example", "sec_fetch_site": "cross-site"},
    ],
)
def test_another_sites_page_reads_as_nobody(headers: dict[str, Any]) -> None:
    assert credential_of(request(cookie=f"{COOKIE}={SECRET}", **headers), ORIGIN) is None


@pytest.mark.parametrize("headers", [{}, {"sec_fetch_site": "none"}, {"sec_fetch_site": "same-origin"}])
def test_our_own_page_reads_as_its_person(headers: dict[str, Any]) -> None:
    assert credential_of(request(cookie=f"{COOKIE}={SECRET}", **headers), ORIGIN) == Browser(digest(SECRET))
