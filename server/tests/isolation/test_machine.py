"""Hypothesis plays organisations against a set model: over the services, and over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from devlore_server.kit.db import Database
from tests.isolation.http_door import HttpDoor
from tests.isolation.machine import Machine
from tests.isolation.probes import FULL
from tests.isolation.service_door import service_door
from tests.isolation.stage import Stage

pytestmark = pytest.mark.timeout(3_600 if FULL else 300)


def played(examples: int, steps: int) -> settings:
    # Twelve steps are read as they are; shrinking them would take minutes.
    phases = [Phase.generate, Phase.shrink] if FULL else [Phase.generate]
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=not FULL,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )


async def test_over_the_services(database: Database, owner_url: str, tmp_path: Path) -> None:
    async with service_door(database, owner_url, tmp_path / "lexical") as opened:

        class OverServices(Machine):
            door = opened
            loop = asyncio.get_running_loop()
            kind = "state machine over services"

        size = played(80, 30) if FULL else played(4, 12)
        await asyncio.to_thread(run_state_machine_as_test, OverServices, settings=size)


@pytest.mark.asyncio(loop_scope="module")
async def test_over_http(stage: Stage) -> None:
    opened = HttpDoor(stage)

    class OverHttp(Machine):
        door = opened
        loop = asyncio.get_running_loop()
        kind = "state machine over HTTP"

    size = played(12, 25) if FULL else played(1, 12)
    await asyncio.to_thread(run_state_machine_as_test, OverHttp, settings=size)
