"""The composition root: settings and roles become one ASGI application. The only package that knows everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from starlette.types import ASGIApp

from devlore_server.app.faces import face
from devlore_server.app.process import AlreadyRunning, ensure_guarded, prepared, started
from devlore_server.app.services import serve
from devlore_server.identity.instance import WrongTier
from devlore_server.kit.draining import Drain
from devlore_server.settings import Settings

__all__ = ["AlreadyRunning", "WrongTier", "application", "prepared"]

log = structlog.get_logger("devlore.app")


@asynccontextmanager
async def application(settings: Settings, drain: Drain | None = None) -> AsyncIterator[ASGIApp]:
    """The application of `settings.roles` with everything behind it running; all of it stops on leaving.

    `drain` lets whoever stops it say so before. Raises BadSettings, AlreadyRunning, NotLoopback, WrongTier, or what
    PostgreSQL says when it cannot be reached or migrated.
    """
    ensure_guarded(settings)
    async with AsyncExitStack() as stack:
        process = await started(settings, stack, drain or Drain())
        app = face(process, await serve(process))
        # Entered last, so that jobs end before what they use is closed.
        await stack.enter_async_context(process.supervisor)
        for name, run in process.jobs.items():
            process.supervisor.start(name, run)
        log.info("started", tier=settings.tier, roles=",".join(settings.roles), home=str(settings.home))
        yield app
