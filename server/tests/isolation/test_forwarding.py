"""A service of a split instance: whoever reaches its port and was not sent by the gateway is nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import orjson
import pytest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from devlore_server.kit import auth
from devlore_server.kit.auth import HEADER, Principal, sign
from devlore_server.kit.clock import utc_now
from devlore_server.kit.http import SignedCallers, admitted
from devlore_server.kit.ids import new_id
from tests.isolation.probes import Leaks

SECRET = b"the secret of the gateway and its services"
PATH = "/v1/memories?limit=1"
ANN = Principal(new_id(), new_id(), frozenset({new_id()}), frozenset({"memories:read"}), role="member")


def service() -> ASGIApp:
    """Says whom it takes a request to be from."""

    async def whom(scope: Scope, receive: Receive, send: Send) -> None:
        caller = admitted(scope)
        told = {"organisation": str(caller.organisation), "person": str(caller.person)} if caller else None
        await JSONResponse(told)(scope, receive, send)

    return SignedCallers(whom, secret=SECRET)


async def told(header: str | list[str] | None, path: str = PATH, method: str = "GET") -> tuple[int, Any]:
    given = [] if header is None else [header] if isinstance(header, str) else header
    return await _told(service(), [(HEADER, one) for one in given], path, method)


async def _told(app: ASGIApp, headers: list[tuple[str, str]], path: str, method: str) -> tuple[int, Any]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://memory.test") as client:
        answer = await client.request(method, path, headers=headers)
        return answer.status_code, answer.json() if answer.status_code == 200 else None


def signed(who: Principal = ANN, secret: bytes = SECRET, age: float = 0, path: str = PATH, method: str = "GET") -> str:
    return sign(who, secret, utc_now() - timedelta(seconds=age), method, path.encode())


def altered(header: str, **claims: Any) -> str:
    """A header with other claims and the signature it had."""
    payload, _, mac = header.partition(".")
    changed = orjson.loads(auth._decode(payload)) | claims
    return f"{auth._encode(orjson.dumps(changed))}.{mac}"


FORGED: dict[str, Callable[[], Any]] = {
    "no-header": lambda: None,
    "an-empty-one": lambda: "",
    "no-signature": lambda: signed().partition(".")[0],
    "an-empty-signature": lambda: signed().partition(".")[0] + ".",
    "a-signature-of-zeros": lambda: signed().partition(".")[0] + "." + "A" * 43,
    "another-secret": lambda: signed(secret=b"the secret of somebody else entirely"),
    "another-organisation": lambda: altered(signed(), o=str(new_id())),
    "another-person": lambda: altered(signed(), p=str(new_id())),
    "another-team": lambda: altered(signed(), t=[str(new_id())]),
    "more-scopes": lambda: altered(signed(), s=["internal", "memories:write"]),
    "a-longer-life": lambda: altered(signed(), e=2**40),
    "another-nonce": lambda: altered(signed(), x="00" * 16),
    "expired": lambda: signed(age=60),
    "from-the-future": lambda: signed(age=-60),
    "for-another-path": lambda: signed(path="/v1/memories/export"),
    "for-another-query": lambda: signed(path="/v1/memories?limit=2"),
    "for-another-method": lambda: signed(method="DELETE"),
    "two-of-them": lambda: [signed(), signed(replace(ANN, organisation=new_id()))],
    "not-base64": lambda: "%%%.%%%",
}


@pytest.mark.parametrize("what", FORGED)
async def test_a_forged_header_is_nobodys(what: str) -> None:
    leaks = Leaks("forged callers")
    leaks.same(await told(FORGED[what]()), (401, None), what)
    leaks.assert_none()


async def test_a_true_one_is_good_once() -> None:
    leaks, app, header = Leaks("forged callers"), service(), [(HEADER, signed())]
    expected = {"organisation": str(ANN.organisation), "person": str(ANN.person)}
    assert await _told(app, header, PATH, "GET") == (200, expected)
    again = await asyncio.gather(*(_told(app, header, PATH, "GET") for _ in range(5)))
    leaks.same(again, [(401, None)] * 5, "a header is used again")
    leaks.assert_none()
