"""The team gateway for every test here that asks for it."""

from __future__ import annotations

import pytest

from devlore_server.kit.db import Database
from devlore_server.kit.log import EventLog
from tests.gateway.gate import Gate


@pytest.fixture
def gate(database: Database, log: EventLog) -> Gate:
    """The gateway of a team instance nobody owns yet, without rate limits."""
    return Gate(database, log)
