"""The identity service as the gateway of another process sees it: ``ports.Identity`` over HTTP."""

from __future__ import annotations

from typing import Any, Self
from uuid import UUID

import httpx2
from pydantic import TypeAdapter
from pydantic_core import to_json

from devlore.problems import Unavailable
from devlore_server.kit.auth import SERVER
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.signing import SignedAs
from devlore_server.ports import Standing

_JSON = {"Content-Type": "application/json"}
_standing = TypeAdapter(Standing | None)
_keyset = TypeAdapter(dict[str, Any])
_familiar = TypeAdapter(bool)


class IdentityClient:
    """Calls the internal routes of the identity role at ``base_url``; raises ``Unavailable`` when it does not answer.

    Never answers by itself: a gateway that cannot ask lets nobody in.
    """

    def __init__(
        self,
        base_url: str,
        secret: bytes,
        *,
        clock: Clock = utc_now,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx2.AsyncClient(
            base_url=base_url, transport=transport, timeout=5, trust_env=False, auth=SignedAs(SERVER, secret, clock)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def session(self, sid: UUID, person: UUID, organisation: UUID) -> Standing | None:
        """See ``ports.Identity``."""
        return await self._standing("session", {"sid": sid, "person": person, "organisation": organisation})

    async def cookie(self, digest: bytes) -> Standing | None:
        """See ``ports.Identity``."""
        return await self._standing("cookie", {"digest": digest.hex()})

    async def key(self, key_id: str, digest: bytes, network: str | None) -> Standing | None:
        """See ``ports.Identity``."""
        return await self._standing("key", {"key_id": key_id, "digest": digest.hex(), "network": network})

    async def familiar(self, network: str, *, email: str | None = None, person: UUID | None = None) -> bool:
        """See ``ports.Identity``."""
        answer = await self._ask("familiar", {"network": network, "email": email, "person": person})
        return _familiar.validate_json(answer)

    async def keyset(self) -> dict[str, Any]:
        """See ``ports.Identity``."""
        return _keyset.validate_json(await self._ask("keyset", {}))

    async def _standing(self, what: str, body: dict[str, Any]) -> Standing | None:
        return _standing.validate_json(await self._ask(what, body))

    async def _ask(self, what: str, body: dict[str, Any]) -> bytes:
        try:
            answer = await self._http.post(f"/internal/identity/{what}", content=to_json(body), headers=_JSON)
        except httpx2.TransportError as error:
            reason = type(error).__name__
            raise Unavailable(f"The identity service does not answer: {reason}.", retry_after=1) from error
        if answer.is_error:  # also when it does not believe this gateway: that is not the caller's to mend
            raise Unavailable(f"The identity service answers {answer.status_code}.", retry_after=1)
        return answer.content
