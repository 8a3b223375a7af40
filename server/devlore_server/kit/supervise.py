"""Long-running tasks that are started again when they crash, with what they are doing visible to `/readyz`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import structlog

log = structlog.get_logger(__name__)

FIRST_DELAY = 0.2
LONGEST_DELAY = 30.0
CANCEL_AGAIN_AFTER = 0.5
CALM_AFTER = 10.0
"""Seconds of running after which a crash counts as the first again."""


@dataclass(slots=True)
class _Job:
    run: Callable[[], Awaitable[None]]
    crashes: int = 0
    error: str | None = None


class JobDown(Exception):
    """A supervised job has crashed and waits to be started again."""


class Supervisor:
    """Runs named jobs until it is left; a job that raises is started again after a growing pause.

    A job that returns has finished and stays so. Leaving cancels what runs and waits for it.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = set(self._tasks)
        while running:
            for task in running:
                task.cancel()
            # Again after a while: a library that loses a cancellation must not keep the process from ending.
            _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_AFTER)

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run `run()` from now on under `name`."""
        job = self._jobs[name] = _Job(run)
        self._tasks.append(asyncio.create_task(self._keep_running(name, job), name=name))

    @property
    def down(self) -> dict[str, str]:
        """The jobs that have crashed and are not yet calm again, with their last error."""
        return {name: job.error for name, job in self._jobs.items() if job.error is not None}

    async def ping(self) -> None:
        """Raise JobDown when a job has crashed and not yet recovered."""
        if down := self.down:
            raise JobDown("; ".join(f"{name}: {error}" for name, error in down.items()))

    async def _keep_running(self, name: str, job: _Job) -> None:
        while True:
            calm = asyncio.get_running_loop().call_later(CALM_AFTER, _forgive, job)
            try:
                await job.run()
            except Exception as error:
                job.crashes += 1
                job.error = f"{type(error).__name__}: {error}"
                pause = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (job.crashes - 1))
                log.exception("job crashed", job=name, crashes=job.crashes, again_in=round(pause, 1))
            else:
                job.error = None
                return
            finally:
                calm.cancel()
            # Jitter, so that jobs that fell together do not rise together.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))


def _forgive(job: _Job) -> None:
    job.crashes, job.error = 0, None
