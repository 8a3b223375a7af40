"""Where a request comes from, and how a session goes back: as tokens in the body or as a browser's cookie."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Header, Response

from devlore_server.identity.oneself import Origin
from devlore_server.identity.sessions import Opened
from devlore_server.kit.credentials import COOKIE
from devlore_server.kit.http import Network, encoded

_ATTRIBUTES: Final = "; Path=/; Secure; HttpOnly; SameSite=Lax"
_LONGEST: Final = 90 * 86_400

SET_COOKIE: Final = {
    "Set-Cookie": {
        "description": "The session of a browser that asked for a cookie.",
        "schema": {"type": "string"},
        "example": f"{COOKIE}=…{_ATTRIBUTES}",
    }
}
SIGNED_OUT: Final = {"Set-Cookie": f"{COOKIE}=; Max-Age=0{_ATTRIBUTES}"}
"""The header that makes a browser forget its session."""


async def _origin(
    network: Network, user_agent: Annotated[str | None, Header(include_in_schema=False)] = None
) -> Origin:
    return Origin(user_agent, network)


From = Annotated[Origin, Depends(_origin)]
"""A route parameter: where the request comes from."""


def handed_out(opened: Opened, status: int = 200) -> Response:
    """The answer that gives a session to whoever asked; the cookie only to a browser that may not see it.

    A page of another site cannot have a browser send the JSON this answers to, so nobody is signed in unawares.
    """
    if opened.cookie is None:
        return encoded(opened.tokens, status)
    cookie = f"{COOKIE}={opened.cookie}; Max-Age={_LONGEST}{_ATTRIBUTES}"
    return encoded(opened.tokens, status, {"Set-Cookie": cookie})
