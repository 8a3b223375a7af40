"""The memory service as another process sees it: ``ports.Memories`` over HTTP, with the caller in a signed header."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self
from uuid import UUID

import httpx2
from pydantic import TypeAdapter
from pydantic_core import to_json

from devlore.problems import Unavailable, from_body
from devlore.types import Memory
from devlore_server.kit.auth import SERVER, Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.signing import SignedAs
from devlore_server.ports import Ingest, IngestResult

_JSON = {"Content-Type": "application/json"}
_memories = TypeAdapter(list[Memory])
_batch = TypeAdapter(Ingest)
_result = TypeAdapter(IngestResult)
_texts = TypeAdapter(list[str])


class MemoriesClient:
    """Calls the internal routes of the memory role at ``base_url``; raises ``Unavailable`` when it does not answer."""

    def __init__(
        self,
        base_url: str,
        secret: bytes,
        *,
        clock: Clock = utc_now,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._secret = secret
        self._clock = clock
        self._http = httpx2.AsyncClient(base_url=base_url, transport=transport, timeout=60, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def visible(self, who: Principal, ids: list[UUID]) -> list[Memory]:
        """See ``ports.Memories``."""
        return _memories.validate_json(await self._ask(who, "visible", {"ids": ids}))

    async def scan(self, after: tuple[UUID, UUID] | None, limit: int) -> list[Memory]:
        """See ``ports.Memories``."""
        return _memories.validate_json(await self._ask(SERVER, "scan", {"after": after, "limit": limit}))

    async def count(self) -> int:
        """See ``ports.Memories``."""
        answer = TypeAdapter(dict[str, int]).validate_json(await self._ask(SERVER, "count", None))
        return answer["count"]

    async def ingest(self, who: Principal, batch: Ingest) -> IngestResult:
        """See ``ports.Memories``."""
        # What a connector did not set must not arrive as if it had: unset fields keep their stored value.
        body = _batch.dump_json(batch, exclude_unset=True)
        return _result.validate_json(await self._ask(who, "ingest", body))

    async def checkpoint(self, who: Principal, connection_id: UUID) -> dict[str, Any] | None:
        """See ``ports.Memories``."""
        answer = await self._ask(who, "checkpoint", {"connection_id": connection_id})
        found = TypeAdapter(dict[str, dict[str, Any] | None]).validate_json(answer)
        return found["checkpoint"]

    async def masked(self, who: Principal, texts: list[str]) -> list[str]:
        """See ``ports.Memories``."""
        return _texts.validate_json(await self._ask(who, "masked", {"texts": texts}))

    async def forget_checkpoint(self, who: Principal, connection_id: UUID) -> None:
        """See ``ports.Memories``."""
        await self._ask(who, "forget-checkpoint", {"connection_id": connection_id})

    async def _ask(self, who: Principal, what: str, body: dict[str, Any] | bytes | None) -> bytes:
        asking = replace(who, scopes=who.scopes | {"internal"})
        signed = SignedAs(asking, self._secret, self._clock)
        content = body if isinstance(body, bytes) or body is None else to_json(body)
        try:
            answer = await self._http.post(f"/internal/memories/{what}", content=content, headers=_JSON, auth=signed)
        except httpx2.TransportError as error:
            raise Unavailable(f"The memory service does not answer: {type(error).__name__}.") from error
        if answer.is_error:
            raise from_body(answer.status_code, _members(answer))
        return answer.content


def _members(answer: httpx2.Response) -> dict[str, Any]:
    try:
        members = answer.json()
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}
