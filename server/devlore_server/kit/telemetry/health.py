"""Whether the process is alive (``/healthz``) and whether what it needs answers (``/readyz``)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import structlog
from fastapi import FastAPI, Response
from pydantic import BaseModel, Field

_log = structlog.get_logger("devlore.health")

Ping = Callable[[], Awaitable[object]]
"""Raises when the resource does not answer; a string it returns is shown as detail."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Something the process needs. Without a ``critical`` one it cannot serve; without another it serves less."""

    ping: Ping
    critical: bool = True


class ResourceState(BaseModel):
    """One resource, just asked."""

    name: str
    up: bool
    critical: bool
    milliseconds: float
    detail: str | None = None


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """``ready``, ``degraded`` (the resources named there are away, the rest works), or ``down``."""

    status: Literal["ready", "degraded", "down"]
    degraded: Annotated[list[str], Field(description="Names of the resources that do not answer.")]
    resources: list[ResourceState]


def health(app: FastAPI, resources: Mapping[str, Ping | Resource], *, timeout: float = 2.0) -> None:
    """Add ``/healthz`` and ``/readyz`` to ``app``; each resource gets ``timeout`` seconds, all at once.

    That one is away is logged once, and so is its return.
    """
    known = {name: found if isinstance(found, Resource) else Resource(found) for name, found in resources.items()}

    asking: asyncio.Task[list[ResourceState]] | None = None
    away: set[str] = set()

    async def ask() -> list[ResourceState]:
        return list(await asyncio.gather(*(_ask(name, one, timeout, away) for name, one in known.items())))

    @app.get("/healthz", operation_id="get_health", summary="Is the process alive?", tags=["operations"])
    async def get_health() -> Alive:
        """Answers as long as the event loop turns; asks nothing else."""
        return Alive()

    @app.get(
        "/readyz",
        operation_id="get_readiness",
        summary="Can the process serve?",
        tags=["operations"],
        responses={503: {"description": "A critical resource does not answer.", "model": Readiness}},
    )
    async def get_readiness(response: Response) -> Readiness:
        """Asks every resource; 503 when one the process cannot work without does not answer."""
        nonlocal asking
        # Anybody may ask as often as they like: those who come while it is being found out get the same answer.
        if asking is None or asking.done():
            asking = asyncio.create_task(ask())
        readiness = judge(await asyncio.shield(asking))
        if readiness.status == "down":
            response.status_code = 503
        return readiness


def judge(states: list[ResourceState]) -> Readiness:
    """What the states of the resources amount to."""
    away = [state for state in states if not state.up]
    status: Literal["ready", "degraded", "down"] = "ready"
    if away:
        status = "down" if any(state.critical for state in away) else "degraded"
    return Readiness(status=status, degraded=[state.name for state in away], resources=states)


async def _ask(name: str, resource: Resource, timeout: float, away: set[str]) -> ResourceState:
    started = time.perf_counter()
    detail: str | None = None
    failure: Exception | None = None
    up = False
    try:
        async with asyncio.timeout(timeout):
            said = await resource.ping()
        up, detail = True, said if isinstance(said, str) else None
    except TimeoutError:
        detail = f"no answer within {timeout:g} s"
    except Exception as error:
        # Its message may hold addresses and passwords; operators find it in the log, strangers do not.
        detail, failure = type(error).__name__, error
    if not up and name not in away:
        away.add(name)
        _log.warning("resource_away", resource=name, detail=detail, exc_info=failure)
    elif up and name in away:
        away.remove(name)
        _log.info("resource_back", resource=name)
    spent = round((time.perf_counter() - started) * 1_000, 2)
    return ResourceState(name=name, up=up, critical=resource.critical, milliseconds=spent, detail=detail)
