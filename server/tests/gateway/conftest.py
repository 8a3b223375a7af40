"""The team gateway for every test here that asks for it."""

from __future__ import annotations

import pytest

from devlore_server.gateway import upstream
from devlore_server.kit.db import Database
from devlore_server.kit.log import EventLog
from tests.gateway.gate import Gate


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to a service is not given up because the test was held up."""
    monkeypatch.setattr(upstream, "CONNECT_SECONDS", 60.0)
    monkeypatch.setattr(upstream, "IDLE_SECONDS", 60.0)


@pytest.fixture
def gate(database: Database, log: EventLog) -> Gate:
    """The gateway of a team instance nobody owns yet, without rate limits."""
    return Gate(database, log)
