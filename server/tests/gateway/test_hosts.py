"""Only this machine may ask, whatever name a browser was made to believe."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from devlore_server.gateway.hosts import LoopbackOnly, NotLoopback, ensure_loopback, is_loopback, refusal

LOOPBACK_HOSTS = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost:7700",
    "127.0.0.1",
    "127.0.0.1:80",
    "127.8.9.10:65535",
    "[::1]",
    "[::1]:7700",
    "[::ffff:127.0.0.1]:7700",
    "[0:0:0:0:0:0:0:1]",
]
OTHER_HOSTS = [
    "",
    "example.com",
    "example.com:7700",
    "localhost.example.com",
    "127.0.0.1.example.com",
    "127.0.0.1.nip.io:7700",
    "example.com#127.0.0.1",
    "127.0.0.1@example.com",
    "user@127.0.0.1",
    "127.0.0.1/",
    "127.0.0.1?x",
    "127.0.0.1:",
    "127.0.0.1:0",
    "127.0.0.1:port",
    "127.0.0.1:99999",
    "127.0.0.1:80:80",
    "127.0.0.1 example.com",
    "127.0.0.1,example.com",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "0.0.0.0",
    "0.0.0.0:7700",
    "[::]",
    "[::1%25eth0]",
    "[::ffff:10.0.0.1]",
    "::1",
    "10.0.0.1",
    "192.168.1.1:7700",
    "169.254.169.254",
    "locаlhost",
    "localhost\x00",
    "[127.0.0.1",
]


def scope(method: str = "GET", kind: str = "http", **headers: str | list[str]) -> dict[str, Any]:
    pairs = [
        (name.replace("_", "-").encode(), value.encode())
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return {"type": kind, "method": method, "path": "/", "headers": pairs}


def status(**given: Any) -> int:
    problem = refusal(scope(**({"host": "localhost"} | given)))
    return 200 if problem is None else problem.status


@pytest.mark.parametrize("host", LOOPBACK_HOSTS)
def test_loopback_hosts_are_answered(host: str) -> None:
    assert status(host=host) == 200


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_other_hosts_are_misdirected(host: str) -> None:
    assert status(host=host) == 421


def test_exactly_one_host_is_needed() -> None:
    assert status(host=[]) == 421
    assert status(host=["localhost", "example.com"]) == 421
    assert status(host=["localhost", "localhost"]) == 421


@given(host=st.text(max_size=30).filter(lambda text: "localhost" not in text.lower()))
def test_no_name_slips_through(host: str) -> None:
    if status(host=host) == 200:
        assert "127." in host or ":" in host


@pytest.mark.parametrize(
    "origin", ["http://localhost", "http://localhost:5173", "https://127.0.0.1:7700", "http://[::1]:7700"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_local_pages_may_ask(origin: str, method: str) -> None:
    assert status(method=method, origin=origin) == 200
    assert status(method=method, origin=origin, sec_fetch_site="same-site") == 200


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://example.com",
        "http://127.0.0.1.example.com",
        "http://localhost@example.com",
        "file://",
        "chrome-extension://localhost",
        "localhost",
        "http://",
        "http:localhost",
        "http://localhost/path",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_origins_may_not(origin: str, method: str) -> None:
    assert status(method=method, origin=origin) == 403


def test_one_foreign_origin_among_several_is_enough() -> None:
    assert status(method="POST", origin=["http://localhost", "https://example.com"]) == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "MADEUP"])
def test_changes_for_other_sites_are_refused_even_without_an_origin(method: str) -> None:
    assert status(method=method, sec_fetch_site="cross-site") == 403
    assert status(method=method, sec_fetch_site="same-site") == 403
    assert status(method=method, sec_fetch_site="same-origin") == 200
    assert status(method=method, sec_fetch_site="none") == 200
    assert status(method=method) == 200


def test_following_a_link_here_is_no_change() -> None:
    assert status(sec_fetch_site="cross-site") == 200


def test_sockets_are_changes() -> None:
    assert status(kind="websocket", sec_fetch_site="cross-site") == 403
    assert status(kind="websocket", origin="https://example.com") == 403
    assert status(kind="websocket", origin="http://localhost:7700") == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "[::1]"])
def test_loopback_may_be_bound(host: str) -> None:
    ensure_loopback(host, "nobody signs in")
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "10.0.0.1", "devlore.example.com", "::ffff:0.0.0.0", "fe80::1%lo"]
)
def test_nothing_else_may_be_bound(host: str) -> None:
    with pytest.raises(NotLoopback, match="nobody signs in"):
        ensure_loopback(host, "nobody signs in")


async def through(given: dict[str, Any]) -> list[Message]:
    sent: list[Message] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "reached"})

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await LoopbackOnly(app)(given, receive, send)
    return sent


async def test_the_middleware_lets_in_and_refuses() -> None:
    assert (await through(scope(host="localhost")))[0]["type"] == "reached"
    refused = await through(scope(host="example.com"))
    assert refused[0]["status"] == 421
    assert b'"misdirected"' in refused[1]["body"]
    assert (await through(scope(kind="websocket", host="example.com"))) == [{"type": "websocket.close", "code": 1008}]
    assert (await through({"type": "lifespan"}))[0]["type"] == "reached"
